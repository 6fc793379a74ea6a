// People have two tabs, press Back, reload, and click twice: they always get to the app, or to a page that says what to do.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import type { Page } from 'playwright-core'
import { listApps } from '../../src/core/grants/account-apps.ts'
import { listGrants } from '../../src/core/grants/store.ts'
import type { App, Person } from '../support/flow.ts'
import {
  type BrowserFixture,
  heading,
  press,
  read,
  signIn,
  startBrowserFixture,
  type Visit,
  visit,
} from './browser-fixture.ts'

let fixture: BrowserFixture
let app: App
let jamie: Person
let here: Visit

beforeAll(async () => {
  fixture = await startBrowserFixture((url) => {
    // An app whose callback hands on to another of its origins, as many do.
    if (url.pathname !== '/hand-on') return undefined
    return { location: `http://127.0.0.1:${url.port}/front-end` }
  })
  app = await fixture.app()
})
afterAll(() => fixture?.close())
beforeEach(async () => {
  jamie = await fixture.server.person('Jamie')
  await here?.[Symbol.asyncDispose]()
  here = await visit(fixture)
})
afterAll(async () => {
  await here?.[Symbol.asyncDispose]()
})

describe('in two tabs', () => {
  test('one signs in in the first; the second goes on without asking again', async () => {
    const [first, second] = await bothAt((await app.begin()).url.href, (await app.begin()).url.href)
    await signIn(first, jamie)
    await press(first, 'Allow')
    expect(first.url()).toContain(fixture.site)

    await second.reload()
    expect(second.url()).toContain(`${fixture.site}/callback?code=`)
  })

  test('one signs in in both, and allows in both', async () => {
    const [first, second] = await bothAt((await app.begin()).url.href, (await app.begin()).url.href)
    await signIn(first, jamie)
    await signIn(second, jamie)
    await press(first, 'Allow')
    await press(second, 'Allow')

    expect(first.url()).toContain(`${fixture.site}/callback?code=`)
    expect(second.url()).toContain(`${fixture.site}/callback?code=`)
    expect(await listApps(fixture.server.db, jamie.id)).toHaveLength(1)
  })

  test('the same page is answered once, and then says what to do', async () => {
    await here.page.goto((await app.begin()).url.href)
    await signIn(here.page, jamie)
    const [first, second] = await bothAt(here.page.url(), here.page.url())
    await press(first, 'Allow')
    await press(second, 'Don’t allow')

    expect(first.url()).toContain(`${fixture.site}/callback?code=`)
    await expectAdvice(second)
    expect(await listApps(fixture.server.db, jamie.id)).toHaveLength(1)
  })

  test('one signs out in the second, and is asked to sign in again in the first', async () => {
    await here.page.goto((await app.begin()).url.href)
    await signIn(here.page, jamie)
    const other = await here.context.newPage()
    await other.goto(`${fixture.server.origin}/session/end`)
    await press(other, 'Sign out')

    await press(here.page, 'Allow')

    expect(await read(here.page)).not.toContain('went wrong')
    if (!here.page.url().startsWith(fixture.site)) {
      expect(['Sign in', 'This page has expired', 'You have finished here']).toContain(
        await heading(here.page),
      )
    }
    expect(here.complaints).toEqual([])
  })

  test('one signs out in both', async () => {
    await here.page.goto(`${fixture.server.origin}/account`)
    await signIn(here.page, jamie)
    const [first, second] = await bothAt(
      `${fixture.server.origin}/session/end`,
      `${fixture.server.origin}/session/end`,
    )
    await press(first, 'Sign out')
    expect(await read(first)).toContain('You are still signed in.')
    await first.getByRole('link', { name: 'Sign out' }).click()
    await press(first, 'Sign out')
    expect(await heading(first)).toBe('You are signed out')

    await press(second, 'Sign out')

    expect(await read(second)).toContain('You are signed out already.')
    expect(here.complaints).toEqual([])
  })

  test('an app is removed in both', async () => {
    await here.page.goto((await app.begin()).url.href)
    await signIn(here.page, jamie)
    await press(here.page, 'Allow')
    const address = `${fixture.server.origin}/account/apps/${app.id}/remove`
    const [first, second] = await bothAt(address, address)
    await press(first, 'Remove access')
    await press(second, 'Remove access')

    expect(await heading(second)).toBe('Apps with access')
    expect(await read(second)).toContain('That app has no access to your account.')
  })
})

describe('with the Back button', () => {
  test('after allowing, the page says what to do', async () => {
    const { page } = here
    await page.goto((await app.begin()).url.href)
    await signIn(page, jamie)
    await press(page, 'Allow')

    await page.goBack()

    await expectAdvice(page)
    await page.getByRole('link', { name: 'Go to Photo Printer' }).click()
    expect(page.url()).toBe(`${fixture.site}/`)
  })

  test('after not allowing, too', async () => {
    const { page } = here
    await page.goto((await app.begin()).url.href)
    await signIn(page, jamie)
    await press(page, 'Don’t allow')
    expect(page.url()).toContain('error=access_denied')

    await page.goBack()

    await expectAdvice(page)
  })

  test('from the decision to the sign-in and forward again, one can still allow', async () => {
    const { page } = here
    await page.goto((await app.begin()).url.href)
    await signIn(page, jamie)
    await page.goBack()
    await expectAdvice(page)

    await page.goForward()
    await press(page, 'Allow')

    expect(page.url()).toContain(`${fixture.site}/callback?code=`)
  })

  test('after removing an app, the list says how it stands', async () => {
    const { page } = here
    await page.goto((await app.begin()).url.href)
    await signIn(page, jamie)
    await press(page, 'Allow')
    await page.goto(`${fixture.server.origin}/account/apps/${app.id}/remove`)
    await press(page, 'Remove access')

    await page.goBack()

    expect(await read(page)).toContain('That app has no access to your account.')
    expect(await heading(page)).toBe('Apps with access')
  })

  test('after signing out, the account is not shown again', async () => {
    const { page } = here
    await page.goto(`${fixture.server.origin}/account`)
    await signIn(page, jamie)
    await page.goto(`${fixture.server.origin}/session/end`)
    await press(page, 'Sign out')

    await page.goBack()
    await page.goBack()

    expect(await read(page)).not.toContain(jamie.email)
  })
})

