// Seals audit events in the background, on one node at a time. No writer waits for it.
import type { Secrets } from '../../base/secrets.ts'
import { DatabaseUnavailable } from '../../db/errors.ts'
import type { Db, Pool } from '../../db/pool.ts'
import { maybe, one, run, sql, tx } from '../../db/pool.ts'
import type { Logger } from '../../http/log.ts'
import { type Repeated, repeat } from '../../jobs/repeat.ts'
import {
  type Horizon,
  hashOf,
  horizonOf,
  importedBelow,
  lastSeal,
  ORIGIN,
  positionOf,
  rowsIn,
  type Seal,
} from './chain.ts'

/** What {@link sealAudit} sealed. */
export interface Sealed {
  /** How many rows were sealed. */
  rows: number
  /** The number of the last seal; absent when there is none. */
  seal?: string
  /** Its hash in hex, which covers everything before it. */
  head?: string
}

/** The last seal was changed, so nothing is sealed on top of it. */
class ChainBroken extends Error {
  override name = 'ChainBroken'
}

/** The most rows that one seal covers. */
const SEAL_ROWS = 1_000

/** How often the background task runs. */
export const SEAL_SECONDS = 5

/**
 * Seals all settled rows, whose transaction and all earlier ones are over. It does nothing while another node seals.
 * @param options.carryOverSeconds the age at which a last seal with an old key gets an empty seal with the current key on top, so
 *   that the old key can be dropped
 * @throws ChainBroken
 */
export async function sealAudit(
  db: Pool,
  secrets: Secrets,
  options: { carryOverSeconds?: number; goOn?: () => boolean } = {},
): Promise<Sealed> {
  const { carryOverSeconds = 600, goOn = () => true } = options
  let rows = 0
  let seal: Seal | undefined
  while (goOn()) {
    const step = await tx(db, (t) => sealBatch(t, secrets, carryOverSeconds))
    seal = step.last ?? seal
    rows += step.rows
    if (!step.more) break
  }
  return { rows, seal: seal?.id, head: seal?.hash.toString('hex') }
}

/** Starts the background task. @param intervalSeconds 0: it never runs */
export function startSealer(
  parts: { db: Pool; secrets: Secrets; log: Logger },
  intervalSeconds: number,
): Repeated {
  const { db, secrets, log } = parts
  let closed = false
  // Somebody who deletes the last seals could have their rows sealed anew. This process remembers the last seal, and logs it.
  let seen: { seal: string; head: string } | undefined

  const round = async (): Promise<void> => {
    if (seen && !(await exists(db, seen))) {
      log.error(seen, 'an audit seal is gone or was changed; run: valetkey audit verify')
      seen = undefined
    }
    const { rows, seal, head } = await sealAudit(db, secrets, { goOn: () => !closed })
    if (rows > 0) log.info({ rows, seal, head }, 'audit sealed')
    if (seal !== undefined && head !== undefined) seen = { seal, head }
  }
  const failed = (error: unknown): void => {
    if (error instanceof DatabaseUnavailable) log.warn({ err: error }, 'sealing failed, it is tried again')
    else log.error({ err: error }, 'the audit log cannot be sealed')
  }
  const repeated = repeat(() => round().catch(failed), intervalSeconds)
  return {
    async close() {
      closed = true
      await repeated.close()
    },
  }
}

interface Step {
  rows: number
  last?: Seal
  /** There may be more rows to seal now. */
  more: boolean
}

/** The rows that the next seal covers, and the position they reach. */
type Coverage = Pick<Seal, 'system_id' | 'floor_id' | 'last_tx' | 'last_id' | 'max_id'> & {
  rows: { id: string; tx: string; hash: Buffer }[]
}

