// Deletes all dynamically registered apps that nobody uses, when an administrator asks for it.
import type { Actor } from '../../base/audit-events.ts'
import { createJob, type Job, type JobStep } from '../../db/jobs.ts'
import { type Db, tx } from '../../db/pool.ts'
import { record } from '../audit/store.ts'
import { deleteClients } from '../clients/lifecycle.ts'
import { InvalidMetadata } from '../clients/metadata.ts'
import { holdUnused, unusedApps } from './unused.ts'

/** The kind of job that cleans up. */
export const CLEAN_UP = 'clean_up_apps'

/** The most that are counted, so that the page does not take longer when there are many. */
export const MOST_UNUSED = 1_000
const MOST_IN_A_JOB = 100_000

const LONGEST_DAYS = 3650
const BATCH = 100

/**
 * Starts a job that deletes dynamically registered, unverified apps that were not used for so many days. It checks each app again
 * before deleting it. @throws InvalidMetadata for a number of days out of range
 */
export function cleanUpApps(db: Db, days: number, by: Actor): Promise<Job> {
  checkDays(days)
  return tx(db, async (t) => {
    const job = await createJob(t, { kind: CLEAN_UP, params: { days }, actor: { ...by } })
    await record(t, { type: 'job.started', job_id: job.id, kind: CLEAN_UP }, by)
    return job
  })
}

/** @throws InvalidMetadata */
export function checkDays(days: number): void {
  if (!Number.isInteger(days) || days < 1 || days > LONGEST_DAYS) {
    throw new InvalidMetadata('days', `must be a whole number from 1 to ${LONGEST_DAYS}, e.g. 30`)
  }
}

/** The apps to delete, at most {@link MOST_UNUSED}. */
export function findUnused(db: Db, days: number) {
  return unusedApps(db, { days, limit: MOST_UNUSED })
}

/** One batch of {@link cleanUpApps}. */
export const cleanUpStep: JobStep = async (t, job) => {
  const { days, after } = job.params as { days: number; after?: string }
  const total = job.total ?? (await unusedApps(t, { days, limit: MOST_IN_A_JOB })).length
  const found = await unusedApps(t, { days, after, limit: BATCH })
  const held = await holdUnused(
    t,
    found.map(({ id }) => id),
    days,
  )
  const deleted = await deleteClients(
    t,
    held.map(({ id }) => id),
    job.actor as unknown as Actor,
  )
  // Go on behind the last app, also when it was skipped because it is in use again.
  const params = { ...job.params, after: found.at(-1)?.id ?? after }
  return { done: deleted.length, total, finished: found.length < BATCH, params }
}
