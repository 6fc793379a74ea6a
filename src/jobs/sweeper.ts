// Runs the sweeps in the background, again and again, without ever being in anybody's way.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Pool } from '../db/pool.ts'
import { BATCH, SWEEPS, type Sweep } from '../db/sweep.ts'
import { sweepKeys } from '../keys/store.ts'
import type { Logger } from '../web/log.ts'

/** A sweeper at work. */
export interface Sweeper {
  /** Sweeps everything once, batch by batch. @returns rows taken away, by kind. */
  sweep(): Promise<Record<string, number>>
  /** Stops after the batch under way. */
  close(): Promise<void>
}

// Leaves Postgres and this process alone between two batches.
const PAUSE_MS = 50

const ALL: Record<string, Sweep> = { ...SWEEPS, signing_keys: sweepKeys }

/** @param intervalSeconds pause between two rounds; 0 sweeps only when asked. */
export function startSweeper(db: Pool, log: Logger, intervalSeconds: number): Sweeper {
  let closed = false
  let round: Promise<unknown> = Promise.resolve()

  const sweep = async (): Promise<Record<string, number>> => {
    const swept: Record<string, number> = {}
    for (const [kind, take] of Object.entries(ALL)) {
      let taken = BATCH
      while (taken >= BATCH && !closed) {
        taken = await take(db)
        swept[kind] = (swept[kind] ?? 0) + taken
        if (taken >= BATCH) await sleep(PAUSE_MS, undefined, { ref: false })
      }
    }
    return swept
  }
  const tick = (): void => {
    round = sweep()
      .then((swept) => log.debug({ swept }, 'swept'))
      .catch((error) => log.warn({ err: error }, 'sweeping failed, it is tried again'))
      .finally(schedule)
  }
  // Many nodes start together; they need not sweep together.
  const schedule = (): void => {
    if (closed || intervalSeconds === 0) return
    timer = setTimeout(tick, intervalSeconds * 1000 * (0.75 + Math.random() / 2))
    timer.unref()
  }
  let timer: NodeJS.Timeout | undefined
  schedule()
  return {
    sweep,
    async close() {
      closed = true
      clearTimeout(timer)
      await round
    },
  }
}
