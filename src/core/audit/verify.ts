// Proves that no sealed row was changed, removed or added, or names the first one that was. It only reads.
import type { Secrets } from '../../base/secrets.ts'
import { type Db, maybe, one, type Pool, readTx, sql } from '../../db/pool.ts'
import {
  type Digested,
  type Horizon,
  hashOf,
  horizonOf,
  importedBelow,
  lastSeal,
  ORIGIN,
  otherFloorAfter,
  positionOf,
  rowsIn,
  type Seal,
  sealsAfter,
} from './chain.ts'

/** The first finding. The id is that of a row or a seal, or for `head_missing` the hash that was not found. */
export interface Finding {
  problem:
    | 'row_changed'
    | 'row_removed'
    | 'row_inserted'
    | 'seal_changed'
    | 'seal_removed'
    | 'key_unknown'
    | 'head_missing'
  id: string
}

/** The result of {@link verifyAudit}. Counts end at the first finding. */
export interface AuditReport {
  ok: boolean
  finding: Finding | null
  /** Rows proved to be unchanged. */
  sealed: number
  /** Rows that are not sealed yet, so that nothing is proved about them. */
  unsealed: number
  /** When the oldest of those was recorded. */
  unsealed_since: Date | null
  seals: number
  /** Hash of the last seal, hex. Keep it elsewhere: it tells later whether the end was cut off. */
  head: string | null
}

/**
 * Compares every row with its seal and every seal with the one before, batch by batch, in one snapshot.
 * @param options.head the hash of an earlier last seal, which must be in the chain
 */
export function verifyAudit(
  db: Pool,
  secrets: Secrets,
  options: { head?: string } = {},
): Promise<AuditReport> {
  return readTx(db, async (t) => {
    const end = await lastSeal(t)
    const horizon = await horizonOf(t)
    const importedBelowId = end && isIntact(end, secrets) ? await importedBelow(t, end, horizon) : undefined
    const walk: Walk = { t, secrets, sealed: 0, seals: 0, headFound: false }
    const finding =
      (await findInSeals(walk, options.head, importedBelowId)) ??
      (walk.unproved ? { problem: 'key_unknown' as const, id: walk.unproved } : undefined) ??
      (options.head !== undefined && !walk.headFound
        ? { problem: 'head_missing' as const, id: options.head }
        : undefined)
    const tail = finding ? undefined : await tailOf(t, end, horizon, importedBelowId)
    return {
      ok: !finding && !tail?.finding,
      finding: finding ?? tail?.finding ?? null,
      sealed: walk.sealed,
      unsealed: tail?.count ?? 0,
      unsealed_since: tail?.since ?? null,
      seals: walk.seals,
      head: walk.last?.hash.toString('hex') ?? null,
    }
  })
}

// A seal holds some 40 kB, and takes several times that while it is read.
const SEALS_AT_ONCE = 4

interface Walk {
  t: Db
  secrets: Secrets
  sealed: number
  seals: number
  headFound: boolean
  last?: Seal
  /** The first seal with a key that we do not have, while no seal with a key of ours has followed it. */
  unproved?: string
  ceiling?: string
}

async function findInSeals(
  walk: Walk,
  head: string | undefined,
  importedBelowId: string | undefined,
): Promise<Finding | undefined> {
  for (;;) {
    const seals = await sealsAfter(walk.t, walk.last?.id ?? MIN_BIGINT, SEALS_AT_ONCE)
    for (const seal of seals) {
      const finding =
        findInSeal(walk, seal) ??
        (await findInOrder(walk, seal, importedBelowId)) ??
        (await findInRows(walk, seal))
      if (finding) return finding
      walk.last = seal
      walk.seals++
      walk.sealed += seal.row_ids.length
      if (seal.hash.toString('hex') === head) walk.headFound = true
    }
    if (seals.length < SEALS_AT_ONCE) return undefined
  }
}

const MIN_BIGINT = '-9223372036854775808'

/** Checks a seal itself, and that it follows the one before. */
function findInSeal(walk: Walk, seal: Seal): Finding | undefined {
  const expectedId = BigInt(walk.last?.id ?? 0) + 1n
  if (BigInt(seal.id) > expectedId) return { problem: 'seal_removed', id: `${expectedId}` }
  const changed = { problem: 'seal_changed' as const, id: seal.id }
  if (BigInt(seal.id) < expectedId || !isIntact(seal, walk.secrets)) return changed
  // Anybody can forge a seal with a key that we do not have, so trust only seals that we can check.
  if (!seal.previous_hash.equals(walk.last?.hash ?? ORIGIN)) {
    return walk.unproved && walk.last ? { problem: 'seal_changed', id: walk.last.id } : changed
  }
  // The node that sealed on top has checked this seal, and its hash covers it.
  const isOurs = walk.secrets.isAuthentic(seal.hash, seal)
  walk.unproved = isOurs ? undefined : (walk.unproved ?? seal.id)
  return undefined
}

