// Runs the sweeps in the background, again and again, without delaying requests.
import type { Pool } from '../db/pool.ts'
import { type Sweep, sweepAll } from '../db/sweep.ts'
import type { Logger } from '../http/log.ts'
import { repeat } from './repeat.ts'

/** A sweeper at work. */
export interface Sweeper {
  /** Sweeps every kind once, for so long. @returns rows taken away, by kind; a kind that failed is not among them. */
  sweep(): Promise<Record<string, number>>
  /** Stops after the batch under way. */
  close(): Promise<void>
}

// The longest time for one kind in a round, so that a large backlog of one kind does not keep the others waiting.
const MOST_SECONDS = 20

/**
 * @param sweeps by the name under which the log counts them
 * @param intervalSeconds pause between two rounds; 0: only when asked
 * @param mostSeconds after which the rest of one kind is left to the next round
 */
export function startSweeper(
  parts: { db: Pool; log: Logger },
  sweeps: Record<string, Sweep>,
  intervalSeconds: number,
  mostSeconds = MOST_SECONDS,
): Sweeper {
  const { db, log } = parts
  let closed = false

  const sweep = async (): Promise<Record<string, number>> => {
    const swept: Record<string, number> = {}
    for (const [kind, take] of Object.entries(sweeps)) {
      const end = Date.now() + mostSeconds * 1000
      try {
        swept[kind] = await sweepAll(db, take, () => !closed && Date.now() < end)
      } catch (error) {
        log.warn({ err: error, kind }, 'a sweep failed, it is tried again in the next round')
      }
    }
    return swept
  }
  const round = (): Promise<void> => sweep().then((swept) => log.debug({ swept }, 'swept'))
  const repeated = repeat(round, intervalSeconds)
  return {
    sweep,
    async close() {
      closed = true
      await repeated.close()
    },
  }
}
