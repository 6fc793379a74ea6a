// Taking away apps that registered themselves and that nobody uses, all at once, at an administrator's wish.
import type { Actor } from '../audit/events.ts'
import { record } from '../audit/store.ts'
import { createJob, type Job, type JobStep } from '../db/jobs.ts'
import { type Db, maybe, sql, tx } from '../db/pool.ts'
import { InvalidMetadata } from './metadata.ts'
import { unusedApps } from './registrations.ts'
import { deleteClient } from './store.ts'

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
  const { days } = job.params as { days: number }
  const total = job.total ?? (await unusedApps(t, { days, limit: MOST_IN_A_JOB })).length
  const found = await unusedApps(t, { days, limit: BATCH })
  let done = 0
  for (const { id } of found) if (await removeIfUnused(t, id, days, job.actor as unknown as Actor)) done++
  return { done, total, finished: found.length < BATCH || done === 0 }
}

async function removeIfUnused(t: Db, id: string, days: number, by: Actor): Promise<boolean> {
  // A sign-in under way holds the row it refers to; whoever comes later finds the app gone.
  await maybe(t, sql`select id from clients where id = ${id} for update`)
  const [unused] = await unusedApps(t, { ids: [id], days })
  return unused !== undefined && deleteClient(t, id, by)
}
