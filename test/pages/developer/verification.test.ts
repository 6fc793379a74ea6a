// "Verified" is about those who looked after the app when it was verified: it falls when the last of them is gone.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { SYSTEM } from '../../../src/base/audit-events.ts'
import { removeOwner } from '../../../src/core/clients/owners.ts'
import { approveClient, unverifyClient, verifyClient } from '../../../src/core/clients/review.ts'
import { findClient } from '../../../src/core/clients/store.ts'
import { updateClient } from '../../../src/core/clients/update.ts'
import { acceptInvitation, createInvitation } from '../../../src/core/ownership/invitations.ts'
import { disableUser, enableUser } from '../../../src/core/users/store.ts'
import { one, sql } from '../../../src/db/pool.ts'
import { tokenFor } from '../../api/api-fixture.ts'
import type { App, Person } from '../../support/flow.ts'
import { type DeveloperFixture, ownApp, startDeveloperFixture } from './developer-fixture.ts'

let fixture: DeveloperFixture
let server: DeveloperFixture['server']
let app: App
let first: Person
let second: Person
let third: Person
beforeAll(async () => {
  fixture = await startDeveloperFixture({ DEVELOPER_REGISTRATION: 'open' })
  ;({ server } = fixture)
})
afterAll(() => fixture.server.stop())
beforeEach(async () => {
  first = await server.person('First')
  second = await server.person('Second')
  third = await server.person('Third')
  app = await ownApp(fixture, first)
})

const asUser = ({ id }: Person) => ({ type: 'user' as const, id })
const verify = () => verifyClient(server.db, app.id, SYSTEM)
const leaves = (who: Person, by = who) => removeOwner(server.db, app.id, who.id, asUser(by))
const standing = async () => (await findClient(server.db, app.id))!

async function invitation(from: Person, to: Person): Promise<string> {
  const made = await createInvitation(server.db, app.id, to.email, { mailed: false }, asUser(from))
  return made!.secret!
}

async function joins(who: Person, from = first): Promise<void> {
  await acceptInvitation(server.db, await invitation(from, who), asUser(who))
}

test('owners replaced one by one take it with them, and everybody sees why', async () => {
  await verify()
  await joins(second)
  expect((await standing()).verified_at).not.toBeNull()
  await second.account('/developer')

  await leaves(first)

  expect(await standing()).toMatchObject({ verified_at: null, verification_fell_at: expect.any(Date) })
  const [event] = await server.events({ type: 'client.unverified', client_id: app.id })
  expect(event).toMatchObject({ actor_id: first.id, data: { reason: 'owners_left' } })
  expect((await second.open(`/developer/apps/${app.id}`)).text).toContain('It is no longer verified')
  const seen = await fixture.ada.open(`/admin/clients/${app.id}`)
  expect(seen.text).toContain('The last owner that an administrator vouched for left')
  const consent = await third.signIn(await third.open((await app.begin()).url))
  expect(consent.text).toContain('Not verified')
})

test('an app of the operator’s own is none any more, and people are asked again', async () => {
  await updateClient(server.db, app.id, { first_party: true }, SYSTEM)
  await joins(second)
  expect((await standing()).first_party).toBe(true)

  await leaves(first)

  expect(await standing()).toMatchObject({ first_party: false, verification_fell_at: expect.any(Date) })
  const [event] = await server.events({ type: 'client.changed', client_id: app.id })
  expect(event!.data).toMatchObject({ changes: [{ field: 'first_party', from: true, to: false }] })
})

test('one of those that it was given to is enough', async () => {
  await joins(second)
  await verify()
  await joins(third)

  await leaves(first, third)
  expect((await standing()).verified_at).not.toBeNull()
  await leaves(second, third)

  expect((await standing()).verified_at).toBeNull()
})

test('whoever leaves and comes back is somebody new', async () => {
  await verify()
  await joins(second)
  await leaves(first, second)

  await joins(first, second)

  expect((await standing()).verified_at).toBeNull()
})

