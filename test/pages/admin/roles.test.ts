// Every address of the console, held against the URL table itself: who gets in, what a form wants before it changes anything.
// Everybody else, at every address there is, is asked by test/security/route-access.test.ts.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { SYSTEM } from '../../../src/base/audit-events.ts'
import { listKeys } from '../../../src/core/keys/store.ts'
import { createRegistrationToken } from '../../../src/core/registration/initial-access-tokens.ts'
import { one, run, sql } from '../../../src/db/pool.ts'
import type { Page } from '../../support/flow.ts'
import { ROWS } from '../../support/rows.ts'
import { type AdminFixture, adminRows, ageSignIns, csrfOf, startAdminFixture } from './admin-fixture.ts'

let fixture: AdminFixture
let places: Record<string, string>
beforeAll(async () => {
  fixture = await startAdminFixture({ LOG_LEVEL: 'error' })
  const { app, jamie, server } = fixture
  await app.connect(jamie)
  const { id: consent_id } = await one<{ id: string }>(server.db, sql`select id from consents`)
  const { id: secret_id } = await one<{ id: string }>(
    server.db,
    sql`select id from client_secrets where client_id = ${app.id}`,
  )
  const { id: job_id } = await one<{ id: string }>(
    server.db,
    sql`insert into jobs (kind, params, actor, state)
        values ('end_access', ${JSON.stringify({ client_id: app.id })}, '{}', 'done') returning id`,
  )
  const blocked_id = 'https://printer.example/client.json'
  await run(
    server.db,
    sql`insert into clients (id, name, type, registered_by, deleted_at) values (${blocked_id}, 'Printer', 'spa', 'itself', now())`,
  )
  await run(
    server.db,
    sql`insert into client_documents (client_id, digest, fresh_until, refused_at)
        values (${blocked_id}, ${Buffer.alloc(32)}, now(), now())`,
  )
  const changes = [{ field: 'name', from: 'Photo Printer', to: 'Printer' }]
  await run(
    server.db,
    sql`insert into client_changes (client_id, changes, base_version, requested_by)
        values (${app.id}, ${JSON.stringify(changes)}, 1, ${jamie.id})`,
  )
  const { id: api_secret_id } = await one<{ id: string }>(
    server.db,
    sql`select id from client_secrets where client_id = ${server.photos.id}`,
  )
  const base64url = (text: string) => Buffer.from(text).toString('base64url')
  const { token } = await createRegistrationToken(server.db, { scopes: [], maxUses: 1, days: 1 }, SYSTEM)
  places = {
    token_id: token.id,
    client_id: app.id,
    blocked_id: encodeURIComponent(blocked_id),
    secret_id,
    api_secret_id,
    user_id: jamie.id,
    consent_id,
    job_id,
    api: base64url('https://photos.example'),
    scope: base64url('photos.read'),
  }
})
afterAll(() => fixture.server.stop())

const ours = ROWS.filter(({ path }) => path.startsWith('/admin'))

test('the table has rows of the console, and every form has a page at its own address', () => {
  const gets = new Set(ours.filter(({ method }) => method === 'GET').map(({ path }) => path))
  const posts = ours.filter(({ method }) => method === 'POST')

  expect(gets.size).toBeGreaterThan(30)
  expect(posts.filter(({ path }) => !gets.has(path))).toEqual([])
})

