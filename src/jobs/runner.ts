// Works on bulk jobs, a batch at a time.
import { type JobReports, type JobStep, workOnce } from '../db/jobs.ts'
import type { Pool } from '../db/pool.ts'
import type { Logger } from '../http/log.ts'
import { type Lane, startLane } from './lane.ts'

// Leaves Postgres and this process alone between two batches.
const PAUSE_MS = 20

/** Starts working on bulk jobs. @param kinds what each kind of job does in one batch */
export function startJobRunner(parts: { db: Pool; log: Logger }, kinds: Record<string, JobStep>): Lane {
  const { db, log } = parts
  const reports: JobReports = {
    heldUp: (error, { id, kind }) =>
      log.warn({ err: error, job: id, kind }, 'a batch of a job was broken off, it is tried again'),
    failed: (error, { id, kind }) => log.error({ err: error, job: id, kind }, 'a job failed'),
  }
  return startLane({
    async next() {
      const ms = await workOnce(db, kinds, reports)
      return ms === undefined ? undefined : Math.max(PAUSE_MS, ms)
    },
    brokenOff: (error) => log.warn({ err: error }, 'working on jobs was broken off, it is taken up again'),
  })
}
