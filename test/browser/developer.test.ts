// The developers' pages in a real browser: every page in a light and a dark room, on a phone and on a desk: nothing that axe-core
// finds, nothing that scrolls sideways, nothing the browser complains of. `SCREENSHOTS=folder` keeps pictures.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { Page } from 'playwright-core'
import { SYSTEM } from '../../src/base/audit-events.ts'
import { changeOwnApp } from '../../src/core/ownership/developer-clients.ts'
import { createInvitation } from '../../src/core/ownership/invitations.ts'
import { addTestUser } from '../../src/core/ownership/test-users.ts'
import { setRole } from '../../src/core/users/roles.ts'
import { one, run, sql } from '../../src/db/pool.ts'
import { ownApp } from '../pages/developer/developer-fixture.ts'
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
let dev: Person
let ada: Person
let plain: Visit
let scripted: Visit
let invitation: string
const places: Record<string, string> = {}

beforeAll(async () => {
  fixture = await startBrowserFixture()
  const { server } = fixture
  ;[dev, ada] = [await server.person('Dev'), await server.person('Ada')]
  await setRole(server.db, ada.id, 'admin', SYSTEM)
  const sam = await server.person('Sam')
  const by = { ...SYSTEM, type: 'user' as const, id: dev.id }
  const own = (name: string, approval = false): Promise<App> => ownApp({ server }, dev, { name, approval })
  const [active, pending, rejected] = [
    await own('Calendar'),
    await own(LONG, true),
    await own('Rejected one', true),
  ]
  const suspended = await own('Suspended one')
  await run(
    server.db,
    sql`update clients set state = 'rejected', state_reason = 'Say who you are.' where id = ${rejected.id}`,
  )
  await run(server.db, sql`update clients set suspended_at = now() where id = ${suspended.id}`)
  const change = {
    name: 'Almanac',
    redirect_uris: ['https://calendar.example/callback', `https://${'long.'.repeat(12)}example.com/callback`],
  }
  await changeOwnApp(server.db, active.id, change, 1, { approval: true }, by)
  await addTestUser(server.db, pending.id, 'a.person.with.a.rather.long.name@department.example.com', by)
  await run(server.db, sql`insert into client_owners (client_id, user_id) values (${active.id}, ${sam.id})`)
  await createInvitation(server.db, active.id, 'invited@example.org', { mailed: false }, by)
  const samsApp = await ownApp({ server }, sam, { name: LONG })
  const invited = await createInvitation(
    server.db,
    samsApp.id,
    dev.email,
    { mailed: false },
    { ...by, id: sam.id },
  )
  invitation = invited!.secret!
  const { id: secret } = await one<{ id: string }>(
    server.db,
    sql`select id from client_secrets where client_id = ${active.id}`,
  )
  const { pkce, uri } = await one<{ pkce: string; uri: string }>(
    server.db,
    sql`with noted as (
          insert into client_refusals (client_id, at, attested, source, endpoint, error, kind, expected, came)
          values (${active.id}, now(), false, 0, '/auth', 'invalid_request', 'pkce_challenge_missing', '', 'neither'),
                 (${active.id}, now(), false, 1, '/auth', 'invalid_request', 'pkce_challenge_missing', '', 'neither'),
                 (${active.id}, now(), false, 0, '/auth', 'invalid_redirect_uri', 'redirect_uri_mismatch',
                  ${active.redirectUri}, ${`${active.redirectUri}/${'long-'.repeat(20)}`})
          returning id, kind)
        select (select max(id::text) from noted where kind = 'pkce_challenge_missing') as pkce,
               (select id::text from noted where kind = 'redirect_uri_mismatch') as uri`,
  )
  Object.assign(places, {
    pkce,
    uri,
    active: active.id,
    pending: pending.id,
    rejected: rejected.id,
    suspended: suspended.id,
    secret,
    me: dev.id,
  })

  plain = await visit(fixture, { javaScriptEnabled: false })
  scripted = await visit(fixture, { deviceScaleFactor: 1 })
  for (const { page } of [plain, scripted]) {
    await page.goto(`${server.origin}/developer`)
    await signIn(page, dev)
    expect(await heading(page)).toBe('Your apps')
  }
})
afterAll(async () => {
  await plain?.[Symbol.asyncDispose]()
  await scripted?.[Symbol.asyncDispose]()
  await fixture?.close()
})

