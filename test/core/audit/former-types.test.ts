// Events that an earlier version recorded under another name: found and shown by today's, and sealed as they were.
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { listEvents } from '../../../src/core/audit/store.ts'
import { verifyAudit } from '../../../src/core/audit/verify.ts'
import { countAll } from '../../../src/core/overview/counts.ts'
import { type Pool, run, sql } from '../../../src/db/pool.ts'
import { sealAll, secrets } from '../../support/audit.ts'
import { createTestDatabase, type TestDatabase } from '../../support/database.ts'

const user_id = randomUUID()

let database: TestDatabase
let db: Pool
beforeAll(async () => {
  database = await createTestDatabase()
  db = database.db
  for (const type of ['access.ended', 'consent.revoked', 'consent.given']) {
    await run(
      db,
      sql`insert into audit_events (type, actor_type, user_id, client_id, data)
          values (${type}, 'user', ${user_id}, 'c_1', '{"grants": 1}')`,
    )
  }
})
afterAll(() => database?.drop())

test('both are listed, and found by the name of today', async () => {
  const types = async (type?: string) => (await listEvents(db, { user_id, type })).map((event) => event.type)

  expect(await types()).toEqual(['consent.given', 'consent.revoked', 'consent.revoked'])
  expect(await types('consent.revoked')).toEqual(['consent.revoked', 'consent.revoked'])
  expect(await types('consent.given')).toEqual(['consent.given'])
})

test('they count as one', async () => {
  expect((await countAll(db)).day).toMatchObject({ access_ended: 2, apps_allowed: 1 })
})

test('they are sealed, and proved, as they were recorded', async () => {
  await sealAll(db)

  expect(await verifyAudit(db, secrets)).toMatchObject({ ok: true, sealed: 3 })
})
