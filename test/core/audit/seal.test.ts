// Sealing: every row once, in an order that nothing can get in front of later, without a writer waiting for it.
import { randomUUID } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { pino } from 'pino'
import { secretsFrom } from '../../../src/base/secrets.ts'
import { exportAudit } from '../../../src/core/audit/export.ts'
import { sealAudit, startSealer } from '../../../src/core/audit/seal.ts'
import { record } from '../../../src/core/audit/store.ts'
import { verifyAudit } from '../../../src/core/audit/verify.ts'
import { startEmbedded, THROW_AWAY } from '../../../src/db/embedded.ts'
import { migrate } from '../../../src/db/migrate.ts'
import { type Db, many, one, openPool, type Pool, run, sql, tx } from '../../../src/db/pool.ts'
import { createLogger } from '../../../src/http/log.ts'
import { highestId, KEYS, recordSome, sealAll, secrets, settled, tamper } from '../../support/audit.ts'
import { createTestDatabase, serverOfItsOwn, type TestDatabase } from '../../support/database.ts'
import { until } from '../../support/patience.ts'
import { SECRET_KEYS, startServer } from '../../support/server.ts'

let server: Awaited<ReturnType<typeof serverOfItsOwn>>
let database: TestDatabase
let db: Pool
beforeAll(async () => {
  server = await serverOfItsOwn()
})
afterAll(() => server?.stop())
beforeEach(async () => {
  database = await createTestDatabase({ poolSize: 14 })
  db = database.db
})
afterEach(() => database.drop())

test('rows are sealed in batches, and all of it is proved; a second time there is nothing to do', async () => {
  await run(
    db,
    sql`insert into audit_events (type, actor_type, ip, data)
        select 'sign_in.limited', 'system', '203.0.113.7', json_build_object('n', n) from generate_series(1, 2500) n`,
  )

  await sealAll(db)

  const sizes = await many<{ id: string; rows: number }>(
    db,
    sql`select id, cardinality(row_ids) as rows from audit_seals order by id`,
  )
  expect(sizes).toEqual([
    { id: '1', rows: 1000 },
    { id: '2', rows: 1000 },
    { id: '3', rows: 500 },
  ])
  expect(await sealAudit(db, secrets)).toMatchObject({ rows: 0, seal: '3' })
  expect(await verifyAudit(db, secrets)).toMatchObject({ ok: true, sealed: 2500, unsealed: 0, seals: 3 })
})

test('an empty record is whole, and gets no seal', async () => {
  expect(await sealAudit(db, secrets)).toEqual({ rows: 0 })

  expect(await verifyAudit(db, secrets)).toEqual({
    ok: true,
    finding: null,
    sealed: 0,
    unsealed: 0,
    unsealed_since: null,
    seals: 0,
    head: null,
  })
})

test('what was recorded before there were seals is sealed like everything else', async () => {
  await run(db, sql`drop table audit_seals`)
  await run(db, sql`drop function audit_seals_are_append_only`)
  await run(db, sql`alter table audit_events drop column tx`)
  const old = await recordSome(db, 5)

  await db.pg.query(
    await readFile(new URL('../../../migrations/0010_audit_seals.sql', import.meta.url), 'utf8'),
  )
  const recent = await recordSome(db, 2)
  await sealAll(db)

  expect(await sealedIds()).toEqual([...old, ...recent])
  expect(await verifyAudit(db, secrets)).toMatchObject({ ok: true, sealed: 7 })
})

test('neither a row nor a seal can be changed by an ordinary statement', async () => {
  await recordSome(db, 1)
  await sealAll(db)

  await expect(run(db, sql`update audit_seals set max_id = 7`)).rejects.toThrow('audit_seals is append-only')
  await expect(run(db, sql`delete from audit_seals`)).rejects.toThrow('audit_seals is append-only')
  await expect(run(db, sql`truncate audit_seals`)).rejects.toThrow('audit_seals is append-only')
  await expect(run(db, sql`update audit_events set tx = '7'`)).rejects.toThrow('audit_events is append-only')
})

