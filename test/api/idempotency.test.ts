// Two requests with one key at the same time, on connections with the limits of production.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { createIdempotently } from '../../src/api/idempotency.ts'
import { openPool, type Pool } from '../../src/db/pool.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

const ASKED = { who: 'somebody', where: 'POST /clients', key: 'once', what: { name: 'App' } }
const MADE = { status: 201, body: { id: 'made' } }

let database: TestDatabase
let db: Pool
beforeAll(async () => {
  database = await createTestDatabase()
  db = openPool(database.url, 4, 4)
})
afterAll(async () => {
  await db?.close()
  await database?.drop()
})

test('while the first is under way the second is told so, and later what the first has made', async () => {
  const second = Promise.withResolvers<unknown>()
  const first = createIdempotently(db, ASKED, [], async () => {
    createIdempotently(db, ASKED, [], async () => MADE).then(second.resolve, second.resolve)
    await second.promise
    return MADE
  })

  expect(await second.promise).toMatchObject({ status: 409, code: 'idempotency_key_in_use' })
  expect(await first).toEqual({ ...MADE, repeated: false })
  expect(await createIdempotently(db, ASKED, [], async () => MADE)).toEqual({ ...MADE, repeated: true })
})
