// The one way to PostgreSQL, when PostgreSQL breaks off, refuses, waits, or has other defaults than ours.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import pg from 'pg'
import { batched } from '../../src/db/batch.ts'
import { DatabaseUnavailable } from '../../src/db/errors.ts'
import { type Db, many, named, one, openPool, type Pool, run, sql, tx } from '../../src/db/pool.ts'

import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { inOneOfFive, until } from '../support/patience.ts'
import { openProxy, placeOf, type TcpProxy, throughProxy } from '../support/proxy.ts'

let database: TestDatabase
let db: Pool
let other: pg.Client
let proxy: TcpProxy
let far: Pool
beforeAll(async () => {
  database = await createTestDatabase({ empty: true })
  db = openPool(database.url, 4, 2)
  await db.pg.query('create table notes (id int primary key, text text not null default 1)')
  other = new pg.Client(database.url)
  await other.connect()
  proxy = await openProxy(placeOf(database.url), 'postgres')
  far = openPool(throughProxy(database.url, proxy), 4, 2)
})
afterAll(async () => {
  await far?.close()
  await proxy?.close()
  await other?.end()
  await db?.close()
  await database?.drop()
})
afterEach(async () => {
  proxy.pass()
  await other.query('rollback')
  await db.pg.query('truncate notes')
})

describe('a transaction', () => {
  test('whose connection is ended between two statements fails with DatabaseUnavailable, and the process lives', async () => {
    const broken = tx(db, async (t) => {
      await note(t, 1)
      const { pid } = await one<{ pid: number }>(t, sql`select pg_backend_pid() as pid`)
      await other.query('select pg_terminate_backend($1)', [pid])
      // Long enough for the end of the connection to arrive while no statement is under way.
      await until(
        async () => (await other.query('select from pg_stat_activity where pid = $1', [pid])).rowCount === 0,
      )
      await new Promise((resolve) => setTimeout(resolve, 50))
      await note(t, 2)
    })

    await expect(broken).rejects.toThrow(DatabaseUnavailable)
    expect(await notes()).toEqual([])
    await tx(db, (t) => note(t, 3))
    expect(await notes()).toEqual([3])
  })

  test('that PostgreSQL rolled back does not resolve, though the error of its statement was swallowed', async () => {
    await note(db, 1)

    const swallowed = tx(db, async (t) => {
      await note(t, 2)
      await note(t, 1).catch(() => {})
      return 'done'
    })

    await expect(swallowed).rejects.toThrow(/duplicate key/)
    expect(await notes()).toEqual([1])
  })

  test.each([
    [true, 'the connection'],
    [false, 'every connection'],
  ])('whose commit is carried out and not answered has happened (%s: %s breaks)', async (only) => {
    // It asks for a second what became of it.
    await inOneOfFive(async () => {
      await db.pg.query('truncate notes')
      await many(far, sql`select 1`)
      const cut = proxy.cutAt({ trip: 3, when: 'done', only })
      if (!only) setTimeout(() => proxy.pass(), 200)

      await tx(far, (t) => note(t, 1))

      expect(cut.happened()).toBe(true)
      expect(await notes()).toEqual([1])
    })
  })

  test.each([1, 2, 3])('that breaks before its %d. message arrives has not happened', async (trip) => {
    await many(far, sql`select 1`)
    const cut = proxy.cutAt({ trip, when: 'asked', only: true })

    await expect(tx(far, (t) => note(t, 1))).rejects.toThrow(DatabaseUnavailable)

    expect(cut.happened()).toBe(true)
    expect(await notes()).toEqual([])
  })

  test('whose commit lies in a silent network does not happen later', async () => {
    const silent = tx(far, async (t) => {
      await note(t, 1)
      proxy.silence({ way: 'up' })
    })

    await expect(silent).rejects.toThrow(DatabaseUnavailable)
    proxy.pass()
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    expect(await notes()).toEqual([])
  })
})

describe('a prepared statement whose result a migration changed', () => {
  const read = (d: Db) => many(d, named('changing', sql`select * from changing`))
  let few: Pool
  beforeEach(async () => {
    few = openPool(database.url, 2, 2)
    await db.pg.query('create table changing (id int)')
    // Prepared on both connections.
    const both = [await few.pg.connect(), await few.pg.connect()]
    for (const client of both) client.release()
    await Promise.all([read(few), read(few)])
    await db.pg.query('alter table changing add text text')
  })
  afterEach(async () => {
    await few.close()
    await db.pg.query('drop table changing')
  })

  test('is prepared anew: nobody notices', async () => {
    expect(await Promise.all([read(few), read(few)])).toEqual([[], []])
  })

  test('fails a transaction, which may be tried again, and not for ever', async () => {
    await expect(tx(few, read)).rejects.toMatchObject({
      name: 'DatabaseUnavailable',
      isOutcomeUnknown: false,
    })
    await tx(few, read).catch(() => {})

    expect(await tx(few, read)).toEqual([])
  })
})

