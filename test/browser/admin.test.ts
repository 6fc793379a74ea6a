// The console in a real browser, without JavaScript: every page in a light and a dark room, on a phone and on a desk: nothing
// that axe-core finds, nothing that scrolls sideways, nothing the browser complains of. `SCREENSHOTS=folder` keeps pictures.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { Page } from 'playwright-core'
import { SYSTEM } from '../../src/base/audit-events.ts'
import { createRegistrationToken } from '../../src/core/registration/initial-access-tokens.ts'
import { setRole } from '../../src/core/users/roles.ts'
import { one, run, sql } from '../../src/db/pool.ts'
import { axe, contentWidth, screenshot } from '../support/browser.ts'
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

const SIZES = { phone: { width: 360, height: 740 }, desk: { width: 1180, height: 860 } }
const SCHEMES = ['light', 'dark'] as const
const LONG = 'Landscape Calendars, Postcards & Anniversary Photobooks for the Whole Family Ltd'

let fixture: BrowserFixture
let ada: Person
let jamie: Person
let app: App
let plain: Visit
let scripted: Visit
const places: Record<string, string> = {}

beforeAll(async () => {
  fixture = await startBrowserFixture()
  const { server } = fixture
  ada = await server.person('Ada')
  await setRole(server.db, ada.id, 'admin', SYSTEM)
  jamie = await server.person('Jamie')
  app = await fixture.app()
  await app.connect(jamie)
  await app.connect(jamie.elsewhere())
  const long = await fixture.app({
    name: LONG,
    redirect_uris: ['https://calendars-and-postcards.customers.photography.department.example.com/callback'],
  })
  await run(
    server.db,
    sql`update clients set state = 'pending', registered_by = 'itself' where id = ${long.id}`,
  )
  await run(
    server.db,
    sql`insert into client_owners (client_id, user_id) values (${long.id}, ${jamie.id}), (${app.id}, ${jamie.id})`,
  )
  const { id: consent } = await one<{ id: string }>(server.db, sql`select id from consents limit 1`)
  const { id: secret } = await one<{ id: string }>(
    server.db,
    sql`select id from client_secrets where client_id = ${app.id}`,
  )
  const { id: job } = await one<{ id: string }>(
    server.db,
    sql`insert into jobs (kind, params, actor, state, done, total)
        values ('somewhere_else', ${JSON.stringify({ client_id: app.id })}, '{}', 'running', 300, 1000) returning id`,
  )
  const document =
    'https://calendars-and-postcards.customers.photography.department.example.com/oauth/clients/the-calendar-of-postcards.json'
  await run(
    server.db,
    sql`insert into clients (id, name, type, registered_by, redirect_uris)
        values (${document}, 'Calendar', 'spa', 'itself', array['https://calendar.example/callback'])`,
  )
  const away = 'https://printer.customers.photography.department.example.com/oauth/clients/photo-printer.json'
  await run(
    server.db,
    sql`insert into clients (id, name, type, registered_by, deleted_at) values (${away}, 'Photo Printer', 'spa', 'itself', now())`,
  )
  await run(
    server.db,
    sql`insert into client_documents (client_id, digest, fresh_until, refused_at)
        values (${away}, ${Buffer.alloc(32)}, now(), now())`,
  )
  await createRegistrationToken(
    server.db,
    { name: LONG, scopes: ['openid', 'photos.read'], maxUses: 3, days: 7 },
    SYSTEM,
  )
  await run(
    server.db,
    sql`insert into clients (id, name, type, redirect_uris, registered_by, created_at)
        values ('c_old', ${LONG}, 'web', '{https://old.example/callback}', 'itself', now() - interval '90 days')`,
  )
  await run(
    server.db,
    sql`insert into client_registrations (client_id, access_hash, grant_types, token_endpoint_auth_method)
        values ('c_old', ${Buffer.alloc(32)}, '{authorization_code}', 'none')`,
  )
  const api = Buffer.from('https://photos.example').toString('base64url')
  Object.assign(places, {
    app: app.id,
    long: long.id,
    consent,
    secret,
    job,
    api,
    away: encodeURIComponent(away),
    document: encodeURIComponent(document),
    user: jamie.id,
    ada: ada.id,
  })

  plain = await visit(fixture, { javaScriptEnabled: false })
  scripted = await visit(fixture, { deviceScaleFactor: 1 })
  for (const { page } of [plain, scripted]) {
    await page.goto(`${server.origin}/admin`)
    await signIn(page, ada)
    expect(await heading(page)).toBe('Overview')
  }
})
afterAll(async () => {
  await plain?.[Symbol.asyncDispose]()
  await scripted?.[Symbol.asyncDispose]()
  await fixture?.close()
})

