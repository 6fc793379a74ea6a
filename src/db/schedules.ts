// Scheduled jobs: rows of the queue (jobs.ts) that repeat, one of each kind for all nodes. It knows no noun.
import { type Db, maybe, run, sql } from './pool.ts'

/** How often a kind of job runs. */
export interface Schedule {
  kind: string
  everySeconds: number
}

const FIRST_PAUSE_SECONDS = 60

/**
 * Takes a scheduled job for one interval, if it is due and no other node has taken it. The first call creates it.
 * @returns how many attempts in a row had no success, counting this one; undefined: it is not due
 */
export async function takeScheduled(db: Db, { kind, everySeconds }: Schedule): Promise<number | undefined> {
  // Most calls end here. The statement below writes even when the job is not due.
  const later = await maybe(
    db,
    sql`select from queued_jobs
        where key = ${`schedule ${kind}`} and state in ('waiting', 'running') and next_try_at > now()`,
  )
  if (later) return undefined
  const taken = await maybe<{ attempts: number }>(
    db,
    sql`insert into queued_jobs as q (lane, kind, key, params, actor, attempts, next_try_at)
        values ('schedule', ${kind}, ${`schedule ${kind}`}, '{}', '{"type": "system"}', 1,
                now() + make_interval(secs => ${everySeconds}::int))
        on conflict (key) where state in ('waiting', 'running') do update
        set attempts = q.attempts + 1, next_try_at = excluded.next_try_at
        where q.next_try_at <= now()
        returning attempts`,
  )
  return taken?.attempts
}

/** Notes that a scheduled job was done. */
export async function endScheduled(db: Db, { kind }: Schedule): Promise<void> {
  await run(
    db,
    sql`update queued_jobs set attempts = 0, finished_at = now()
        where key = ${`schedule ${kind}`} and state in ('waiting', 'running')`,
  )
}

/** Has a scheduled job that failed tried again after a minute, two, four, and at the latest after its interval. */
export async function retryScheduled(
  db: Db,
  { kind, everySeconds }: Schedule,
  attempts: number,
): Promise<void> {
  await run(
    db,
    sql`update queued_jobs
        set next_try_at = now() + make_interval(secs =>
              least(${everySeconds}::int, ${FIRST_PAUSE_SECONDS}::int * 2 ^ least(${attempts}::int - 1, 20)))
        where key = ${`schedule ${kind}`} and state in ('waiting', 'running') and attempts = ${attempts}`,
  )
}
