// Quick start and logo in a real browser: without JavaScript, in a light and a dark room, on a phone and on a desk; and the
// single-page program as it is shown, on an origin of its own.
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { Page } from 'playwright-core'
import sharp from 'sharp'
import { SYSTEM } from '../../src/base/audit-events.ts'
import type { ClientInput } from '../../src/core/clients/fields.ts'
import { setRole } from '../../src/core/users/roles.ts'
import { run, sql } from '../../src/db/pool.ts'
import { axe, contentWidth, screenshot } from '../support/browser.ts'
import type { App, Person } from '../support/flow.ts'
import { freePort } from '../support/server.ts'
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

const SIZES = { phone: { width: 360, height: 740 }, desk: { width: 1180, height: 860 } }
const SCHEMES = ['light', 'dark'] as const

let fixture: BrowserFixture
let jamie: Person
let plain: Visit
let scripted: Visit
let web: App
let service: App
let spa: App
let spaOrigin: string

beforeAll(async () => {
  // Open: a new logo holds at once.
  fixture = await startBrowserFixture(undefined, { DEVELOPER_REGISTRATION: 'open' })
  jamie = await fixture.server.person('Jamie')
  await setRole(fixture.server.db, jamie.id, 'admin', SYSTEM)
  spaOrigin = `http://localhost:${await freePort()}`
  web = await ours({
    redirect_uris: ['https://calendars-and-postcards.photography.department.example.com/callback'],
  })
  service = await ours({
    type: 'service',
    name: 'Nightly printing of everything',
    redirect_uris: [],
    post_logout_redirect_uris: [],
    scopes: ['photos.read'],
  })
  spa = await ours({
    type: 'spa',
    name: 'Album',
    redirect_uris: [`${spaOrigin}/`],
    scopes: ['openid', 'profile', 'email'],
  })
  plain = await visit(fixture, { javaScriptEnabled: false })
  scripted = await visit(fixture, { deviceScaleFactor: 1 })
  for (const { page } of [plain, scripted]) {
    await page.goto(`${fixture.server.origin}/account`)
    await signIn(page, jamie)
  }
})
afterAll(async () => {
  await plain?.[Symbol.asyncDispose]()
  await scripted?.[Symbol.asyncDispose]()
  await fixture?.close()
})