test('nobody waits longer for a connection than for its time, also where it is silent once it is open', async () => {
  const slow = openPool(throughProxy(database.url, proxy), 1, 2)
  const { options } = slow.pg
  const { onConnect } = options
  options.onConnect = (client) => {
    proxy.silence()
    return onConnect!(client)
  }
  const order: string[] = []

  const waiting = many(slow, sql`select 1`).catch((error: Error) => void order.push(error.name))
  setTimeout(() => order.push('1.5 s'), 1_500)
  await until(() => order.length === 2)

  // A statement may take 2 s, a connection 1 s with whatever sets it up.
  expect(order).toEqual(['DatabaseUnavailable', '1.5 s'])
  proxy.pass()
  await waiting
  await slow.close()
})

test('a batch that gets no connection fails as a whole: nobody waits for one call by call', async () => {
  const single = openPool(database.url, 1, 2)
  const held = await single.pg.connect()
  const batches: number[][] = []
  const call = batched(async (keys: number[]) => {
    batches.push(keys)
    await many(single, sql`select 1`)
    return keys
  })

  const answers = await Promise.allSettled([0, 1, 2, 3, 4, 5, 6, 7].map(call))

  held.release()
  await single.close()
  expect(answers.map(({ status }) => status)).toEqual(Array(8).fill('rejected'))
  expect(batches).toEqual([[0], [1, 2, 3, 4, 5, 6, 7]])
})

test('what is given up because of a lock does not commit when the lock is free', async () => {
  await note(db, 1)
  await other.query('begin')
  await other.query('select from notes where id = 1 for update')

  // Postgres gives up, before the client does.
  await inOneOfFive(() =>
    expect(run(db, sql`update notes set text = 'late' where id = 1`)).rejects.toMatchObject({
      name: 'DatabaseUnavailable',
      isOutcomeUnknown: false,
    }),
  )
  await other.query('rollback')
  await new Promise((resolve) => setTimeout(resolve, 300))
  expect(await one(db, sql`select text from notes where id = 1`)).toEqual({ text: '1' })
})

describe('is DatabaseUnavailable, with a certain outcome:', () => {
  const refused: [code: string, work: () => Promise<unknown>][] = [
    ['57014', () => run(db, sql`select pg_sleep(5)`)],
    [
      '55P03',
      async () => {
        await note(db, 1)
        await other.query('begin')
        await other.query('select from notes where id = 1 for update')
        await run(db, sql`select from notes where id = 1 for update nowait`)
      },
    ],
    ['25006', () => tx(db, (t) => run(t, sql`set transaction read only`).then(() => note(t, 1)))],
    ['40001', () => raise('40001')],
    ['53100', () => raise('53100')],
    ['53200', () => raise('53200')],
    ['53300', () => raise('53300')],
    ['40P01', () => raise('40P01')],
  ]
  test.each(refused)('%s', async (code, work) => {
    await inOneOfFive(async () => {
      await other.query('rollback')
      await db.pg.query('truncate notes')
      await expect(work()).rejects.toMatchObject({
        name: 'DatabaseUnavailable',
        isOutcomeUnknown: false,
        cause: expect.objectContaining({ code }),
      })
    })
  })

  test('25P03, a transaction that was idle for too long', async () => {
    const idle = tx(db, async (t) => {
      await run(t, sql`set local idle_in_transaction_session_timeout = '50ms'`)
      await new Promise((resolve) => setTimeout(resolve, 300))
      await note(t, 1)
    })

    await expect(idle).rejects.toThrow(DatabaseUnavailable)
  })
})

test('defaults of the database do not reach the session', async () => {
  const { name } = await one<{ name: string }>(db, sql`select current_database() as name`)
  const defaults = {
    datestyle: "'German, DMY'",
    intervalstyle: "'sql_standard'",
    timezone: "'Asia/Kolkata'",
    bytea_output: "'escape'",
    default_transaction_isolation: "'serializable'",
    synchronous_commit: "'off'",
    idle_in_transaction_session_timeout: '0',
    statement_timeout: '0',
  }
  for (const [key, value] of Object.entries(defaults))
    await other.query(`alter database ${name} set ${key} = ${value}`)
  const fresh = openPool(database.url, 1, 2)
  try {
    const rows = await many<{ name: string; setting: string }>(
      fresh,
      sql`select name, setting from pg_settings where lower(name) = any(${Object.keys(defaults)})`,
    )
    expect(Object.fromEntries(rows.map(({ name, setting }) => [name.toLowerCase(), setting]))).toEqual({
      datestyle: 'ISO, MDY',
      intervalstyle: 'postgres',
      timezone: 'UTC',
      bytea_output: 'hex',
      default_transaction_isolation: 'read committed',
      synchronous_commit: 'on',
      idle_in_transaction_session_timeout: '1600',
      statement_timeout: '1600',
    })
    const { at } = await one<{ at: Date }>(fresh, sql`select timestamptz '2026-11-29 12:00:00+00' as at`)
    expect(at.toISOString()).toBe('2026-11-29T12:00:00.000Z')
  } finally {
    await fresh.close()
    for (const key of Object.keys(defaults)) await other.query(`alter database ${name} reset ${key}`)
  }
})

async function note(t: Db, id: number): Promise<void> {
  await run(t, sql`insert into notes (id) values (${id})`)
}

async function notes(): Promise<number[]> {
  return (await many<{ id: number }>(db, sql`select id from notes order by id`)).map(({ id }) => id)
}

function raise(code: string): Promise<unknown> {
  const text = `do $$ begin raise exception 'as if' using errcode = '${code}'; end $$`
  return run(db, { text, values: [] })
}
