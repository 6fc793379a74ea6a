// What owners read about their app, in a real browser: in a light and a dark room, on a phone and on a desk: nothing that axe-core
// finds, nothing that scrolls sideways, nothing the browser complains of; and without a script. `SCREENSHOTS=folder` keeps pictures.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import type { Page } from 'playwright-core'
import { SYSTEM } from '../../src/base/audit-events.ts'
import { setRole } from '../../src/core/users/roles.ts'
import { one, run, sql } from '../../src/db/pool.ts'
import { axe, contentWidth, screenshot } from '../support/browser.ts'
import type { App, Person } from '../support/flow.ts'
import { until } from '../support/patience.ts'
import {
  type BrowserFixture,
  heading,
  read,
  signIn,
  startBrowserFixture,
  type Visit,
  visit,
} from './browser-fixture.ts'

const SIZES = { phone: { width: 390, height: 780 }, desk: { width: 1180, height: 860 } }

let fixture: BrowserFixture
let jamie: Person
let app: App
let quiet: App
let scripted: Visit

beforeAll(async () => {
  fixture = await startBrowserFixture()
  const { server } = fixture
  jamie = await server.person('Jamie')
  await setRole(server.db, jamie.id, 'admin', SYSTEM)
  app = await fixture.app({ redirect_uris: ['https://printer.example/oauth/callback'] })
  quiet = await fixture.app({ name: 'Quiet' })
  await run(
    server.db,
    sql`insert into client_owners (client_id, user_id) values (${app.id}, ${jamie.id}), (${quiet.id}, ${jamie.id})`,
  )
  await run(
    server.db,
    sql`insert into client_usage_days (client_id, day, tokens, refused)
        select ${app.id}, (now() at time zone 'utc')::date - n, 40 + (n * 37) % 60, case when n % 4 = 0 then n else 0 end
        from generate_series(0, 29) as n`,
  )
  for (const params of [
    { redirect_uri: 'http://printer.example/oauth/callback/' },
    { redirect_uri: 'https://calendars-and-postcards.customers.photography.department.example.com/callback' },
    { scope: 'openid <b>photos</b>' },
    { code_challenge_method: 'plain' },
  ]) {
    await fetch((await app.begin(params)).url, { redirect: 'manual' })
  }
  await app.post('/token', { grant_type: 'authorization_code', code: 'x', redirect_uri: app.redirectUri })
  const noted = () =>
    one<{ n: number }>(
      server.db,
      sql`select count(*)::int as n from client_refusals where client_id = ${app.id}`,
    )
  await until(async () => (await noted()).n >= 5)
  scripted = await visit(fixture, { deviceScaleFactor: 1 })
  await scripted.page.goto(`${server.origin}/account`)
  await signIn(scripted.page, jamie)
})
afterAll(async () => {
  await scripted?.[Symbol.asyncDispose]()
  await fixture?.close()
})

test.each([
  ['errors', () => `/developer/apps/${app.id}/errors`, 'Errors: Photo Printer'],
  ['errors-none', () => `/developer/apps/${quiet.id}/errors`, 'Errors: Quiet'],
  ['errors-admin', () => `/admin/clients/${app.id}/errors`, 'Errors of Photo Printer'],
  ['usage', () => `/developer/apps/${app.id}/usage`, 'Usage: Photo Printer'],
  ['usage-none', () => `/developer/apps/${quiet.id}/usage`, 'Usage: Quiet'],
  ['usage-admin', () => `/admin/clients/${app.id}/usage`, 'Usage of Photo Printer'],
])(
  '%s is fine',
  async (name, path, title) => {
    await scripted.page.goto(`${fixture.server.origin}${path()}`)

    expect(await heading(scripted.page)).toBe(title)
    await expectFine(scripted.page, name)
  },
  60_000,
)

test('without a script: from the list of errors to usage, and its numbers opened by keyboard', async () => {
  await using plain = await visit(fixture, { javaScriptEnabled: false })
  const { page } = plain
  await page.goto(`${fixture.server.origin}/developer/apps/${app.id}/errors`)
  await signIn(page, jamie)
  expect(await heading(page)).toBe('Errors: Photo Printer')
  const text = await read(page)
  expect(text).toContain('http://printer.example/oauth/callback/')
  expect(text).toContain('How to fix it:')
  expect(text).toContain('<b>photos</b>')
  expect(await page.locator('main b').count()).toBe(0)

  await page.getByRole('link', { name: 'Usage' }).click()
  expect(await heading(page)).toBe('Usage: Photo Printer')
  const picture = page.getByRole('img', { name: 'Times it was given tokens, a bar a day' })
  expect(await picture.count()).toBe(1)
  expect(await page.getByRole('rowheader').first().isVisible()).toBe(false)
  await page.locator('summary').focus()
  await page.keyboard.press('Enter')
  expect(await page.getByRole('rowheader').first().isVisible()).toBe(true)
  expect(plain.complaints).toEqual([])
})

async function expectFine(page: Page, name: string): Promise<void> {
  const details = page.locator('main details summary')
  if (await details.count()) await details.click()
  for (const scheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme: scheme })
    for (const [device, size] of Object.entries(SIZES)) {
      await page.setViewportSize(size)
      const where = `${name} ${scheme} ${device}`
      expect([where, await contentWidth(page)]).toEqual([where, size.width])
      expect([where, await axe(page)]).toEqual([where, []])
      if (process.env.SCREENSHOTS) {
        await mkdir(process.env.SCREENSHOTS, { recursive: true })
        await screenshot(page, join(process.env.SCREENSHOTS, `insight-${name}-${scheme}-${device}.png`))
      }
    }
  }
  expect(scripted.complaints.splice(0)).toEqual([])
}