/** Checks where a new order of rows begins: no row may follow the end of the old order. */
async function findInOrder(
  walk: Walk,
  seal: Seal,
  importedBelowId: string | undefined,
): Promise<Finding | undefined> {
  const { t, last } = walk
  if (last && seal.floor_id === last.floor_id) return undefined
  if (last) {
    const old = { after: positionOf(last), floor: last.floor_id, ceiling: seal.floor_id }
    const [behind] = await rowsIn(t, old, 1)
    if (behind) return { problem: 'row_inserted', id: behind.id }
  }
  walk.ceiling = (await nextFloor(walk, seal)) ?? importedBelowId
  return undefined
}

/** Where the next order begins. This reads ahead, so ignore a seal that was changed; it is checked later. */
async function nextFloor({ t, secrets }: Walk, { id, floor_id }: Seal): Promise<string | undefined> {
  for (let next: Seal | undefined, after = id; ; after = next.id) {
    next = await otherFloorAfter(t, after, floor_id)
    if (!next) return undefined
    if (next.floor_id !== null && isIntact(next, secrets)) return next.floor_id
  }
}

function isIntact(seal: Seal, secrets: Secrets): boolean {
  return hashOf(seal).equals(seal.hash) && secrets.isAuthentic(seal.hash, seal) !== false
}

/** Checks that the rows between the seal before and this one are exactly those it lists, unchanged. */
async function findInRows({ t, last, ceiling }: Walk, seal: Seal): Promise<Finding | undefined> {
  const upTo = positionOf(seal)
  if (!upTo) return undefined
  const after = last && last.floor_id === seal.floor_id ? positionOf(last) : undefined
  // Read one row more than there should be, to find the first one that should not be there.
  const rows = await rowsIn(t, { after, upTo, floor: seal.floor_id, ceiling }, seal.row_ids.length + 1)
  for (const [i, id] of seal.row_ids.entries()) {
    const row = rows[i]
    if (row?.id !== id) return misplaced(t, seal, id, row)
    if (!row.hash.equals(seal.row_hashes.subarray(i * 32, i * 32 + 32))) return { problem: 'row_changed', id }
  }
  const surplus = rows[seal.row_ids.length]
  return surplus && unexpected(t, surplus)
}

/** In the place of row `id` is another row, or none. */
async function misplaced(t: Db, seal: Seal, id: string, row: Digested | undefined): Promise<Finding> {
  if (row && !seal.row_ids.includes(row.id)) return unexpected(t, row)
  const found = await maybe(t, sql`select from audit_events where id = ${id}`)
  return { problem: found ? 'row_changed' : 'row_removed', id }
}

/** A row that should not be there: it was added, or moved here from another seal. */
async function unexpected(t: Db, { id }: Digested): Promise<Finding> {
  const elsewhere = await maybe(t, sql`select from audit_seals where row_ids @> array[${id}::bigint] limit 1`)
  return { problem: elsewhere ? 'row_changed' : 'row_inserted', id }
}

interface Tail {
  count: number
  since: Date | null
  finding?: Finding
}

/** Checks the rows after the last seal. */
async function tailOf(
  t: Db,
  end: Seal | undefined,
  horizon: Horizon,
  imported: string | undefined,
): Promise<Tail> {
  const at = end && positionOf(end)
  const { count, since, from_future } = await one<{
    count: number
    since: Date | null
    from_future: string | null
  }>(
    t,
    sql`select count(*)::int as count, min(at) as since, min(id) filter (where tx >= ${horizon.xmax}::xid8) as from_future
        from audit_events
        where ((${at?.tx ?? null}::xid8 is null or (tx, id) > (${at?.tx ?? null}::xid8, ${at?.id ?? null}::bigint))
               and (${end?.floor_id ?? null}::bigint is null or id >= ${end?.floor_id ?? null}::bigint))
           or id >= ${imported ?? null}::bigint`,
  )
  // No transaction of this cluster can have written such a row, and it would never be sealed.
  const forged = end && imported === undefined && from_future !== null
  return { count, since, finding: forged ? { problem: 'row_inserted', id: from_future } : undefined }
}