describe('a transaction that commits late', () => {
  test('holds back what comes after it, and is sealed in its place', async () => {
    const [before] = await recordSome(db, 1)
    await sealAll(db)
    const commit = Promise.withResolvers<void>()
    const recorded = Promise.withResolvers<void>()
    const late = tx(db, async (t) => {
      await recordOne(t)
      recorded.resolve()
      await commit.promise
    })
    await recorded.promise

    await recordSome(db, 5)
    for (let i = 0; i < 3; i++) await sealAudit(db, secrets)

    expect(await sealedIds()).toEqual([before])
    expect(await verifyAudit(db, secrets)).toMatchObject({ ok: true, sealed: 1, unsealed: 5 })

    commit.resolve()
    await late
    await sealAll(db)
    expect(await sealedIds()).toEqual(await allIds())
    expect(await verifyAudit(db, secrets)).toMatchObject({ ok: true, sealed: 7, unsealed: 0 })
  })

  test('with an id below those that are sealed already: it is sealed after them, and the record is whole', async () => {
    // Between drawing its id and getting its number, a transaction may be overtaken by any number of others. tx() gets a
    // number when it begins; what others send to the database need not.
    const { id } = await one<{ id: string }>(
      db,
      sql`select nextval(pg_get_serial_sequence('audit_events', 'id')) as id`,
    )
    const late = await db.pg.connect()
    await late.query('begin')
    const others = await recordSome(db, 3)
    await sealAll(db)
    expect(await sealedIds()).toEqual(others)

    await late.query(
      `insert into audit_events (id, type, actor_type) overriding system value
       values ($1, 'sign_in.limited', 'system')`,
      [id],
    )
    await late.query('commit')
    late.release()
    await sealAll(db)

    expect(BigInt(id)).toBeLessThan(BigInt(others[0]!))
    expect(await sealedIds()).toEqual([...others, id])
    expect(await verifyAudit(db, secrets)).toMatchObject({ ok: true, sealed: 4 })
  })
})

test('eight writers and two sealers at once: every row is sealed once, and nobody fails', async () => {
  let writing = true
  const sealer = async (): Promise<void> => {
    while (writing) {
      await sealAudit(db, secrets)
      await sleep(3)
    }
  }
  const seals = async () => (await many(db, sql`select from audit_seals`)).length
  const writer = async (n: number): Promise<void> => {
    // A long transaction in another database of this server, another test's, holds all sealing up.
    for (let i = 0; i < 60 || (await seals()) <= 5; i++) {
      await tx(db, async (t) => {
        for (let k = 0; k <= i % 4; k++) await recordOne(t)
        // Some stay open over others, some come to nothing.
        if (i % 10 === n) await sleep(15)
        if (i % 7 === 0) throw new Error('changed my mind')
      }).catch((error) => expect(error.message).toBe('changed my mind'))
    }
  }
  const sealing = [sealer(), sealer()]
  await Promise.all(Array.from({ length: 8 }, (_, n) => writer(n)))
  writing = false
  await Promise.all(sealing)

  await sealAll(db)

  const ids = await sealedIds()
  expect(new Set(ids).size).toBe(ids.length)
  expect([...ids].sort()).toEqual([...(await allIds())].sort())
  expect(await verifyAudit(db, secrets)).toMatchObject({ ok: true, sealed: ids.length, unsealed: 0 })
})

test('a node that finds another one sealing does nothing, and waits for nothing', async () => {
  await recordSome(db, 3)
  const done = Promise.withResolvers<void>()
  const locked = Promise.withResolvers<void>()
  const other = tx(db, async (t) => {
    await run(t, sql`select pg_advisory_xact_lock(hashtext('valetkey audit seals'))`)
    locked.resolve()
    await done.promise
  })
  await locked.promise

  expect(await sealAudit(db, secrets)).toEqual({ rows: 0 })

  done.resolve()
  await other
  await sealAll(db)
  expect(await sealedIds()).toHaveLength(3)
})

test('writers are not held up by a sealer that stands still', async () => {
  await recordSome(db, 2)
  const done = Promise.withResolvers<void>()
  const locked = Promise.withResolvers<void>()
  const sealer = tx(db, async (t) => {
    await run(t, sql`select pg_advisory_xact_lock(hashtext('valetkey audit seals'))`)
    await many(t, sql`select id from audit_events order by tx, id`)
    await run(t, sql`lock table audit_seals in row exclusive mode`)
    locked.resolve()
    await done.promise
  })
  await locked.promise

  await tx(db, async (t) => {
    await run(t, sql`set local lock_timeout = '20s'`)
    await recordOne(t)
  })

  done.resolve()
  await sealer
})