async function sealBatch(t: Db, secrets: Secrets, carryOverSeconds: number): Promise<Step> {
  // The lock ends with the transaction, also when the process dies.
  const { locked } = await one<{ locked: boolean }>(
    t,
    sql`select pg_try_advisory_xact_lock(hashtext('valetkey audit seals')) as locked`,
  )
  if (!locked) return { rows: 0, more: false }
  const last = await lastSeal(t)
  if (last) check(last, secrets)
  const { now_us } = await one<{ now_us: string }>(
    t,
    sql`select trunc(extract(epoch from now()) * 1000000)::text as now_us`,
  )

  const covers = await nextCoverage(t, last, await horizonOf(t))
  const opensOrder = last !== undefined && covers.floor_id !== last.floor_id
  const ageSeconds = last ? Number(BigInt(now_us) - BigInt(last.sealed_us)) / 1e6 : 0
  const carriesOver =
    last !== undefined && secrets.isSealedByOldKey(last.key_id) && ageSeconds >= carryOverSeconds
  if (covers.rows.length === 0 && !opensOrder && !carriesOver) return { rows: 0, last, more: false }

  const seal = await write(t, secrets, last, covers, now_us)
  return { rows: covers.rows.length, last: seal, more: opensOrder || covers.rows.length === SEAL_ROWS }
}

/** Checks that the last seal is ours, because a seal on top of it vouches for everything before. */
function check(last: Seal, secrets: Secrets): void {
  if (!hashOf(last).equals(last.hash)) throw new ChainBroken(`audit seal ${last.id} was changed`)
  const authentic = secrets.isAuthentic(last.hash, last)
  if (authentic === undefined)
    throw new ChainBroken(`audit seal ${last.id} was made with a key that is not in SECRET_KEYS`)
  if (!authentic) throw new ChainBroken(`audit seal ${last.id} was not made with our key`)
}

async function nextCoverage(t: Db, last: Seal | undefined, horizon: Horizon): Promise<Coverage> {
  const here = {
    system_id: horizon.system_id ?? last?.system_id ?? null,
    floor_id: last?.floor_id ?? null,
    last_tx: last?.last_tx ?? null,
    last_id: last?.last_id ?? null,
    max_id: last?.max_id ?? '0',
  }
  const ceiling = last && (await importedBelow(t, last, horizon))
  const stretch = { after: last && positionOf(last), floor: here.floor_id }
  if (ceiling === undefined) {
    return covering(here, await rowsIn(t, { ...stretch, beforeTx: horizon.xmin }, SEAL_ROWS))
  }
  // Unsealed rows from the other cluster end the old order; then a new order begins.
  const left = await rowsIn(t, { ...stretch, ceiling }, SEAL_ROWS)
  if (left.length > 0) return covering({ ...here, system_id: last!.system_id }, left)
  return { ...here, floor_id: ceiling, last_tx: null, last_id: null, rows: [] }
}

function covering(from: Omit<Coverage, 'rows'>, rows: Coverage['rows']): Coverage {
  const end = rows.at(-1)
  if (!end) return { ...from, rows }
  const max_id = rows.reduce((max, { id }) => (BigInt(id) > max ? BigInt(id) : max), BigInt(from.max_id))
  return { ...from, last_tx: end.tx, last_id: end.id, max_id: `${max_id}`, rows }
}

async function write(
  t: Db,
  secrets: Secrets,
  last: Seal | undefined,
  { rows, ...covers }: Coverage,
  now_us: string,
): Promise<Seal> {
  const unsigned = {
    ...covers,
    id: `${BigInt(last?.id ?? 0) + 1n}`,
    sealed_us: now_us,
    row_ids: rows.map(({ id }) => id),
    row_hashes: Buffer.concat(rows.map(({ hash }) => hash)),
    previous_hash: last?.hash ?? ORIGIN,
    key_id: secrets.keyId,
  }
  const hash = hashOf(unsigned)
  const seal: Seal = { ...unsigned, hash, mac: secrets.attest(hash) }
  await run(
    t,
    sql`insert into audit_seals (id, sealed_at, system_id, floor_id, row_ids, row_hashes, last_tx, last_id, max_id,
                                 previous_hash, hash, key_id, mac)
        values (${seal.id}, timestamptz 'epoch' + ${now_us}::bigint * interval '1 microsecond', ${seal.system_id},
                ${seal.floor_id}, ${seal.row_ids}, ${seal.row_hashes}, ${seal.last_tx}, ${seal.last_id},
                ${seal.max_id}, ${seal.previous_hash}, ${hash}, ${seal.key_id}, ${seal.mac})`,
  )
  return seal
}

async function exists(db: Db, { seal, head }: { seal: string; head: string }): Promise<boolean> {
  const found = await maybe(
    db,
    sql`select from audit_seals where id = ${seal} and hash = ${Buffer.from(head, 'hex')}`,
  )
  return found !== undefined
}