describe.each(ours)('$method $path', ({ method, path }) => {
  const address = (): string =>
    path.replace(/:(\w+)/g, (_, name: string) => places[name] ?? `no place for ${name}`)

  test('does not exist for somebody who is no administrator', async () => {
    const page = await ask(fixture.jamie, { csrf: csrfOf(await fixture.jamie.account()) })

    expect(page.status).toBe(404)
    expect(page.text).toContain('There is nothing')
  })

  if (method === 'GET') {
    test('opens for an administrator', async () => {
      const page = await fixture.ada.open(address())

      // One of them is about a filter, and without one it shows the list.
      expect(page.status).toBe(200)
      expect(page.headers.get('cache-control')).toBe('no-store')
      expect(page.html.match(/<h1/g)).toHaveLength(1)
    })
  } else {
    test.each([
      ['without its hidden field', () => ({}), {}],
      [
        'with the hidden field of somebody else',
        async () => ({ csrf: csrfOf(await fixture.jamie.account()) }),
        {},
      ],
      ['from another site', async () => ({ csrf: await ownCsrf() }), { 'Sec-Fetch-Site': 'cross-site' }],
    ] as const)('changes nothing %s', async (_, fields, headers) => {
      const before = await adminRows(fixture.server)

      const page = await fixture.ada.submit(address(), (await fields()) as Record<string, string>, headers)

      expect(page.status).toBe(403)
      expect(await adminRows(fixture.server)).toBe(before)
    })

    test('changes nothing when the sign-in is old, asks to sign in again, and comes back', async () => {
      const csrf = await ownCsrf()
      await ageSignIns(fixture.server, fixture.ada, 16)
      const before = await adminRows(fixture.server)

      const asked = await fixture.ada.submit(address(), { csrf })
      expect(asked.title).toBe('Sign in · Valetkey')
      expect(asked.html).toContain(`value="${fixture.ada.email}"`)
      const page = await fixture.ada.signIn(asked)

      expect(page.status).toBe(200)
      expect(page.text).toContain('Nothing has been changed yet.')
      expect(await adminRows(fixture.server)).toBe(before)
    })
  }

  function ask(person: AdminFixture['ada'], fields: Record<string, string>): Promise<Page> {
    return method === 'GET' ? person.open(address()) : person.submit(address(), fields)
  }
})

async function ownCsrf(): Promise<string> {
  return csrfOf(await fixture.ada.open('/account'))
}

test('the account of an administrator leads to the console, and nobody else’s does', async () => {
  expect((await fixture.ada.account()).html).toContain('href="/admin"')
  expect((await fixture.jamie.account()).html).not.toContain('href="/admin"')
})

test('an old sign-in still reads; the page of a form asks for a new one and then is there', async () => {
  await ageSignIns(fixture.server, fixture.ada, 16)

  expect((await fixture.ada.open('/admin/clients?state=active')).title).toBe('Apps · Valetkey')
  const asked = await fixture.ada.open(`/admin/clients/${fixture.app.id}/suspend`)
  expect(asked.title).toBe('Sign in · Valetkey')
  const page = await fixture.ada.signIn(asked)

  expect(page.text).toContain('Suspend Photo Printer?')
  expect(page.text).not.toContain('Nothing has been changed yet')
})

test('a sign-in of 14 minutes will do', async () => {
  const keys = await listKeys(fixture.server.db)
  await ageSignIns(fixture.server, fixture.ada, 14)

  const page = await fixture.ada.press(await fixture.ada.open('/admin/keys/rotate'), 'Rotate now')

  expect(page.text).toContain('The next keys sign from now on.')
  expect(await listKeys(fixture.server.db)).toHaveLength(keys.length + 2)
})

test('a stranger comes back to the very list, with its filter', async () => {
  const ada = fixture.ada.elsewhere()

  const page = await ada.signIn(await ada.open('/admin/clients?q=photo%20printer&state=active'))

  expect(page.url.pathname + page.url.search).toBe('/admin/clients?q=photo%20printer&state=active')
})

test.each([
  'https://evil.example/',
  '//evil.example',
  '/admin@evil.example',
  '/administrator',
  '/admin\\evil',
])('nobody is sent on to %s', async (state) => {
  const page = await fixture.jamie.open(`/account/signed-in?${new URLSearchParams({ state })}`)

  expect(page.url.pathname).toBe('/account')
})

test('other administrators’ forms do not fit: the hidden field belongs to one session', async () => {
  const elsewhere = fixture.ada.elsewhere()
  await elsewhere.account('/admin')

  const page = await elsewhere.post('/admin/keys/rotate', { csrf: await ownCsrf() })

  expect(page.status).toBe(403)
})
