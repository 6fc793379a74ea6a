// Apps that registered themselves and that nobody uses: announced in the audit log, then deleted; whatever is in use stays.
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals'
import { SYSTEM } from '../../../src/base/audit-events.ts'
import { findClient } from '../../../src/core/clients/store.ts'
import { createRegistrationToken } from '../../../src/core/registration/initial-access-tokens.ts'
import { registerDynamicClient } from '../../../src/core/registration/store.ts'
import { sweepUnused } from '../../../src/core/registration/unused.ts'
import { run, sql } from '../../../src/db/pool.ts'
import { App, startServerFixture } from '../../support/flow.ts'

const CALLBACK = 'https://printer.example/callback'
const DOOR = { scopes: ['openid', 'photos.read'], approval: false }

let server: Awaited<ReturnType<typeof startServerFixture>>
beforeAll(async () => {
  server = await startServerFixture({ DYNAMIC_REGISTRATION: 'open' })
})
beforeEach(() => run(server.db, sql`delete from client_registrations`))
afterAll(() => server?.stop())

test('nobody uses it: told a week before, then deleted by the system', async () => {
  const { id } = await registered()

  await pass(id, 22)
  await review(id)
  expect(await types(id)).toEqual(['client.registered'])
  await pass(id, 2)
  await review(id)
  expect(await types(id)).toEqual(['client.removal_announced', 'client.registered'])
  // Told once, and not deleted before its time.
  await pass(id, 3)
  await review(id)
  expect(await findClient(server.db, id)).toBeDefined()
  await pass(id, 4)
  await review(id)

  expect(await findClient(server.db, id)).toBeUndefined()
  const [deleted, announced] = await server.events({ client_id: id })
  expect(deleted).toMatchObject({ type: 'client.deleted', actor_type: 'system' })
  expect(announced!.data).toEqual({ unused_since: expect.any(String), delete_after: expect.any(String) })
})

test('one that was long unused when the server came up is told first all the same', async () => {
  const { id } = await registered()

  await pass(id, 400)
  await review(id)

  expect(await findClient(server.db, id)).toBeDefined()
  expect((await types(id))[0]).toBe('client.removal_announced')
})

test('one that somebody allowed stays; once they removed it, its days count from then', async () => {
  const { id, secret } = await registered()
  const alice = await server.person('Alice')
  await new App(server.origin, id, secret, CALLBACK).connect(alice, { scope: 'openid photos.read' })

  await pass(id, 400)
  await review(id)
  expect(await types(id)).not.toContain('client.removal_announced')
  const apps = await alice.account(`/account/apps/${id}/remove`)
  await alice.press(apps, 'Remove access')
  await pass(id, 20)
  await review(id)
  expect(await types(id)).not.toContain('client.removal_announced')
})

test('one that is used after the warning has to be told again', async () => {
  const { id, secret } = await registered()
  await pass(id, 25)
  await review(id)
  const alice = await server.person('Alice')
  await new App(server.origin, id, secret, CALLBACK).connect(alice, { scope: 'openid photos.read' })
  await alice.press(await alice.account(`/account/apps/${id}/remove`), 'Remove access')

  await pass(id, 31)
  await run(
    server.db,
    sql`update consents set revoked_at = now() - interval '31 days' where client_id = ${id}`,
  )
  await run(
    server.db,
    sql`update grants set last_used_at = now() - interval '31 days' where client_id = ${id}`,
  )
  await review(id)

  expect(await findClient(server.db, id)).toBeDefined()
  expect((await types(id)).filter((type) => type === 'client.removal_announced')).toHaveLength(2)
})

test('what an operator looks after stays: verified, first-party, acting for itself, or registered by hand', async () => {
  const { value } = await createRegistrationToken(
    server.db,
    { scopes: ['photos.read'], client_credentials: true, maxUses: 1, days: 1 },
    SYSTEM,
  )
  const service = await registerDynamicClient(
    server.db,
    { client_name: 'Nightly', grant_types: ['client_credentials'] },
    DOOR,
    value,
    SYSTEM,
  )
  const [verified, own] = [await registered(), await registered()]
  const byHand = await server.app()
  await run(server.db, sql`update clients set verified_at = now() where id = ${verified.id}`)
  await run(server.db, sql`update clients set first_party = true where id = ${own.id}`)

  for (const id of [service!.client.id, verified.id, own.id, byHand.id]) {
    await pass(id, 400)
    await review(id)
    await pass(id, 30)
    await review(id)
    expect(await types(id)).not.toContain('client.removal_announced')
    expect(await findClient(server.db, id)).toBeDefined()
  }
})

test('0 days is never; each is looked at once a day; two that look at once do it once', async () => {
  const { id } = await registered()
  await pass(id, 400)

  expect(await sweepUnused(0)(server.db)).toBe(0)
  const looked = await Promise.all([1, 2, 3, 4].map(() => sweepUnused(30)(server.db)))
  expect(looked.reduce((sum, n) => sum + n, 0)).toBe(1)
  expect(await sweepUnused(30)(server.db)).toBe(0)
  expect((await types(id)).filter((type) => type === 'client.removal_announced')).toHaveLength(1)
})

async function registered(): Promise<{ id: string; secret: string }> {
  const members = { client_name: 'Photo Printer', redirect_uris: [CALLBACK] }
  const made = await registerDynamicClient(server.db, members, DOOR, undefined, SYSTEM)
  return { id: made!.client.id, secret: made!.secret! }
}

/** So many days go by for one app. */
async function pass(id: string, days: number): Promise<void> {
  await run(
    server.db,
    sql`update clients set created_at = created_at - make_interval(days => ${days}) where id = ${id}`,
  )
  await run(
    server.db,
    sql`update client_registrations
        set reviewed_at = reviewed_at - make_interval(days => ${days}),
            warned_at = warned_at - make_interval(days => ${days}) where client_id = ${id}`,
  )
  await run(
    server.db,
    sql`update grants set last_used_at = last_used_at - make_interval(days => ${days}) where client_id = ${id}`,
  )
  await run(
    server.db,
    sql`update consents
        set updated_at = updated_at - make_interval(days => ${days}),
            revoked_at = revoked_at - make_interval(days => ${days}) where client_id = ${id}`,
  )
}

async function review(id: string): Promise<void> {
  await run(
    server.db,
    sql`update client_registrations set reviewed_at = now() - interval '2 days' where client_id = ${id}`,
  )
  await sweepUnused(30)(server.db)
}

async function types(id: string): Promise<string[]> {
  return (await server.events({ client_id: id })).map(({ type }) => type)
}
