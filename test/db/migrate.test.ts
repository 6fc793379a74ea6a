// The schema: any number of starts at once, beside nodes of the version before, and an honest answer about where it stands.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import pg from 'pg'
import { DatabaseUnavailable } from '../../src/db/errors.ts'
import { MigrationFailed, migrate, migrationStatus, SchemaTooNew } from '../../src/db/migrate.ts'
import { many, one, openPool, run, sql } from '../../src/db/pool.ts'
import { against } from '../cli/run.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { until } from '../support/patience.ts'
import { runMain, SECRET_KEYS, startServer } from '../support/server.ts'

const OURS = join(import.meta.dirname, '../../migrations')

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
  expect(await migrationStatus(database.db)).toEqual({ applied: pending, pending: [], tooNew: [] })
})

test('an older version starts on the database of a later one, so a release can be taken back', async () => {
  await run(database.db, sql`insert into migrations (name, run_on) values ('9999_from_the_future', now())`)

  expect(await migrate(database.db)).toEqual([])

  expect((await migrationStatus(database.db)).pending).toEqual([])
})

test('what a released version has applied is known, and only the rest is applied', async () => {
  // As node-pg-migrate 9, which version 0.1 used, leaves it.
  const released = (await readdir(OURS)).sort().filter((file) => file <= '0020_device_flow.sql')
  const old = await createTestDatabase({ empty: true })
  try {
    await old.db.pg.query(
      'create table "public"."migrations" (id serial primary key, name varchar(255) not null, run_on timestamp not null)',
    )
    for (const file of released) {
      await old.db.pg.query(await readFile(join(OURS, file), 'utf8'))
      await old.db.pg.query('insert into "public"."migrations" (name, run_on) values ($1, now())', [
        file.replace('.sql', ''),
      ])
    }
    const { pending } = await migrationStatus(old.db)

    expect(await migrate(old.db)).toEqual(pending)

    expect(pending).toContain('0033_breaking_migrations')
    expect(pending.every((name) => name > '0020_device_flow')).toBe(true)
  } finally {
    await old.drop()
  }
})

test('no migration since 0.1 locks a table for as long as an index takes', async () => {
  for (const file of await readdir(OURS)) {
    if (file <= '0020_device_flow.sql') continue
    const text = (await readFile(join(OURS, file), 'utf8')).replace(/--.*$/gm, '')
    const made = [...text.matchAll(/create table (?:if not exists )?(\w+)/g)].map(([, table]) => table)
    const indexed = [...text.matchAll(/create (?:unique )?index (?!concurrently)\w+\s+on (\w+)/g)]

    expect({
      file,
      tables: indexed.map(([, table]) => table).filter((table) => !made.includes(table)),
    }).toEqual({ file, tables: [] })
  }
})