describe('keys', () => {
  test('after a rotation, old seals are proved while the old key is in the list', async () => {
    await recordSome(db, 2)
    await sealAll(db, secretsFrom([KEYS.old]))
    const both = secretsFrom([KEYS.current, KEYS.old])

    expect(await verifyAudit(db, both)).toMatchObject({ ok: true, sealed: 2, seals: 1 })
    expect(await verifyAudit(db, secrets)).toMatchObject({
      ok: false,
      finding: { problem: 'key_unknown', id: '1' },
    })
  })

  test('once the current key has sealed on top, the old one can be dropped', async () => {
    await recordSome(db, 2)
    await sealAll(db, secretsFrom([KEYS.old]))
    const both = secretsFrom([KEYS.current, KEYS.old])

    // Nothing happens meanwhile; an empty seal carries over.
    expect(await sealAudit(db, both, { carryOverSeconds: 3600 })).toMatchObject({ rows: 0, seal: '1' })
    expect(await sealAudit(db, both, { carryOverSeconds: 0 })).toMatchObject({ rows: 0, seal: '2' })
    expect(await sealAudit(db, both, { carryOverSeconds: 0 })).toMatchObject({ rows: 0, seal: '2' })
    await recordSome(db, 1)
    await sealAll(db)

    expect(await verifyAudit(db, secrets)).toMatchObject({ ok: true, sealed: 3, seals: 3 })
  })

  test('without the key of the last seal nothing is sealed on top of it', async () => {
    await recordSome(db, 2)
    await sealAll(db, secretsFrom([KEYS.old]))
    await recordSome(db, 1)

    await expect(sealAudit(db, secrets)).rejects.toThrow('a key that is not in SECRET_KEYS')

    await sealAll(db, secretsFrom([KEYS.current, KEYS.old]))
    expect(await verifyAudit(db, secrets)).toMatchObject({ ok: true, sealed: 3 })
  })
})

describe('the background task', () => {
  test('seals, and stops when it is told to', async () => {
    await recordSome(db, 3)
    const sealer = startSealer({ db, secrets, log: createLogger('silent') }, 0.02)

    await until(async () => (await sealedIds()).length >= 3)

    await sealer.close()
    await recordSome(db, 1)
    await sleep(100)
    expect(await sealedIds()).toHaveLength(3)
  })

  test('runs in the server, which logs each head', async () => {
    const server = await startServer({ databaseUrl: database.url })
    try {
      // What a first start records may be sealed in more than one round.
      const sealed = (): { rows: number; head: string }[] =>
        server
          .output()
          .split('\n')
          .filter((line) => line.includes('audit sealed'))
          .map((line) => JSON.parse(line))
      const rows = () => sealed().reduce((sum, { rows }) => sum + rows, 0)
      await until(() => rows() >= 4)

      const head = sealed().at(-1)?.head
      const keys = secretsFrom([SECRET_KEYS])
      expect(await verifyAudit(db, keys, { head })).toMatchObject({ ok: true, sealed: 4 })
    } finally {
      await server.stop()
    }
  })

  test('notices that the end which it has seen was cut off, and says so', async () => {
    await recordSome(db, 1)
    await sealAll(db)
    await recordSome(db, 1)
    const said = Promise.withResolvers<unknown>()
    const log = pino({ level: 'error' }, { write: (line) => said.resolve(JSON.parse(line)) })
    const sealer = startSealer({ db, secrets, log }, 0.02)
    // What it has sealed itself, it has seen.
    await until(async () => (await sealedIds()).length >= 2)

    const { id } = await one<{ id: string }>(db, sql`select max(id) as id from audit_seals`)

    await tamper(db, sql`delete from audit_seals where id = ${id}`)

    expect(await said.promise).toMatchObject({
      seal: id,
      head: expect.stringMatching(/^[0-9a-f]{64}$/),
      msg: expect.stringContaining('an audit seal is gone or was changed'),
    })
    await sealer.close()
  })

  test('refuses to seal on top of a seal that was changed', async () => {
    await recordSome(db, 1)
    await sealAll(db)
    await recordSome(db, 1)

    await tamper(db, sql`update audit_seals set row_hashes = sha256('x')`)

    await expect(sealAudit(db, secrets)).rejects.toThrow('audit seal 1 was changed')
  })
})