describe('every page is fine', () => {
  test.each<[string, () => string, string]>([
    ['quick-start', () => `/developer/apps/${web.id}/quick-start`, 'Quick start: Photo Printer'],
    ['quick-start-service', () => `/developer/apps/${service.id}/quick-start`, 'Quick start: Nightly'],
    ['quick-start-spa', () => `/developer/apps/${spa.id}/quick-start`, 'Quick start: Album'],
    ['logo', () => `/developer/apps/${service.id}/logo`, 'Logo: Nightly'],
    ['logo-admin', () => `/admin/clients/${service.id}/logo`, 'Logo of Nightly'],
  ])(
    '%s',
    async (name, path, title) => {
      await scripted.page.goto(`${fixture.server.origin}${path()}`)

      expect(await heading(scripted.page)).toContain(title)
      await expectFine(scripted.page, name)
    },
    60_000,
  )

  test('and so are the form that came back, and the one with a logo', async () => {
    const { page } = scripted
    await page.goto(`${fixture.server.origin}/developer/apps/${web.id}/logo`)
    await choose(page, Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>'))
    expect(await page.title()).toMatch(/^Error: /)
    await expectFine(page, 'logo-wrong')

    await choose(page, await picture('seagreen'))
    expect(await read(page)).toContain('Photo Printer has a new logo.')
    await expectFine(page, 'logo-done')
  })
})

test('a logo is sent, shown and removed without a script', async () => {
  const { page } = plain
  await page.goto(`${fixture.server.origin}/developer/apps/${spa.id}/logo`)
  await choose(page, await picture('tomato'))

  expect(await read(page)).toContain('Album has a new logo.')
  const shown = page.locator('form img.logo')
  expect(await shown.getAttribute('src')).toMatch(/\/logos\/[0-9a-f]{64}\.png$/)
  expect(await page.evaluate('document.querySelector("form img.logo").naturalWidth')).toBe(256)

  await press(page, 'Remove the logo')
  expect(await read(page)).toContain('Album has no logo any more.')
  expect(await page.locator('img.logo').count()).toBe(0)
  expect(plain.complaints).toEqual([])
})

test('one click selects a whole program, without a script of ours', async () => {
  const { page } = scripted
  await page.goto(`${fixture.server.origin}/developer/apps/${web.id}/quick-start`)
  expect(await page.locator('script').count()).toBe(0)
  await page.locator('#node pre').click()

  const selected = String(await page.evaluate('getSelection().toString()')).trim()
  expect(selected.startsWith('// quick-start.mjs')).toBe(true)
  expect(selected).toBe((await programOf(page, 'node')).trim())
})

test('the single-page program signs in as it is shown, from an origin of its own', async () => {
  await using developer = await visit(fixture)
  const { page } = developer
  await page.goto(`${fixture.server.origin}/developer/apps/${spa.id}/quick-start`)
  await signIn(page, jamie)
  const program = await programOf(page, 'spa')
  const listener = createServer((_, res) => {
    res.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' }).end(program)
  }).listen(Number(new URL(spaOrigin).port), '127.0.0.1')
  await once(listener, 'listening')
  try {
    await page.goto(`${spaOrigin}/`)
    await press(page, 'Sign in')
    await page.waitForURL(/\/interaction\//)
    await press(page, 'Allow')
    await page
      .getByText('Refreshed: ')
      .waitFor()
      .catch(async () => {
        throw new Error(`${page.url()}: ${await read(page)} ${developer.complaints.join(' ')}`)
      })

    const shown = await read(page)
    expect(shown).toContain('Signed in: Jamie')
    expect(shown).toMatch(/Userinfo: \{.*"email":"jamie/)
    expect(shown).not.toContain('vk_')
    // Nothing of the answer stays in the address.
    expect(page.url()).toBe(`${spaOrigin}/`)

    // An answer that nobody asked for is not looked at any further.
    await page.goto(`${spaOrigin}/?code=x&state=y&iss=${encodeURIComponent(fixture.server.origin)}`)
    await page.getByText('Failed: The state is not the one that was sent.').waitFor()
  } finally {
    listener.closeAllConnections()
    listener.close()
  }
})

async function ours(input: Partial<ClientInput>): Promise<App> {
  const app = await fixture.app(input)
  await run(
    fixture.server.db,
    sql`insert into client_owners (client_id, user_id) values (${app.id}, ${jamie.id})`,
  )
  return app
}

async function programOf(page: Page, id: string): Promise<string> {
  return String(await page.evaluate(`document.querySelector('#${id} pre').textContent`))
}

function picture(background: string): Promise<Buffer> {
  return sharp({ create: { width: 90, height: 90, channels: 3, background } })
    .png()
    .toBuffer()
}

async function choose(page: Page, buffer: Buffer): Promise<void> {
  await page.getByLabel('Picture').setInputFiles({ name: 'logo.png', mimeType: 'image/png', buffer })
  await press(page, 'Use this picture')
}

async function expectFine(page: Page, name: string): Promise<void> {
  for (const scheme of SCHEMES) {
    await page.emulateMedia({ colorScheme: scheme })
    for (const [device, size] of Object.entries(SIZES)) {
      await page.setViewportSize(size)
      const where = `${name} ${scheme} ${device}`
      expect([where, await contentWidth(page)]).toEqual([where, size.width])
      const isFirst = scheme === 'light' && device === 'phone'
      const findings = await axe(page, isFirst ? undefined : ['target-size', 'color-contrast'])
      expect([where, findings]).toEqual([where, []])
      if (process.env.SCREENSHOTS) {
        await mkdir(process.env.SCREENSHOTS, { recursive: true })
        await screenshot(page, join(process.env.SCREENSHOTS, `developer-${name}-${scheme}-${device}.png`))
      }
    }
  }
  expect(scripted.complaints.splice(0)).toEqual([])
}
