// People in the console: finding them, what an administrator sees of an account and may do to it, and the last administrator.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { SYSTEM } from '../../../src/base/audit-events.ts'
import { LastAdministrator, setRole } from '../../../src/core/users/roles.ts'
import { disableUser } from '../../../src/core/users/store.ts'
import { many, one, run, sql } from '../../../src/db/pool.ts'
import type { Person, ServerFixture } from '../../support/flow.ts'
import { type AdminFixture, administrator, startAdminFixture } from './admin-fixture.ts'

let fixture: AdminFixture
let server: ServerFixture
let ada: Person
let robin: Person
beforeAll(async () => {
  fixture = await startAdminFixture()
  ;({ server, ada } = fixture)
})
afterAll(() => fixture.server.stop())
beforeEach(async () => {
  robin = await server.person('Robin')
})

test('are found by part of their name or address, by role and by state', async () => {
  await run(server.db, sql`update users set name = ${'Müller <i>'} where id = ${robin.id}`)
  const seen = async (query: Record<string, string>) =>
    (await ada.open(`/admin/users?${new URLSearchParams(query)}`)).text.includes(robin.email)

  expect(await seen({ q: 'müll' })).toBe(true)
  expect(await seen({ q: robin.email.slice(2, 9).toUpperCase() })).toBe(true)
  expect(await seen({ q: 'nobody here' })).toBe(false)
  expect(await seen({ q: 'müll', role: 'admin' })).toBe(false)
  expect(await seen({ q: 'müll', state: 'disabled' })).toBe(false)
  expect((await ada.open('/admin/users?q=m%C3%BCll')).html).toContain('Müller &lt;i&gt;')
  expect((await ada.open('/admin/users?q=mu')).text).toContain('Enter at least 3 characters.')
})

test('one account: what it uses, on which devices, where it is signed in', async () => {
  await fixture.app.connect(robin)
  await fixture.app.connect(robin.elsewhere())

  const page = await ada.open(`/admin/users/${robin.id}`)

  expect(page.text).toContain(robin.email)
  expect(page.text).toContain('Photo Printer')
  expect(page.text).toMatch(/Firefox on Linux \(just now\)/)
  expect(page.text).toMatch(/Safari on iPhone \(just now\)/)
  expect(page.html.match(/Since\s+<time/g)!.length).toBeGreaterThanOrEqual(2)
  expect((await ada.open('/admin/users/00000000-0000-0000-0000-000000000000')).status).toBe(404)
  expect((await ada.open('/admin/users/nobody')).status).toBe(404)
})

test('disabling kills tokens and sessions at once; enabling does not bring them back', async () => {
  const { access_token } = await fixture.app.connect(robin)

  const page = await ada.press(await ada.open(`/admin/users/${robin.id}/disable`), 'Disable')

  expect(page.text).toContain('Robin is disabled.')
  expect(await fixture.server.photos.introspect(access_token)).toEqual({ active: false })
  expect((await robin.open('/account')).title).toBe('Sign in · Valetkey')
  await ada.press(await ada.open(`/admin/users/${robin.id}/enable`), 'Enable')
  expect(await fixture.server.photos.introspect(access_token)).toEqual({ active: false })
  expect((await robin.account()).title).toBe('Profile · Valetkey')
  expect(await server.events({ type: 'user.disabled', user_id: robin.id })).toMatchObject([
    { actor_id: ada.id },
  ])
})

test('signing somebody out everywhere ends sign-ins, and no access; they can sign in anew', async () => {
  const { access_token } = await fixture.app.connect(robin)
  await robin.elsewhere().account()

  const page = await ada.press(await ada.open(`/admin/users/${robin.id}/end-sessions`), 'Sign out everywhere')

  expect(page.text).toContain('2 sign-ins have ended.')
  expect((await robin.open('/account')).title).toBe('Sign in · Valetkey')
  expect((await fixture.server.photos.introspect(access_token)).active).toBe(true)
  expect((await robin.account()).title).toBe('Profile · Valetkey')
})

test('whoever signs themselves out everywhere stays where they are', async () => {
  await ada.elsewhere().account('/admin')

  const page = await ada.press(await ada.open(`/admin/users/${ada.id}/end-sessions`), 'Sign out everywhere')

  expect(page.url.pathname).toBe(`/admin/users/${ada.id}`)
  expect(page.text).toContain('1 sign-in has ended.')
})

test('a role is given and taken, and counts from the next request on', async () => {
  await robin.account()
  await ada.press(await ada.open(`/admin/users/${robin.id}/make-admin`), 'Make an administrator')
  expect((await robin.open('/admin')).status).toBe(200)

  await ada.press(await ada.open(`/admin/users/${robin.id}/make-user`), 'Take the role away')

  expect((await robin.open('/admin')).status).toBe(404)
  const events = await server.events({ type: 'user.role_changed', user_id: robin.id })
  expect(events.map(({ data }) => data)).toEqual([
    { from: 'admin', to: 'user' },
    { from: 'user', to: 'admin' },
  ])
})

describe('the last administrator', () => {
  test.each([
    ['disable', 'Disable'],
    ['make-user', 'Take the role away'],
  ])('stays: %s', async (action, button) => {
    const page = await ada.press(await ada.open(`/admin/users/${ada.id}/${action}`), button)

    expect(page.status).toBe(409)
    expect(page.text).toContain('This is the last administrator who can sign in.')
    expect((await ada.open('/admin')).status).toBe(200)
  })

  test('a disabled administrator does not count as another', async () => {
    const grace = await administrator(server, 'Grace')
    await disableUser(server.db, grace.id, SYSTEM)

    await expect(setRole(server.db, ada.id, 'user', SYSTEM)).rejects.toThrow(LastAdministrator)
    // One who cannot sign in may lose the role.
    expect(await setRole(server.db, grace.id, 'user', SYSTEM)).toBe(true)
  })

  test('of two who take each other away at the same moment one stays, in every way to go', async () => {
    const ways = [
      (id: string) => setRole(server.db, id, 'user', SYSTEM),
      (id: string) => disableUser(server.db, id, SYSTEM),
    ]
    for (let round = 0; round < 12; round++) {
      const grace = await administrator(server, 'Grace')
      await run(server.db, sql`update users set role = 'admin', disabled_at = null where id = ${ada.id}`)

      const ended = await Promise.allSettled([
        ways[round % 2]!(ada.id),
        ways[Math.floor(round / 2) % 2]!(grace.id),
      ])

      const refused = ended.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[]
      expect(refused.map(({ reason }) => reason)).toEqual([expect.any(LastAdministrator)])
      const left = await many(server.db, sql`select from users where role = 'admin' and disabled_at is null`)
      expect(left).toHaveLength(1)
      await run(server.db, sql`update users set role = 'user' where id = ${grace.id}`)
    }
    await run(server.db, sql`update users set role = 'admin', disabled_at = null where id = ${ada.id}`)
    const { count } = await one<{ count: number }>(
      server.db,
      sql`select count(*)::int as count from users where role = 'admin' and disabled_at is null`,
    )
    expect(count).toBe(1)
  })
})
