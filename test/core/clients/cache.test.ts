// Of the registrations in memory, those go first that were asked for longest ago.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { clientDirectory } from '../../../src/core/clients/cache.ts'
import { type Db, type Query, run, sql } from '../../../src/db/pool.ts'
import { createTestDatabase, type TestDatabase } from '../../support/database.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
  await run(
    database.db,
    sql`insert into clients (id, name, type) select 'client' || n, 'C', 'service' from generate_series(1, 5) n`,
  )
})
afterAll(() => database.drop())

test('a client in use stays in memory when more are asked for than are kept', async () => {
  const asked: unknown[] = []
  const db: Db = {
    query(query: Query) {
      asked.push(query.values[0])
      return database.db.query(query)
    },
  }
  const clients = clientDirectory(db, () => true, undefined, 3)

  for (const n of [1, 2, 1, 3, 1, 4, 1, 5, 1]) {
    expect(await clients.find(`client${n}`)).toMatchObject({ id: `client${n}` })
  }
  expect(asked).toEqual(['client1', 'client2', 'client3', 'client4', 'client5'])
  await clients.find('client2')

  expect(asked.slice(5)).toEqual(['client2'])
})

test('an unknown client takes nobody’s place', async () => {
  let asked = 0
  const db: Db = {
    query(query: Query) {
      asked++
      return database.db.query(query)
    },
  }
  const clients = clientDirectory(db, () => true, undefined, 2)
  await clients.find('client1')
  for (let n = 0; n < 5; n++) expect(await clients.find('nobody')).toBeUndefined()
  asked = 0

  await clients.find('client1')

  expect(asked).toBe(0)
})