describe('every page is fine', () => {
  test.each([
    ['overview', '', 'Overview'],
    ['apps', '/apps', 'Apps'],
    ['apps-none', '/apps?q=nothing+like+it', 'Apps'],
    ['apps-short', '/apps?q=x', 'Apps'],
    ['app', '/apps/:app', 'Photo Printer'],
    ['app-waiting', '/apps/:long', LONG],
    ['app-document', '/apps/:document', 'Calendar'],
    ['apps-away', '/apps/away', 'Apps that may not come back'],
    ['app-away', '/apps/:away/unblock', 'Let Photo Printer come back?'],
    ['app-new', '/apps/new', 'Register an app'],
    ['app-edit', '/apps/:long/edit', `Edit ${LONG}`],
    ['app-reject', '/apps/:long/reject', `Reject ${LONG}?`],
    ['app-suspend', '/apps/:app/suspend', 'Suspend Photo Printer?'],
    ['app-delete', '/apps/:long/delete', `Delete ${LONG}?`],
    ['secret-new', '/apps/:app/secrets/new', 'Add a secret to Photo Printer'],
    ['secret-rotate', '/apps/:app/secrets/rotate', 'Give Photo Printer a new secret?'],
    ['secret-revoke', '/apps/:app/secrets/:secret/revoke', 'Revoke the secret'],
    ['clean-up', '/apps/clean-up?days=7', 'Clean up'],
    ['clean-up-wrong', '/apps/clean-up?days=0', 'Clean up'],
    ['tokens', '/registration-tokens', 'Registration tokens'],
    ['token-new', '/registration-tokens/new', 'Make a registration token'],
    ['users', '/users', 'Users'],
    ['user', '/users/:user', 'Jamie'],
    ['user-disable', '/users/:user/disable', 'Disable the account of Jamie?'],
    ['user-reset', '/users/:user/send-reset', 'Let Jamie choose a new password?'],
    ['access', '/access', 'Access'],
    ['access-end', '/access/:consent/end', 'End the access of Photo Printer?'],
    ['access-end-all', '/access/end?app=:app', 'End the access of Photo Printer to every account?'],
    ['jobs', '/jobs', 'Bulk removals'],
    ['job', '/jobs/:job', 'End the access of Photo Printer'],
    ['apis', '/apis', 'APIs & scopes'],
    ['api', '/apis/:api', 'Photos'],
    ['api-new', '/apis/new', 'Register an API'],
    ['api-tokens', '/apis/:api/tokens', 'Access tokens of Photos'],
    ['api-secret-new', '/apis/:api/secrets/new', 'Add a secret to Photos'],
    ['scope-new', '/apis/:api/scopes/new', 'Add a scope to Photos'],
    ['keys', '/keys', 'Signing keys'],
    ['audit', '/audit', 'Audit log'],
    ['audit-export', '/audit/export?type=client.created', 'Export the audit log'],
    ['audit-wrong', '/audit?since=yesterday', 'Audit log'],
  ])(
    '%s',
    async (name, path, title) => {
      await scripted.page.goto(`${fixture.server.origin}/admin${filled(path)}`)

      expect(await heading(scripted.page)).toContain(title)
      await expectFine(scripted.page, name)
    },
    60_000,
  )

  test('and so is one whose form came back', async () => {
    const { page } = scripted
    await page.goto(`${fixture.server.origin}/admin/clients/new`)
    await page.getByLabel('Name', { exact: true }).fill('New one')
    await page.getByLabel('Redirect URIs').fill('http://not-secure.example/')
    await press(page, 'Register')

    expect(await page.title()).toMatch(/^Error: /)
    await expectFine(page, 'app-new-wrong')
  })

  test('and the one that shows a secret', async () => {
    const { page } = scripted
    await page.goto(`${fixture.server.origin}/admin/clients/${app.id}/secrets/new`)
    await page.getByLabel('Name').fill('web 2')
    await press(page, 'Add the secret')

    expect(await read(page)).toContain('vk_cs_')
    await expectFine(page, 'secret')
  })
})

