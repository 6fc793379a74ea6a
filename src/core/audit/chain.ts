// The chain of seals over the audit log: the content of a seal, the rows it covers, and the digests of both. Sealing and verifying
// use it. docs/decisions/0020-audit-seals.md has the reasons.
import { createHash } from 'node:crypto'
import { type Db, fragment, many, maybe, one, sql } from '../../db/pool.ts'
import type { Position, Stretch } from './store.ts'

/** A row of audit_seals; numbers of Postgres are texts. */
export interface Seal {
  id: string
  /** Microseconds since 1970. */
  sealed_us: string
  system_id: string | null
  floor_id: string | null
  row_ids: string[]
  row_hashes: Buffer
  last_tx: string | null
  last_id: string | null
  max_id: string
  previous_hash: Buffer
  hash: Buffer
  key_id: Buffer
  mac: Buffer
}

/** A row of the log, as a seal covers it. */
export interface Digested {
  id: string
  tx: string
  hash: Buffer
}

/** The state of the transactions of the database. */
export interface Horizon {
  /** The id of the cluster; null where the role may not read it. */
  system_id: string | null
  /** Every transaction below this one is over, and its rows are visible. */
  xmin: string
  /** No transaction from this one on has begun. */
  xmax: string
}

/** The hash before the first seal. */
export const ORIGIN = Buffer.alloc(32)

/** The position up to which a seal and those before it cover the log, from its floor on. */
export function positionOf({ last_tx, last_id }: Seal): Position | undefined {
  return last_tx === null || last_id === null ? undefined : { tx: last_tx, id: last_id }
}

/** The digest of a seal, which the next seal includes and the key authenticates. */
export function hashOf(seal: Omit<Seal, 'hash' | 'mac'>): Buffer {
  // The end of JSON is unambiguous, so that what follows cannot be taken for a part of it.
  const header = JSON.stringify([
    'valetkey audit seal 1',
    seal.id,
    seal.sealed_us,
    seal.system_id,
    seal.floor_id,
    seal.row_ids,
    seal.last_tx,
    seal.last_id,
    seal.max_id,
    seal.previous_hash.toString('hex'),
    seal.key_id.toString('hex'),
  ])
  return createHash('sha256').update(header).update(seal.row_hashes).digest()
}

/** The digests of the rows of a stretch in their order. It reads a few rows at a time, because rows may be long. */
export async function rowsIn(db: Db, stretch: Stretch, limit: number): Promise<Digested[]> {
  const digested: Digested[] = []
  for (let after = stretch.after; ; after = digested.at(-1)) {
    const wanted = Math.min(limit - digested.length, ROWS_AT_ONCE)
    const rows = await someRowsIn(db, { ...stretch, after }, wanted)
    digested.push(...rows)
    if (rows.length < wanted || digested.length === limit) return digested
  }
}

const ROWS_AT_ONCE = 200

async function someRowsIn(db: Db, stretch: Stretch, limit: number): Promise<Digested[]> {
  const { after, upTo, floor = null, ceiling = null, beforeTx = null } = stretch
  const rows = await many<CanonicalRow>(
    db,
    sql`select ${CANONICAL}
        from audit_events
        where (${after?.tx ?? null}::xid8 is null
               or (tx, id) > (${after?.tx ?? null}::xid8, ${after?.id ?? null}::bigint))
          and (${upTo?.tx ?? null}::xid8 is null
               or (tx, id) <= (${upTo?.tx ?? null}::xid8, ${upTo?.id ?? null}::bigint))
          and (${floor}::bigint is null or id >= ${floor}::bigint)
          and (${ceiling}::bigint is null or id < ${ceiling}::bigint)
          and (${beforeTx}::xid8 is null or tx < ${beforeTx}::xid8)
        order by audit_events.tx, audit_events.id
        limit ${limit}`,
  )
  return rows.map((row) => ({ id: row.id, tx: row.tx, hash: digestOf(row) }))
}