describe('reloading', () => {
  test('a sign-in that was wrong shows it again', async () => {
    const { page } = here
    await page.goto((await app.begin()).url.href)
    await signIn(page, jamie, 'wrong password')

    await page.reload()

    expect(await read(page)).toContain('do not fit together')
    await signIn(page, jamie)
    expect(await heading(page)).toContain('wants access')
  })

  test('a receipt says it no more, and does nothing again', async () => {
    const { page } = here
    await page.goto(`${fixture.server.origin}/account`)
    await signIn(page, jamie)
    await page.getByLabel('Name').fill('Jamie Doe')
    await press(page, 'Save name')
    expect(await read(page)).toContain('Your name was changed.')

    await page.reload()

    expect(await read(page)).not.toContain('Your name was changed.')
    expect(await fixture.server.events({ user_id: jamie.id, type: 'user.renamed' })).toHaveLength(1)
  })

  test('the address of a form shows the page it was on', async () => {
    const { page } = here
    await page.goto((await app.begin()).url.href)
    await signIn(page, jamie, 'wrong password')
    expect(page.url()).toMatch(/\/login$/)

    await page.goto(page.url())

    expect(await heading(page)).toBe('Sign in')
  })

  test('the address of a form of the account leads back to the account', async () => {
    const { page } = here
    await page.goto(`${fixture.server.origin}/account`)
    await signIn(page, jamie)
    await page.getByLabel('Name').fill('')
    await press(page, 'Save name')

    await page.goto(page.url())
    await page.getByRole('link', { name: 'Go to your account' }).click()

    expect(await heading(page)).toBe('Profile')
  })
})

describe('clicking twice', () => {
  test('on Sign in', async () => {
    const { page } = here
    await page.goto((await app.begin()).url.href)
    await page.getByLabel('Email').fill(jamie.email)
    await page.getByLabel('Password').fill('five wet umbrellas')

    await page.getByRole('button', { name: 'Sign in' }).dblclick()
    await settle(page)

    expect([`Photo Printer wants access to your account`, 'You have finished here']).toContain(
      await heading(page),
    )
  })

  test('on Allow', async () => {
    const { page } = here
    await page.goto((await app.begin()).url.href)
    await signIn(page, jamie)

    await page.getByRole('button', { name: 'Allow', exact: true }).dblclick()
    await settle(page)

    if (!page.url().startsWith(`${fixture.site}/callback?code=`)) await expectAdvice(page)
    expect(await listApps(fixture.server.db, jamie.id)).toHaveLength(1)
    expect((await listGrants(fixture.server.db, { user_id: jamie.id })).length).toBeLessThanOrEqual(2)
    expect(here.complaints).toEqual([])
  })

  test('on Remove access', async () => {
    const { page } = here
    await page.goto((await app.begin()).url.href)
    await signIn(page, jamie)
    await press(page, 'Allow')
    await page.goto(`${fixture.server.origin}/account/apps/${app.id}/remove`)

    await page.getByRole('button', { name: 'Remove access' }).dblclick()
    await settle(page)

    expect(await heading(page)).toBe('Apps with access')
    expect(await read(page)).toContain('has no access')
    expect(await listApps(fixture.server.db, jamie.id)).toEqual([])
  })
})

test('another account can be used instead, for the same app', async () => {
  const { page } = here
  const alex = await fixture.server.person('Alex')
  await page.goto((await app.begin()).url.href)
  await signIn(page, jamie)

  await press(page, 'Use another account')
  await signIn(page, alex)
  expect(await read(page)).toContain(`Signed in as ${alex.email}`)
  await press(page, 'Allow')

  expect(page.url()).toContain(`${fixture.site}/callback?code=`)
  expect(await listApps(fixture.server.db, jamie.id)).toEqual([])
  expect(await listApps(fixture.server.db, alex.id)).toHaveLength(1)
})

test('an app that hands its callback on to another of its origins is reached', async () => {
  const { page } = here
  const handingOn = await fixture.app({ name: 'Handing On', redirect_uris: [`${fixture.site}/hand-on`] })
  await page.goto((await handingOn.begin()).url.href)
  await signIn(page, jamie)
  await press(page, 'Allow')

  await page.waitForURL('**/front-end')
  expect(here.complaints).toEqual([])
})

async function bothAt(...addresses: [string, string]): Promise<[Page, Page]> {
  const [first, second] = [await here.context.newPage(), await here.context.newPage()]
  await first.goto(addresses[0])
  await second.goto(addresses[1])
  return [first, second]
}

/** The page is no error, and says what to do. */
async function expectAdvice(page: Page): Promise<void> {
  expect(['You have finished here', 'This page has expired']).toContain(await heading(page))
  expect(await read(page)).toContain('To use Photo Printer, go back to it.')
  expect(here.complaints).toEqual([])
}

/** Waits until the browser has come to rest, wherever that is. */
async function settle(page: Page): Promise<void> {
  await page.waitForLoadState('networkidle')
}
