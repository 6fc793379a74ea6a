// Runs the sweeps in the background, again and again, without ever being in anybody's way.
import type { Pool } from '../db/pool.ts'
import { type Sweep, sweepAll } from '../db/sweep.ts'
import type { Logger } from '../web/log.ts'
import { repeat } from './repeat.ts'

/** A sweeper at work. */
export interface Sweeper {
  /** Sweeps everything once. @returns rows taken away, by kind. */
  sweep(): Promise<Record<string, number>>
  /** Stops after the batch under way. */
  close(): Promise<void>
}

/** @param sweeps by the name under which the log counts them. @param intervalSeconds pause between two rounds; 0: only when asked. */
export function startSweeper(
  parts: { db: Pool; log: Logger },
  sweeps: Record<string, Sweep>,
  intervalSeconds: number,
): Sweeper {
  const { db, log } = parts
  let closed = false

  const sweep = async (): Promise<Record<string, number>> => {
    const swept: Record<string, number> = {}
    for (const [kind, take] of Object.entries(sweeps)) swept[kind] = await sweepAll(db, take, () => !closed)
    return swept
  }
  const round = (): Promise<void> =>
    sweep().then(
      (swept) => log.debug({ swept }, 'swept'),
      (error) => log.warn({ err: error }, 'sweeping failed, it is tried again'),
    )
  const repeated = repeat(round, intervalSeconds)
  return {
    sweep,
    async close() {
      closed = true
      await repeated.close()
    },
  }
}
