// Helpers for tests of the audit log: they record rows, seal all of them, and tamper with them as a superuser.
import { randomUUID } from 'node:crypto'
import { type Secrets, secretsFrom } from '../../src/base/secrets.ts'
import { horizonOf } from '../../src/core/audit/chain.ts'
import { sealAudit } from '../../src/core/audit/seal.ts'
import { record } from '../../src/core/audit/store.ts'
import { many, one, type Pool, type Query, run, sql, tx } from '../../src/db/pool.ts'
import { until } from './patience.ts'

/** The secret keys of these tests, by name. */
export const KEYS = {
  old: 'the old key of the audit tests, long enough',
  current: 'the current key of the audit tests, long enough',
  stranger: 'a key that the server never had, long enough',
}

/** The secrets of a server that has one key. */
export const secrets = secretsFrom([KEYS.current])

/** Records `count` events, each in a transaction of its own. @returns their ids, in order */
export async function recordSome(db: Pool, count: number): Promise<string[]> {
  const before = await highestId(db)
  for (let i = 0; i < count; i++) {
    await record(db, { type: 'sign_out', user_id: randomUUID() }, { type: 'user', user_agent: `agent ${i}` })
  }
  const rows = await many<{ id: string }>(
    db,
    sql`select id from audit_events where id > ${before} order by id`,
  )
  return rows.map(({ id }) => id)
}

/**
 * Seals every row, with as few seals as possible. It waits for transactions of other test files first, because PostgreSQL numbers
 * transactions over the whole server.
 */
export async function sealAll(db: Pool, by: Secrets = secrets): Promise<void> {
  await settled(db)
  await until(async () => {
    await sealAudit(db, by)
    const { left } = await one<{ left: string }>(
      db,
      sql`select (select count(*) from audit_events) - coalesce(sum(cardinality(row_ids)), 0) as left from audit_seals`,
    )
    return left === '0'
  })
}

/** Waits for all transactions that delay sealing, also those of other test files. */
export async function settled(db: Pool): Promise<void> {
  const { xmax } = await horizonOf(db)
  await until(async () => BigInt((await horizonOf(db)).xmin) >= BigInt(xmax))
}

/** Changes rows of the append-only tables, as a superuser can: without their triggers. */
export function tamper(db: Pool, ...changes: Query[]): Promise<void> {
  return tx(db, async (t) => {
    await run(t, sql`set local session_replication_role = 'replica'`)
    for (const change of changes) {
      if ((await run(t, change)) === 0) throw new Error(`nothing was tampered with: ${change.text}`)
    }
  })
}

/** The highest event id. */
export async function highestId(db: Pool): Promise<string> {
  const { id } = await one<{ id: string }>(db, sql`select coalesce(max(id), 0) as id from audit_events`)
  return id
}
