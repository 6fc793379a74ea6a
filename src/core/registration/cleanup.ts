// Taking away apps that registered themselves and that nobody uses, all at once, at an administrator's wish.
import type { Actor } from '../../base/audit-events.ts'
import { createJob, type Job, type JobStep } from '../../db/jobs.ts'
import { type Db, tx } from '../../db/pool.ts'
import { record } from '../audit/store.ts'
import { deleteClients } from '../clients/lifecycle.ts'
import { InvalidMetadata } from '../clients/metadata.ts'
import { holdUnused, unusedApps } from './unused.ts'

/** The kind of job that cleans up. */
export const CLEAN_UP = 'clean_up_apps'

/** Where counting ends: the page must not take longer the more there is to clean up. */
export const MOST_UNUSED = 1_000
const MOST_IN_A_JOB = 100_000

const LONGEST_DAYS = 3650
const BATCH = 100

/**
 * Has the apps deleted in the background that registered themselves, are not verified, and were not used for so many days.
 * Each is looked at once more when its turn comes. @throws InvalidMetadata for days that mean everything, or nothing
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

/** What there is to clean up: at most {@link MOST_UNUSED}. */
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
  // Behind the last one: those that were not unused any more, and those before them, are not looked at again.
  const params = { ...job.params, after: found.at(-1)?.id ?? after }
  return { done: deleted.length, total, finished: found.length < BATCH, params }
}
