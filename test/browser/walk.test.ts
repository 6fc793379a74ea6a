// From an app to its end, by people who have no JavaScript, and by people who have no mouse.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import type { Page } from 'playwright-core'
import { listApps } from '../../src/core/grants/account-apps.ts'
import { type App, PASSWORD, type Person } from '../support/flow.ts'
import {
  type BrowserFixture,
  heading,
  press,
  read,
  signIn,
  startBrowserFixture,
  visit,
} from './browser-fixture.ts'

let fixture: BrowserFixture
let app: App
let jamie: Person

beforeAll(async () => {
  fixture = await startBrowserFixture()
  app = await fixture.app()
})
afterAll(() => fixture?.close())
beforeEach(async () => {
  jamie = await fixture.server.person('Jamie')
})

test('without JavaScript an app is allowed, found in the account, and removed', async () => {
  await using here = await visit(fixture, { javaScriptEnabled: false })
  const { page } = here

  await page.goto((await app.begin({ scope: 'openid photos.read photos.share' })).url.href)
  await signIn(page, jamie)
  await page.getByLabel('Share your photos').uncheck()
  await page.getByLabel('Keep access').selectOption('For 30 days')
  await press(page, 'Allow')
  expect(page.url()).toContain(`${fixture.site}/callback?code=vk_ac_`)
  const [allowed] = await listApps(fixture.server.db, jamie.id)
  expect(allowed).toMatchObject({ scopes: ['openid', 'photos.read'], client_name: 'Photo Printer' })

  await page.goto(`${fixture.server.origin}/account/apps`)
  expect(await read(page)).not.toContain('Share your photos')
  await page.getByText('1 device').click()
  await page.getByRole('link', { name: /^Remove .* from Photo Printer$/ }).click()
  await page.getByRole('link', { name: 'Cancel' }).click()
  await page.getByRole('link', { name: 'Remove access' }).click()
  await press(page, 'Remove access')
  expect(await read(page)).toContain('Photo Printer has no access any more.')
  expect(await read(page)).toContain('Its access ended on 1 device.')
  expect(await listApps(fixture.server.db, jamie.id)).toEqual([])

  await page.getByRole('link', { name: 'Sign out' }).click()
  await press(page, 'Sign out')
  expect(await heading(page)).toBe('You are signed out')
  expect(here.complaints).toEqual([])
})

test.each([true, false])('an answer by form_post arrives (JavaScript: %s)', async (javaScriptEnabled) => {
  await using here = await visit(fixture, { javaScriptEnabled })
  const { page } = here
  await page.goto((await app.begin({ response_mode: 'form_post' })).url.href)
  await signIn(page, jamie)
  await press(page, 'Allow')
  if (!javaScriptEnabled) await press(page, 'Continue')

  await page.waitForURL(`${fixture.site}/callback`)
  expect(here.complaints).toEqual([])
})

test.each([true, false])(
  'signing out when nobody is signed in is no error (JavaScript: %s)',
  async (javaScriptEnabled) => {
    await using here = await visit(fixture, { javaScriptEnabled })
    const { page } = here
    await page.goto(`${fixture.server.origin}/session/end`)
    if (!javaScriptEnabled) await press(page, 'Continue')

    await page.waitForURL('**/session/end/success')
    expect(await heading(page)).toBe('You are signed out')
    expect(here.complaints).toEqual([])
  },
)

