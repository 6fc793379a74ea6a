// A session got another id, and nobody was told: it is taken back, unless its person was signed out everywhere meanwhile.
import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import { endSessions } from '../../../src/core/users/search.ts'
import {
  createSession,
  findSession,
  type Rotations,
  sessionRotations,
} from '../../../src/core/users/sessions.ts'
import { setPassword } from '../../../src/core/users/sign-in.ts'
import { disableUser, enableUser } from '../../../src/core/users/store.ts'
import { DatabaseUnavailable } from '../../../src/db/errors.ts'
import { many, openPool, type Pool, sql } from '../../../src/db/pool.ts'
import { type Person, populate, type World } from '../../support/attack.ts'
import { createTestDatabase, type TestDatabase } from '../../support/database.ts'
import { PATIENCE_MS } from '../../support/patience.ts'
import { openProxy, placeOf, type TcpProxy, throughProxy } from '../../support/proxy.ts'

const BY = { type: 'cli' } as const
// Begin, the new id, commit.
const COMMIT = 3

let database: TestDatabase
let world: World
let proxy: TcpProxy
let far: Pool
let rotations: Rotations
beforeAll(async () => {
  database = await createTestDatabase()
  world = await populate(database.db)
  proxy = await openProxy(placeOf(database.url), 'postgres')
  far = openPool(throughProxy(database.url, proxy), 4, PATIENCE_MS / 1000)
  rotations = sessionRotations(far)
})
afterAll(async () => {
  await rotations?.close()
  await far?.close()
  await proxy?.close()
  await database?.drop()
})
afterEach(() => proxy.pass())

test('it is the session of whom it was before', async () => {
  const { from, to } = await rotatedUnheard(world.alice, world.bob)

  proxy.pass()
  await rotations.settle(from)

  expect((await findSession(database.db, { id: from }))?.user?.id).toBe(world.alice.id)
  expect(await findSession(database.db, { id: to })).toBeUndefined()
})

test.each([
  ['signed out everywhere', (id: string) => endSessions(database.db, id, BY)],
  ['given another password', (id: string) => setPassword(database.db, id, 'another long password', BY)],
  [
    'disabled, and enabled again',
    async (id: string) => {
      await disableUser(database.db, id, BY)
      await enableUser(database.db, id, BY)
    },
  ],
])('whoever was %s meanwhile stays signed out', async (_what, end) => {
  const { from, to } = await rotatedUnheard(world.alice, world.bob)

  await end(world.alice.id)
  proxy.pass()
  await rotations.settle(from)

  expect(await findSession(database.db, { id: from })).toBeUndefined()
  expect(await findSession(database.db, { id: to })).toBeUndefined()
})

/** A session of one person at which another has signed in, where the node lost its way to the database with the commit. */
async function rotatedUnheard(before: Person, after: Person): Promise<{ from: string; to: string }> {
  const [from, to] = [newId(), newId()]
  await createSession(database.db, from, stateOf(before))
  // A new connection makes a round trip of its own.
  await many(far, sql`select 1`)
  const cut = proxy.cutAt({ trip: COMMIT, when: 'done', only: false })
  await expect(rotations.rotate(from, to, stateOf(after))).rejects.toThrow(DatabaseUnavailable)
  expect(cut.happened()).toBe(true)
  expect((await findSession(database.db, { id: to }))?.user?.id).toBe(after.id)
  return { from, to }
}

function stateOf({ id }: Person) {
  return { uid: randomUUID(), user_id: id, payload: '{}', expiresIn: 600 }
}

function newId(): string {
  return randomBytes(16).toString('base64url')
}
