// The schema: any number of starts at once, and an honest answer about where it stands.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { migrate, migrationStatus } from '../../src/db/migrate.ts'
import { openPool, run, sql } from '../../src/db/pool.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase({ empty: true })
})
afterAll(() => database.drop())

test('an empty database has everything pending', async () => {
  const { applied, pending } = await migrationStatus(database.db)

  expect(applied).toEqual([])
  expect(pending[0]).toBe('0001_users')
  expect(pending).toEqual([...pending].sort())
})

test('twenty starts at once apply each migration exactly once, and none of them fails', async () => {
  const { pending } = await migrationStatus(database.db)
  const pools = Array.from({ length: 20 }, () => openPool(database.url, 2))

  const applied = await Promise.all(pools.map((pool) => migrate(pool)))
  await Promise.all(pools.map((pool) => pool.close()))

  expect(applied.filter((names) => names.length > 0)).toEqual([pending])
  expect(await migrationStatus(database.db)).toEqual({ applied: pending, pending: [] })
})

test('an older version starts on the database of a later one, so a release can be taken back', async () => {
  await run(database.db, sql`insert into migrations (name, run_on) values ('9999_from_the_future', now())`)

  expect(await migrate(database.db)).toEqual([])

  expect((await migrationStatus(database.db)).pending).toEqual([])
})