describe('every page is fine', () => {
  test.each([
    ['list', '', 'Your apps'],
    ['new', '/apps/new', 'Register an app'],
    ['app-changed', '/apps/:active', 'Calendar'],
    ['app-pending', '/apps/:pending', LONG],
    ['app-rejected', '/apps/:rejected', 'Rejected one'],
    ['app-suspended', '/apps/:suspended', 'Suspended one'],
    ['edit', '/apps/:active/edit', 'Edit Calendar'],
    ['secrets', '/apps/:active/secrets', 'Secrets: Calendar'],
    ['secret-new', '/apps/:active/secrets/new', 'Add a secret'],
    ['secret-rotate', '/apps/:active/secrets/rotate', 'a new secret?'],
    ['secret-revoke', '/apps/:active/secrets/:secret/revoke', 'Revoke the secret'],
    ['errors', '/apps/:active/errors', 'Errors: Calendar'],
    ['fix-pkce', '/apps/:active/errors/:pkce/fix', 'Let Calendar do without PKCE?'],
    ['fix-uri', '/apps/:active/errors/:uri/fix', 'Add a redirect URI to Calendar?'],
    ['test-users', '/apps/:pending/test-users', `Test users: ${LONG}`],
    ['owners', '/apps/:active/owners', 'Owners: Calendar'],
    ['owner-invite', '/apps/:active/owners/invite', 'Invite an owner'],
    ['owner-leave', '/apps/:active/owners/:me/remove', 'Leave Calendar?'],
    ['delete', '/apps/:pending/delete', `Delete ${LONG}?`],
    ['invitation', '/invitations/:invitation', `Look after ${LONG}?`],
  ])(
    '%s',
    async (name, path, title) => {
      places.invitation = invitation
      await scripted.page.goto(`${fixture.server.origin}/developer${filled(path)}`)

      expect(await heading(scripted.page)).toContain(title)
      await expectFine(scripted.page, name)
    },
    60_000,
  )

  test('and so is one whose form came back', async () => {
    const { page } = scripted
    await page.goto(`${fixture.server.origin}/developer/apps/new`)
    await page.getByLabel('Name', { exact: true }).fill('New one')
    await page.getByLabel('Redirect URIs').fill('http://not-secure.example/')
    await press(page, 'Register')

    expect(await page.title()).toMatch(/^Error: /)
    expect(await page.evaluate('document.activeElement.getAttribute("role")')).toBe('alert')
    await expectFine(page, 'new-wrong')
  })

  test('and the ones that show something once', async () => {
    const { page } = scripted
    const at = `${fixture.server.origin}/developer/apps/${places.active}`
    await page.goto(`${at}/secrets/new`)
    await page.getByLabel('Name').fill('web 2')
    await press(page, 'Add the secret')
    expect(await read(page)).toContain('vk_cs_')
    await expectFine(page, 'secret')

    await page.goto(`${at}/owners/invite`)
    await page.getByLabel('Email').fill('somebody@example.org')
    await press(page, 'Make the link')
    expect(await read(page)).toContain('/developer/invitations/')
    await expectFine(page, 'invited')
  })

  test('and the administrators’ page of a change', async () => {
    await using visited = await visit(fixture, { deviceScaleFactor: 1 })
    const { page } = visited
    await page.goto(`${fixture.server.origin}/admin/clients/${places.active}/change/approve`)
    await signIn(page, ada)
    expect(await heading(page)).toBe('Approve this change?')
    await expectFine(page, 'admin-change')
    await page.goto(`${fixture.server.origin}/admin/clients/${places.active}`)
    await expectFine(page, 'admin-app-changed')
    await page.goto(`${fixture.server.origin}/admin`)
    await expectFine(page, 'admin-overview')
    expect(visited.complaints).toEqual([])
  })
})

test('a developer registers an app, names a test user and invites an owner without a script', async () => {
  const { page } = plain
  await page.goto(`${fixture.server.origin}/account`)
  await page.getByRole('link', { name: 'Developer' }).click()
  await page.getByRole('link', { name: 'Register an app' }).click()
  await page.getByLabel('Name', { exact: true }).fill('Handmade')
  await page.getByLabel('Kind').selectOption('native')
  await page.getByLabel('Redirect URIs').fill('com.example.handmade:/callback')
  await press(page, 'Register')
  expect(await read(page)).toContain('Handmade is registered. It waits for approval.')

  await page.getByRole('link', { name: 'Test users', exact: true }).click()
  await page.getByLabel('Email').fill('sam@example.com')
  await press(page, 'Add')
  expect(await read(page)).toContain('sam@example.com may try the app out.')

  await page.getByRole('link', { name: 'Owners', exact: true }).click()
  await page.getByRole('link', { name: 'Invite an owner' }).click()
  await page.getByLabel('Email').fill('sam@example.com')
  await press(page, 'Make the link')
  expect(await read(page)).toContain('Copy the link now')

  await page.goto(`${fixture.server.origin}/developer/invitations/${invitation}`)
  await press(page, 'Accept')
  expect(await read(page)).toContain(`You look after ${LONG} now.`)
  expect(plain.complaints).toEqual([])
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
        await screenshot(page, join(process.env.SCREENSHOTS, `developer-${name}-${scheme}-${device}.png`))
      }
    }
  }
  expect(scripted.complaints.splice(0)).toEqual([])
}