/** The next seals after `afterId`, oldest first. */
export function sealsAfter(db: Db, afterId: string, limit: number): Promise<Seal[]> {
  return many<Seal>(db, sql`select ${SEAL} from audit_seals where id > ${afterId} order by id limit ${limit}`)
}

/** The first seal after `afterId` that begins another order of rows. */
export function otherFloorAfter(db: Db, afterId: string, floorId: string | null): Promise<Seal | undefined> {
  return maybe<Seal>(
    db,
    sql`select ${SEAL} from audit_seals
        where id > ${afterId} and floor_id is distinct from ${floorId}::bigint order by id limit 1`,
  )
}

/** The last seal. */
export function lastSeal(db: Db): Promise<Seal | undefined> {
  return maybe<Seal>(db, sql`select ${SEAL} from audit_seals order by id desc limit 1`)
}

/** The state of the transactions at this moment. */
export async function horizonOf(db: Db): Promise<Horizon> {
  const { may_know, ...snapshot } = await one<{ may_know: boolean; xmin: string; xmax: string }>(
    db,
    sql`select pg_snapshot_xmin(pg_current_snapshot())::text as xmin,
               pg_snapshot_xmax(pg_current_snapshot())::text as xmax,
               has_function_privilege('pg_control_system()', 'execute') as may_know`,
  )
  const cluster = may_know
    ? await one<{ id: string }>(db, sql`select system_identifier::text as id from pg_control_system()`)
    : undefined
  return { ...snapshot, system_id: cluster?.id ?? null }
}

/**
 * If the log was restored from a dump of another cluster: the id below which all rows came from there. Their transaction numbers mean
 * nothing here, and all of them are committed. Undefined in the cluster of the last seal.
 */
export async function importedBelow(db: Db, last: Seal, horizon: Horizon): Promise<string | undefined> {
  const isOther =
    last.system_id !== null && horizon.system_id !== null && last.system_id !== horizon.system_id
  const isBehind = last.last_tx !== null && BigInt(horizon.xmax) < BigInt(last.last_tx)
  if (!isOther && !isBehind) return undefined
  const ahead = BigInt(await highestAhead(db))
  const sealed = BigInt(last.max_id)
  return `${(ahead > sealed ? ahead : sealed) + 1n}`
}

/** The highest id of visible rows whose transaction has not begun here, as in a restored dump; otherwise 0. */
export async function highestAhead(db: Db): Promise<string> {
  // Compare with the snapshot of the same statement.
  const { id } = await one<{ id: string }>(
    db,
    sql`select coalesce(max(id), 0) as id from audit_events where tx >= pg_snapshot_xmax(pg_current_snapshot())`,
  )
  return id
}

interface CanonicalRow {
  id: string
  tx: string
  at_us: string
  type: string
  actor_type: string
  actor_id: string | null
  user_id: string | null
  client_id: string | null
  ip: string | null
  user_agent: string | null
  request_id: string | null
  data: string
}

// Texts that do not depend on settings of the session, such as the time zone and the style of dates.
const CANONICAL = fragment`id::text, tx::text, trunc(extract(epoch from at) * 1000000)::text as at_us, type, actor_type,
  actor_id, user_id::text, client_id, ip::text, user_agent, request_id, data::text`

const SEAL = fragment`id, trunc(extract(epoch from sealed_at) * 1000000)::text as sealed_us, system_id, floor_id, row_ids,
  row_hashes, last_tx::text, last_id, max_id, previous_hash, hash, key_id, mac`

function digestOf(row: CanonicalRow): Buffer {
  const canonical = JSON.stringify([
    'valetkey audit row 1',
    row.id,
    row.tx,
    row.at_us,
    row.type,
    row.actor_type,
    row.actor_id,
    row.user_id,
    row.client_id,
    row.ip,
    row.user_agent,
    row.request_id,
    row.data,
  ])
  return createHash('sha256').update(canonical).digest()
}
