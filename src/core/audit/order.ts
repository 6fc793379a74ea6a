// The order in which a reader can follow the audit log: by transaction, up to where every transaction is over. The order of ids is not
// enough, because ids are assigned before the commit (docs/decisions/0020-audit-seals.md).
import { setTimeout as sleep } from 'node:timers/promises'
import { type Db, many, maybe, one, sql } from '../../db/pool.ts'
import { BadRequest } from '../../http/errors.ts'
import { type Horizon, highestAhead, horizonOf, importedBelow, lastSeal } from './chain.ts'
import type { Position, Stretch } from './store.ts'

/**
 * The settled part of the log, as stretches to read one after the other: no further event can appear in it. It gives transactions
 * under way a moment to end, because a reader who starts at the beginning does not come back for the rest.
 * @param afterId only events after this one; `0`, or absent: all
 * @throws BadRequest when there is no such event
 */
export async function settledStretches(db: Db, afterId = '0'): Promise<Stretch[]> {
  const after = afterId === '0' ? undefined : await positionOfEvent(db, afterId)
  const horizon = after ? await horizonOf(db) : await patientHorizon(db)
  const floors = [null, ...(await floorsOf(db, horizon))]
  return floors.flatMap((floor, i) => {
    const ceiling = floors[i + 1]
    if (after && ceiling && BigInt(after.id) >= BigInt(ceiling)) return []
    const begun = after !== undefined && (floor === null || BigInt(after.id) >= BigInt(floor))
    // All rows from another cluster are settled.
    const beforeTx = ceiling === undefined ? horizon.xmin : undefined
    return [{ floor, ceiling, beforeTx, after: begun ? after : undefined }]
  })
}

const SETTLING_MS = 5_000
const POLL_MS = 50

// Rows are never deleted, so an id always names a position.
async function positionOfEvent(db: Db, id: string): Promise<Position> {
  const found = await maybe<Position>(db, sql`select tx::text as tx, id from audit_events where id = ${id}`)
  if (!found) throw new BadRequest(`There is no event ${id} to go on after.`)
  return found
}

async function patientHorizon(db: Db): Promise<Horizon> {
  const first = await horizonOf(db)
  const deadline = Date.now() + SETTLING_MS
  let horizon = first
  while (
    BigInt(horizon.xmin) < BigInt(first.xmax) &&
    Date.now() < deadline &&
    (await isRecorded(db, horizon, first))
  ) {
    await sleep(POLL_MS)
    horizon = await horizonOf(db)
  }
  return horizon
}

/** Whether there are committed rows that are not settled yet. */
async function isRecorded(db: Db, from: Horizon, to: Horizon): Promise<boolean> {
  const { recorded } = await one<{ recorded: boolean }>(
    db,
    sql`select exists (
          select from audit_events where tx >= ${from.xmin}::xid8 and tx < ${to.xmax}::xid8
        ) as recorded`,
  )
  return recorded
}

/** The ids from which on transactions are numbered anew, because a dump was restored in another cluster; nearly always none. */
async function floorsOf(db: Db, horizon: Horizon): Promise<string[]> {
  const last = await lastSeal(db)
  if (!last) {
    const ahead = await highestAhead(db)
    return ahead === '0' ? [] : [`${BigInt(ahead) + 1n}`]
  }
  const imported = (await importedBelow(db, last, horizon)) ?? []
  if (last.floor_id === null) return [imported].flat()
  const sealed = await many<{ floor_id: string }>(
    db,
    sql`select distinct floor_id from audit_seals where floor_id is not null order by floor_id`,
  )
  return [...new Set([...sealed.map(({ floor_id }) => floor_id), imported].flat())]
}