describe('a link for a new password', () => {
  let link: string

  test('is shown once, where mail is off', async () => {
    const { page } = scripted
    await page.goto(`${fixture.server.origin}/admin/users/${jamie.id}/send-reset`)
    await press(page, 'Make the link')

    expect(await heading(page)).toBe('A link for Jamie')
    link = /http:\S+\/reset\/[\w-]+/.exec(await read(page))![0]
    await expectFine(page, 'user-reset-link')
  })

  test('leads to a form that works without a script, and to signing in', async () => {
    const { page } = plain
    await page.goto(link)
    expect(await page.evaluate('document.activeElement.name')).toBe('password')
    await scripted.page.goto(link)
    await expectFine(scripted.page, 'reset')
    await scripted.page.getByLabel('New password').fill('short')
    await press(scripted.page, 'Set the password')
    await expectFine(scripted.page, 'reset-wrong')

    await page.getByLabel('New password').fill('nine dry umbrellas')
    await press(page, 'Set the password')

    expect(await heading(page)).toBe('You have a new password')
    await scripted.page.goto(`${fixture.server.origin}/reset/done`)
    await expectFine(scripted.page, 'reset-done')
    await scripted.page.goto(link)
    await expectFine(scripted.page, 'reset-over')
  })
})

test('an administrator finds, approves and edits an app without a script', async () => {
  const { page } = plain
  await page.goto(`${fixture.server.origin}/admin`)
  await page.getByRole('link', { name: /^Apps/ }).click()
  await page.getByLabel('Name, client ID, owner or redirect URI').fill('postcards')
  await press(page, 'Search')
  // The newest comes first; one of the same name registered itself long ago.
  await page.getByRole('link', { name: LONG }).first().click()
  await page.getByRole('link', { name: 'Approve' }).click()
  await press(page, 'Approve')
  expect(await read(page)).toContain('is approved. Everybody can use it.')

  await page.getByRole('link', { name: 'Edit' }).click()
  await page.getByLabel('Name', { exact: true }).fill('Calendars')
  await page.getByLabel('It is our own (first party)').check()
  await press(page, 'Save')

  expect(await heading(page)).toBe('Calendars')
  expect(await read(page)).toContain('First party')
  expect(plain.complaints).toEqual([])
})

test('the keyboard reaches the content past the lists, and everything that can be pressed', async () => {
  const { page } = scripted
  await page.goto(`${fixture.server.origin}/admin/clients`)
  await page.keyboard.press('Tab')
  expect(await page.evaluate('document.activeElement.textContent')).toBe('Skip to the content')
  await page.keyboard.press('Enter')
  await page.keyboard.press('Tab')
  expect(await page.evaluate('document.activeElement.textContent')).toBe('Register an app')
})

function filled(path: string): string {
  return path.replace(/:(\w+)/g, (_, name: string) => places[name]!)
}

async function expectFine(page: Page, name: string): Promise<void> {
  for (const scheme of SCHEMES) {
    await page.emulateMedia({ colorScheme: scheme })
    for (const [device, size] of Object.entries(SIZES)) {
      await page.setViewportSize(size)
      const where = `${name} ${scheme} ${device}`
      expect([where, await contentWidth(page)]).toEqual([where, size.width])
      // What depends on neither place nor light is looked at once.
      const isFirst = scheme === 'light' && device === 'phone'
      const findings = await axe(page, isFirst ? undefined : ['target-size', 'color-contrast'])
      expect([where, findings]).toEqual([where, []])
      if (process.env.SCREENSHOTS) {
        await mkdir(process.env.SCREENSHOTS, { recursive: true })
        await screenshot(page, join(process.env.SCREENSHOTS, `admin-${name}-${scheme}-${device}.png`))
      }
    }
  }
  expect(scripted.complaints.splice(0)).toEqual([])
}