describe('with the keyboard alone', () => {
  test('one signs in, allows, and removes', async () => {
    await using here = await visit(fixture)
    const { page } = here
    const { keyboard } = page

    await page.goto((await app.begin({ scope: 'openid photos.read photos.share' })).url.href)
    await page.locator('#email:focus').waitFor()
    await keyboard.type(jamie.email)
    expect(await tab(page)).toBe('Password')
    await keyboard.type(PASSWORD)
    await Promise.all([page.waitForEvent('load'), keyboard.press('Enter')])
    expect(await heading(page)).toBe('Photo Printer wants access to your account')

    expect(await order(page)).toEqual([
      'Use another account',
      'Look at your photos',
      'Share your photos',
      'Keep access',
      'Don’t allow',
      'Allow',
      'your account',
    ])
    await focusOn(page, 'Share your photos')
    await keyboard.press('Space')
    await focusOn(page, 'Allow')
    await Promise.all([page.waitForURL(`${fixture.site}/**`), keyboard.press('Enter')])
    const [allowed] = await listApps(fixture.server.db, jamie.id)
    expect(allowed!.scopes).toEqual(['openid', 'photos.read'])

    await page.goto(`${fixture.server.origin}/account/apps`)
    expect(await order(page)).toEqual([
      'Skip to the content',
      'Valetkey',
      'Sign out',
      'Profile',
      'Apps with access',
      'Activity',
      'Developer',
      'Remove access',
      expect.stringMatching(/^1 device/),
    ])
    await focusOn(page, '1 device')
    await keyboard.press('Enter')
    expect(await tab(page)).toBe('Remove Chrome on Linux from Photo Printer')
    await focusOn(page, 'Remove access')
    await Promise.all([page.waitForURL('**/remove'), keyboard.press('Enter')])
    await focusOn(page, 'Remove access')
    await Promise.all([page.waitForURL('**/account/apps'), keyboard.press('Space')])
    expect(await read(page)).toContain('Photo Printer has no access any more.')
  })

  test('the way to the content can be cut short', async () => {
    await using here = await visit(fixture)
    const { page } = here
    await page.goto(`${fixture.server.origin}/account`)
    await signIn(page, jamie)

    expect(await tab(page)).toBe('Skip to the content')
    const { y } = (await page.getByText('Skip to the content').boundingBox())!
    expect(y).toBeGreaterThanOrEqual(0)
    await page.keyboard.press('Enter')
    expect(await tab(page)).toBe('Name')
  })

  test('one lands on what is wrong, and gets from there to the field', async () => {
    await using here = await visit(fixture)
    const { page } = here
    await page.goto(`${fixture.server.origin}/account`)
    await signIn(page, jamie)
    await focusOn(page, 'Current password')
    await page.keyboard.type('wrong')
    await focusOn(page, 'New password')
    await page.keyboard.type('short')
    await Promise.all([page.waitForEvent('load'), page.keyboard.press('Enter')])
    expect(await page.title()).toMatch(/^Error: /)
    await page.locator('[role=alert]:focus').waitFor()
    expect(await tab(page)).toBe('Use at least 8 characters.')
    await page.keyboard.press('Enter')
    expect(await focused(page)).toBe('New password')
    expect(await page.getByLabel('New password').getAttribute('aria-invalid')).toBe('true')
    // biome-ignore lint/performance/useDomNodeTextContent: hidden text is not seen by anybody
    expect(await page.locator('#new_password-error').innerText()).toBe('Use at least 8 characters.')
  })
})

/** What has the focus, by the name a person would call it; nothing where the browser itself has it. */
function focused(page: Page): Promise<string> {
  return page.evaluate(`(() => {
    const element = document.activeElement
    if (element === document.body) return ''
    const name = element.getAttribute('aria-label') ?? element.labels?.[0]?.innerText ?? element.innerText ?? ''
    return name.trim()
  })()`)
}

/** Presses Tab. @returns what has the focus then; whatever it is, one must see that. */
async function tab(page: Page): Promise<string> {
  await page.keyboard.press('Tab')
  const name = await focused(page)
  if (!name) return name
  const outline = await page.evaluate(`(() => {
    const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement)
    return outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2
  })()`)
  expect({ name, outline }).toEqual({ name, outline: true })
  return name
}

/** Everything that Tab stops at, from the top of the page. */
async function order(page: Page): Promise<string[]> {
  await page.evaluate('document.activeElement.blur()')
  const names: string[] = []
  while (names.length < 40) {
    const name = await tab(page)
    if (!name) return names
    names.push(name)
  }
  throw new Error(`no end: ${names.join(', ')}`)
}

/** Presses Tab until the focus is on what begins with this name. */
async function focusOn(page: Page, name: string): Promise<void> {
  for (let i = 0; i < 40; i++) {
    if ((await tab(page)).startsWith(name)) return
  }
  throw new Error(`Tab does not lead to “${name}” at ${page.url()}`)
}
