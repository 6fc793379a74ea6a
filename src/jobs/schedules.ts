// Runs scheduled jobs, each on one node at a time. It knows no noun: the caller hands in the work.
import type { Pool } from '../db/pool.ts'
import { endScheduled, retryScheduled, type Schedule, takeScheduled } from '../db/schedules.ts'
import type { Logger } from '../http/log.ts'
import { type Lane, startLane } from './lane.ts'

/** A kind of job that repeats. */
export interface Scheduled extends Schedule {
  /** Must end within the interval; otherwise another node begins it, too. */
  work(): Promise<void>
}

/** Runs one kind of scheduled job whenever it is due. A job that fails is tried again after growing pauses, for ever. */
export function startSchedule({ db, log }: { db: Pool; log: Logger }, scheduled: Scheduled): Lane {
  const { kind } = scheduled
  return startLane({
    async next() {
      const attempts = await takeScheduled(db, scheduled)
      if (attempts === undefined) return undefined
      try {
        await scheduled.work()
      } catch (error) {
        log.error({ err: error, kind, attempts }, 'a scheduled job failed, it is tried again')
        await retryScheduled(db, scheduled, attempts)
        return undefined
      }
      await endScheduled(db, scheduled)
      return undefined
    },
    brokenOff: (error) =>
      log.warn({ err: error, kind }, 'a scheduled job was broken off, it is taken up again'),
  })
}
