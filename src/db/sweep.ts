// Deleting dead rows, a small batch at a time. Nothing waits for it: a row counts as dead long before it is deleted.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Db } from './pool.ts'

/**
 * Deletes a batch of dead rows of one kind within a second, and skips rows that are locked.
 * @returns how many; fewer than {@link SWEEP_BATCH}: none are left for now
 */
export type Sweep = (db: Db) => Promise<number>

/** The most rows that one statement deletes. */
export const SWEEP_BATCH = 1_000

/** How long ended things are kept, for people who investigate what happened. */
export const KEPT_DAYS = 90

// Leaves Postgres and this process alone between two batches.
const PAUSE_MS = 50

/** Sweeps one kind until none are left. @param goOn called before each batch. @returns how many rows were deleted */
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