describe('a later version', () => {
  let db: TestDatabase
  let directory: string
  beforeEach(async () => {
    db = await createTestDatabase()
    directory = await mkdtemp(join(tmpdir(), 'valetkey-migrations-'))
    await cp(OURS, directory, { recursive: true })
  })
  afterEach(async () => {
    await db.drop()
    await rm(directory, { recursive: true })
  })

  const brings = (name: string, text: string) => writeFile(join(directory, `${name}.sql`), text)
  const later = (patienceSeconds?: number) => migrate(db.db, { directory, patienceSeconds })
  const applied = async () => (await migrationStatus(db.db, directory)).applied
  /** How many sessions of a migration wait for somebody. */
  const waiting = async () =>
    (
      await one<{ n: number }>(
        db.db,
        sql`select count(*)::int as n from pg_stat_activity
            where datname = current_database() and application_name = 'valetkey migrate' and wait_event_type = 'Lock'`,
      )
    ).n
  /** A session of a node of the version before. */
  const reader = async () => {
    const client = new pg.Client(db.url)
    await client.connect()
    return client
  }

  test('waits for a reader of the version before, who reads in the other order, and never makes it fail', async () => {
    await brings('9001_both', 'alter table clients add x int; alter table tokens add x int;')
    const old = await reader()
    try {
      await old.query('begin')
      await old.query('select from tokens')
      const migrated = later()
      await until(async () => (await waiting()) > 0)

      // Behind the migration, which has this table locked and waits for the other one.
      await old.query('select from clients')
      await sleep(1500)
      await old.query('select from clients')
      await old.query('commit')

      expect(await migrated).toEqual(['9001_both'])
    } finally {
      await old.end()
    }
  })

  test('gives up after some minutes and says why; what was applied stays, and the next start goes on', async () => {
    await brings('9001_first', 'create table first (x int);')
    await brings('9002_blocked', 'create table second (x int); alter table clients add x int;')
    const old = await reader()
    try {
      await old.query('begin; select from clients')

      const failure = await later(1).catch((error: unknown) => error)

      expect(failure).toBeInstanceOf(MigrationFailed)
      expect((failure as Error).message).toMatch(/9002_blocked needs locks that others hold.* 1 seconds/)
      expect((await applied()).at(-1)).toBe('9001_first')
    } finally {
      await old.end()
    }
    expect(await later()).toEqual(['9002_blocked'])
  })

  test('says which migration failed, and leaves nothing of it', async () => {
    await brings('9001_wrong', 'create table half (x int); select 1 / 0;')

    await expect(later()).rejects.toThrow('Migration 9001_wrong failed: division by zero')

    expect(await many(db.db, sql`select from pg_tables where tablename = 'half'`)).toEqual([])
  })

  test('a start waits for another one for some time, and then says who it is', async () => {
    await brings('9001_first', 'create table first (x int);')
    const other = await reader()
    try {
      await other.query('select pg_advisory_lock(7241865325823964)')

      await expect(later(1)).rejects.toThrow(
        /^Another start \(process \d+ of PostgreSQL, from .+\) is migrating/,
      )
    } finally {
      await other.end()
    }
    expect(await later()).toEqual(['9001_first'])
  })

  test('killed in the middle of a migration, it leaves all of it or nothing, and the next start goes on', async () => {
    await brings('9001_first', 'create table first (x int);')
    await brings(
      '9002_slow',
      'create table slow (x int); select pg_advisory_xact_lock(4711); create table slower (x int);',
    )
    const gate = await reader()
    await gate.query('select pg_advisory_lock(4711)')
    const script = `
      import { migrate } from '${new URL('../../src/db/migrate.ts', import.meta.url)}'
      import { openPool } from '${new URL('../../src/db/pool.ts', import.meta.url)}'
      await migrate(openPool(process.env.URL, 2), { directory: process.env.DIRECTORY })`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      env: { ...process.env, URL: db.url, DIRECTORY: directory },
      stdio: 'inherit',
    })
    await until(async () => (await applied()).at(-1) === '9001_first' && (await waiting()) > 0)
    child.kill('SIGKILL')
    await once(child, 'exit')
    await gate.end()

    expect(await later()).toEqual(['9002_slow'])

    expect(await many(db.db, sql`select from pg_tables where tablename like 'slow%'`)).toHaveLength(2)
  })

  test('a connection that breaks is DatabaseUnavailable, the process lives, and an index that was begun is made anew', async () => {
    await brings(
      '9001_index',
      '-- Finding them.\n-- concurrently\ncreate index concurrently if not exists clients_name on clients (name);',
    )
    const validity = () =>
      many<{ indisvalid: boolean }>(
        db.db,
        sql`select indisvalid from pg_index where indexrelid = to_regclass('clients_name')`,
      )
    const old = await reader()
    try {
      // Whoever has seen a table before its index holds the index up until it is gone.
      await old.query('begin isolation level repeatable read; select from clients')
      const migrated = later().catch((error: unknown) => error)
      await until(async () => (await validity()).length === 1 && (await waiting()) > 0)
      await run(db.db, sql`insert into clients (id, name, type) values ('meanwhile', 'Meanwhile', 'service')`)
      await run(
        db.db,
        sql`select pg_terminate_backend(pid) from pg_stat_activity
            where datname = current_database() and application_name = 'valetkey migrate'`,
      )

      expect(await migrated).toBeInstanceOf(DatabaseUnavailable)
      expect(await validity()).toEqual([{ indisvalid: false }])
    } finally {
      await old.end()
    }

    expect(await later()).toEqual(['9001_index'])
    expect(await validity()).toEqual([{ indisvalid: true }])
  })

  test('twenty starts at once make an index without locking, although such an index waits for everybody', async () => {
    await brings(
      '9001_index',
      '-- concurrently\ncreate index concurrently if not exists clients_name on clients (name);',
    )
    const pools = Array.from({ length: 20 }, () => openPool(db.url, 2))

    const done = await Promise.all(pools.map((pool) => migrate(pool, { directory })))
    await Promise.all(pools.map((pool) => pool.close()))

    expect(done.filter((names) => names.length > 0)).toEqual([['9001_index']])
  })

  test('a long change goes in batches, each in a transaction of its own, around rows that others hold', async () => {
    await run(db.db, sql`create table many_rows as select n, false as done from generate_series(1, 25) as n`)
    await brings(
      '9001_fill',
      `-- batched
       update many_rows set done = true where n in (select n from many_rows where not done limit 10);`,
    )

    expect(await later()).toEqual(['9001_fill'])

    const batches = await many<{ n: number }>(
      db.db,
      sql`select count(*)::int as n from many_rows where done group by xmin::text order by n`,
    )
    expect(batches.map(({ n }) => n)).toEqual([5, 10, 10])
  })

  test('a breaking migration stops what does not know it: starts, commands, and nodes that run by /readyz', async () => {
    const running = await startServer({ databaseUrl: db.url })
    try {
      await brings('9001_other', 'create table other (x int);')
      await brings('9002_breaking', '-- Another shape.\n-- breaking\n\nalter table clients add x int;')
      const health = async () => {
        const answer = await fetch(`${running.origin}/readyz`)
        return [answer.status, ((await answer.json()) as { too_new_migrations: number }).too_new_migrations]
      }
      expect(await health()).toEqual([200, 0])

      expect(await later()).toEqual(['9001_other', '9002_breaking'])

      // What /readyz has found is a second old at most.
      await until(async () => (await health())[0] !== 200)
      expect(await health()).toEqual([503, 1])
    } finally {
      await running.stop()
    }
    const sentence = /too old for the database: a later one applied 9002_breaking/
    await expect(migrate(db.db)).rejects.toThrow(SchemaTooNew)
    const started = runMain({
      DATABASE_URL: db.url,
      SECRET_KEYS,
      ISSUER_URL: 'http://localhost:1',
      PORT: '1',
    })
    expect(await started.exited).toBe(65)
    expect(started.output()).toMatch(sentence)
    const cli = against(db.url)
    for (const args of [
      ['users', 'list'],
      ['migrate', 'up'],
    ]) {
      expect(await cli.run(args)).toEqual({ code: 65, stdout: '', stderr: expect.stringMatching(sentence) })
    }
    expect((await cli.run(['migrate', 'status'])).stdout).toMatch(/^9002_breaking +applied, breaks/m)
    expect(await later()).toEqual([])
  })
})
