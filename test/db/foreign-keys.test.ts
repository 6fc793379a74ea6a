// A row that goes takes along, or is asked for by, the rows that refer to it: without an index each of them reads a whole table.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { many, run, sql } from '../../src/db/pool.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database?.drop())

// Its columns come first, in any order, in an index over all rows that can refer to something.
const withoutIndex = () =>
  many<{ key: string }>(
    database.db,
    sql`select c.conrelid::regclass || ' (' || string_agg(a.attname, ', ' order by a.attnum) || ')' as key
        from pg_constraint c
        join pg_attribute a on a.attrelid = c.conrelid and a.attnum = any(c.conkey)
        where c.contype = 'f'
        group by c.oid, c.conrelid, c.conkey
        having not exists (
          select from pg_index i
          where i.indrelid = c.conrelid and i.indisvalid
            and (select array_agg(k order by k) from unnest((i.indkey::int2[])[0:cardinality(c.conkey) - 1]) k)
                = (select array_agg(k order by k) from unnest(c.conkey) k)
            and (i.indpred is null
                 or (cardinality(c.conkey) = 1
                     and pg_get_expr(i.indpred, i.indrelid) = '(' || min(quote_ident(a.attname)) || ' IS NOT NULL)')))
        order by 1`,
  )

test('every foreign key has an index', async () => {
  const { length } = await many(database.db, sql`select from pg_constraint where contype = 'f'`)

  expect(length).toBeGreaterThan(20)
  expect(await withoutIndex()).toEqual([])
})

test('an index over some of the rows is none', async () => {
  await run(database.db, sql`drop index tokens_client`)
  await run(database.db, sql`create index tokens_client on tokens (client_id) where consumed_at is null`)

  expect(await withoutIndex()).toEqual([{ key: 'tokens (client_id)' }])
})
