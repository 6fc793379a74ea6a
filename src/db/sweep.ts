// How dead rows are taken away: a small batch at a time. Nobody waits for it; a row counts as dead long before it is gone.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Db } from './pool.ts'

/**
 * Takes a batch of dead rows of one kind away, within a second, leaving those that are in use right now.
 * @returns how many; fewer than {@link SWEEP_BATCH}: nothing is left for now
 */
export type Sweep = (db: Db) => Promise<number>

/** Rows of a table that a statement takes at most. */
export const SWEEP_BATCH = 1_000

/** How long ended things stay on record, for the people who look into what happened. */
export const KEPT_DAYS = 90

// Leaves Postgres and this process alone between two batches.
const PAUSE_MS = 50

/** Sweeps one kind until nothing is left. @param goOn asked before each batch. @returns rows taken away. */
export async function sweepAll(db: Db, take: Sweep, goOn: () => boolean): Promise<number> {
  let total = 0
  while (goOn()) {
    const taken = await take(db)
    total += taken
    if (taken < SWEEP_BATCH) break
    await sleep(PAUSE_MS)
  }
  return total
}