test('a dump that is restored elsewhere is still proved, and sealing goes on there', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'valetkey-audit-'))
  const embedded = await startEmbedded(dataDir, { settings: THROW_AWAY })
  const other = openPool(embedded.url, 4)
  const back = await createTestDatabase()
  try {
    await migrate(other)
    // The other cluster has to be far behind in its numbers of transactions.
    await aheadOf(other, 3000)
    await recordSome(db, 3)
    await sealAll(db)
    await recordSome(db, 2)
    await restore(db, other)

    expect(await verifyAudit(other, secrets)).toMatchObject({ ok: true, sealed: 3, unsealed: 2 })
    await recordSome(other, 2)
    expect(await verifyAudit(other, secrets)).toMatchObject({ ok: true, sealed: 3, unsealed: 4 })
    expect(await exportedIds(other)).toEqual(['1', '2', '3', '4', '5', '6', '7'])
    expect(await exportedIds(other, '5')).toEqual(['6', '7'])
    await sealAll(other)
    expect(await exportedIds(other, '5')).toEqual(['6', '7'])
    await recordSome(other, 1)
    await sealAll(other)
    const report = await verifyAudit(other, secrets)
    expect(report).toMatchObject({ ok: true, sealed: 8, unsealed: 0 })

    // And to a cluster that is far ahead.
    await recordSome(other, 2)
    await restore(other, back.db)
    await recordSome(back.db, 2)
    await sealAll(back.db)
    await settled(back.db)
    expect(await exportedIds(back.db, '8')).toEqual(['9', '10', '11', '12'])
    await recordSome(back.db, 1)
    await sealAll(back.db)
    expect(await exportedIds(back.db, '3')).toEqual(['4', '5', '6', '7', '8', '9', '10', '11', '12', '13'])
    expect(await exportedIds(back.db)).toHaveLength(13)
    expect(await verifyAudit(back.db, secrets, { head: report.head! })).toMatchObject({
      ok: true,
      sealed: 13,
      unsealed: 0,
    })

    // What was proved in the first cluster is still proved in the third.
    await tamper(back.db, sql`update audit_events set type = 'x' where id = 2`)
    expect(await verifyAudit(back.db, secrets)).toMatchObject({
      finding: { problem: 'row_changed', id: '2' },
    })
  } finally {
    await back.drop()
    await other.close()
    await embedded.stop()
    await rm(dataDir, { recursive: true, force: true })
  }
})

function recordOne(t: Db): Promise<void> {
  return record(t, { type: 'sign_out', user_id: randomUUID() }, { type: 'user' })
}

/** Where somebody who follows the record goes on. */
async function exportedIds(of: Pool, after?: string): Promise<string[]> {
  let text = ''
  for await (const chunk of await exportAudit(of, { filter: {}, format: 'jsonl', after })) text += chunk.text
  return [...text.matchAll(/^{"id":"(\d+)"/gm)].map(([, id]) => id!)
}

async function sealedIds(): Promise<string[]> {
  const seals = await many<{ row_ids: string[] }>(db, sql`select row_ids from audit_seals order by id`)
  return seals.flatMap(({ row_ids }) => row_ids)
}

async function allIds(): Promise<string[]> {
  const rows = await many<{ id: string }>(db, sql`select id from audit_events order by id`)
  return rows.map(({ id }) => id)
}

async function aheadOf(other: Pool, transactions: number): Promise<void> {
  const number = sql`select pg_current_xact_id()::text as tx`
  const { tx: theirs } = await one<{ tx: string }>(other, number)
  for (;;) {
    const { tx: ours } = await one<{ tx: string }>(db, number)
    if (Number(ours) > Number(theirs) + transactions) return
  }
}

/** What pg_dump and pg_restore do with the two tables. */
async function restore(from: Pool, to: Pool): Promise<void> {
  const events = await one<{ rows: string }>(from, sql`select json_agg(e)::text as rows from audit_events e`)
  const seals = await one<{ rows: string }>(from, sql`select json_agg(s)::text as rows from audit_seals s`)
  await tx(to, async (t) => {
    await run(
      t,
      sql`insert into audit_events overriding system value
          select * from json_populate_recordset(null::audit_events, ${events.rows}::json)`,
    )
    await run(
      t,
      sql`insert into audit_seals select * from json_populate_recordset(null::audit_seals, ${seals.rows}::json)`,
    )
    await run(
      t,
      sql`select setval(pg_get_serial_sequence('audit_events', 'id'), ${await highestId(from)}::bigint)`,
    )
  })
}
