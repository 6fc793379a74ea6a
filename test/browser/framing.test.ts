// What other sites can do with a person's browser: not put our pages into a frame, not send our forms.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import type { Page } from 'playwright-core'
import { listApps } from '../../src/core/grants/account-apps.ts'
import type { App, Person } from '../support/flow.ts'
import {
  type BrowserFixture,
  press,
  read,
  serveSite,
  signIn,
  startBrowserFixture,
  type Visit,
  visit,
} from './browser-fixture.ts'

let fixture: BrowserFixture
let app: App
let jamie: Person
let here: Visit
let evil: Awaited<ReturnType<typeof serveSite>>

// Another port of the same host is the same site to a browser, and gets our cookies; another host is not and does not.
const ATTACKERS = [
  ['another port', (origin: string) => origin],
  ['another host', (origin: string) => origin.replace('localhost', '127.0.0.1')],
] as const

beforeAll(async () => {
  evil = await serveSite((url) => {
    const target = url.searchParams.get('target')
    if (url.pathname === '/frame') return { html: `<h1>Win a prize</h1><iframe src="${target}"></iframe>` }
    if (url.pathname === '/form') {
      return {
        html: `<form method="post" action="${target}"><input name="csrf"><button>Win a prize</button></form>`,
      }
    }
    return undefined
  })
  fixture = await startBrowserFixture()
  app = await fixture.app()
  jamie = await fixture.server.person('Jamie')
  here = await visit(fixture)
  await here.page.goto((await app.begin()).url.href)
  await signIn(here.page, jamie)
  await press(here.page, 'Allow')
})
afterAll(async () => {
  await here?.[Symbol.asyncDispose]()
  await fixture?.close()
  await evil?.stop()
})

test.each(ATTACKERS)('a page of %s cannot show one of ours in a frame', async (_, from) => {
  const attacker = from(evil.origin)
  const page = await here.context.newPage()
  const { origin } = fixture.server
  const ours = {
    consent: (await app.begin({ prompt: 'consent' })).url.href,
    login: (await app.begin({ prompt: 'login' })).url.href,
    profile: `${origin}/account`,
    apps: `${origin}/account/apps`,
    removal: `${origin}/account/apps/${app.id}/remove`,
    'sign out': `${origin}/session/end`,
    'not found': `${origin}/nothing`,
  }

  for (const [name, url] of Object.entries(ours)) {
    expect({ name, ...(await framed(page, attacker, url)) }).toEqual({
      name,
      url: 'chrome-error://chromewebdata/',
      text: '',
    })
  }
  // The same frame does show a page that lets it.
  expect((await framed(page, attacker, fixture.site)).text).toContain('Photo Printer')
  await page.close()
})

test('a form of another host carries no cookie of ours, and changes nothing', async () => {
  const { page, sent } = await sendForm('http://127.0.0.1')

  expect(sent.cookie).toBeUndefined()
  expect(sent['sec-fetch-site']).toBe('cross-site')
  expect(await page.title()).not.toContain('Apps with access')
  expect(await appsOf(jamie)).toEqual(['Photo Printer'])
  await page.close()
})

test('a form of another port carries the cookie, is refused, and changes nothing', async () => {
  const { page, sent, status } = await sendForm('http://localhost')

  expect(sent.cookie).toContain('_session=')
  expect(sent['sec-fetch-site']).toBe('same-site')
  expect(status).toBe(403)
  expect(await read(page)).toContain('This form has expired')
  expect(await appsOf(jamie)).toEqual(['Photo Printer'])
  await page.close()
})

test('the session is out of reach of scripts', async () => {
  const cookies = await here.context.cookies()

  expect(cookies.map(({ name }) => name)).toContain('_session')
  for (const cookie of cookies) expect(cookie).toMatchObject({ httpOnly: true, sameSite: 'Lax' })
  await here.page.goto(`${fixture.server.origin}/account`)
  expect(await here.page.evaluate('document.cookie')).toBe('')
})

/** What a frame on the attacker's page shows of an address. */
async function framed(page: Page, attacker: string, url: string): Promise<{ url: string; text: string }> {
  await page.goto(`${attacker}/frame?target=${encodeURIComponent(url)}`)
  const frame = page.frames().find((each) => each.parentFrame())!
  await frame.waitForLoadState()
  // What the browser itself says of a page that it refused to show is not ours.
  // biome-ignore lint/performance/useDomNodeTextContent: hidden text is not seen by anybody
  const shown = frame.url().startsWith('chrome-error:') ? '' : await frame.locator('body').innerText()
  return { url: frame.url(), text: shown }
}

/** Sends the removal of the app from a page of the attacker. */
async function sendForm(host: string) {
  const page = await here.context.newPage()
  const target = `${fixture.server.origin}/account/apps/${app.id}/remove`
  await page.goto(`${host}:${new URL(evil.origin).port}/form?target=${encodeURIComponent(target)}`)
  const [answer] = await Promise.all([
    page.waitForResponse((response) => response.request().method() === 'POST'),
    page.getByRole('button').click(),
  ])
  await page.waitForLoadState()
  return { page, sent: await answer.request().allHeaders(), status: answer.status() }
}

async function appsOf(person: Person): Promise<string[]> {
  return (await listApps(fixture.server.db, person.id)).map(({ client_name }) => client_name)
}