test('an account that is disabled does not hold it for others', async () => {
  await verify()
  await disableUser(server.db, first.id, SYSTEM)
  // Nobody is left who could change the app.
  expect((await standing()).verified_at).not.toBeNull()
  await enableUser(server.db, first.id, SYSTEM)
  await joins(second)

  await disableUser(server.db, first.id, SYSTEM)
  expect((await standing()).verified_at).toBeNull()
  await enableUser(server.db, first.id, SYSTEM)

  expect((await standing()).verified_at).toBeNull()
})

test('verifying it anew is about those who are there now', async () => {
  await verify()
  await joins(second)
  await leaves(first)

  await verify()
  expect(await standing()).toMatchObject({ verified_at: expect.any(Date), verification_fell_at: null })
  await joins(third, second)
  await leaves(third)

  expect((await standing()).verified_at).not.toBeNull()
})

test('what administrators take back has not fallen, and what nobody owns stays', async () => {
  const ours = await server.app()
  await verifyClient(server.db, ours.id, SYSTEM)
  await verify()
  await unverifyClient(server.db, app.id, SYSTEM)
  await joins(second)
  await leaves(first)

  expect(await standing()).toMatchObject({ verified_at: null, verification_fell_at: null })
  expect((await findClient(server.db, ours.id))!.verified_at).not.toBeNull()
})

test('the Admin API says so', async () => {
  await verify()
  await joins(second)
  await leaves(first)
  const office = await server.app({ name: 'Office', scopes: ['openid', 'clients:read'] })
  const token = await tokenFor(office, fixture.ada.elsewhere(), ['clients:read'])

  const answer = await fetch(`${server.origin}/api/v1/clients/${app.id}`, {
    headers: { Authorization: `Bearer ${token}` },
  })

  expect(await answer.json()).toMatchObject({ verified_at: null, verification_fell_at: expect.any(String) })
})

describe('whoever decides', () => {
  test.each([
    ['came', () => joins(second)],
    [
      'went',
      async () => {
        await joins(second)
        const { version } = await standing()
        await leaves(second)
        return version
      },
    ],
  ])('looks again when an owner %s meanwhile', async (_, change) => {
    app = await ownApp(fixture, first, { approval: true })
    const before = (await standing()).version
    const seen = (await change()) ?? before

    await expect(approveClient(server.db, app.id, SYSTEM, seen)).rejects.toThrow('changed meanwhile')
    await expect(verifyClient(server.db, app.id, SYSTEM, seen)).rejects.toThrow('changed meanwhile')
    expect((await standing()).state).toBe('pending')
  })

  test('in the console, is shown the app as it stands now', async () => {
    app = await ownApp(fixture, first, { approval: true })
    const form = await fixture.ada.open(`/admin/clients/${app.id}/approve`)
    await joins(second)
    await updateClient(server.db, app.id, { homepage_uri: 'https://calendar.example/' }, SYSTEM)

    const refused = await fixture.ada.press(form, 'Approve')

    expect(refused.status).toBe(409)
    expect(refused.text).toContain('It was changed since you looked at it: Web page, Owners.')
    expect(refused.text).toContain(second.email)
    expect((await standing()).state).toBe('pending')
    expect((await fixture.ada.press(refused, 'Approve')).text).toContain('is approved')
  })
})

test('coming and being disabled at once: verification stays with nobody new alone', async () => {
  for (let round = 0; round < 10; round++) {
    first = await server.person('First')
    second = await server.person('Second')
    app = await ownApp(fixture, first)
    await verify()
    const secret = await invitation(first, second)

    await Promise.all([
      disableUser(server.db, first.id, SYSTEM),
      acceptInvitation(server.db, secret, asUser(second)),
    ])

    const { is_owner, is_verified } = await one<{ is_owner: boolean; is_verified: boolean }>(
      server.db,
      sql`select exists (select from client_owners where client_id = ${app.id} and user_id = ${second.id}) as is_owner,
                 verified_at is not null as is_verified
          from clients where id = ${app.id}`,
    )
    expect(is_verified).toBe(!is_owner)
  }
})
