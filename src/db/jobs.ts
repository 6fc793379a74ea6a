// The queue: a row for each job, which outlives the transaction that asked for it and which any node may do. This file has the bulk
// jobs, done in batches with a transaction each. Deliveries (deliveries.ts) talk to another server and hold no transaction
// meanwhile; scheduled jobs (schedules.ts) repeat. It knows no noun: the caller hands in what a kind of job does.
import { DatabaseUnavailable } from './errors.ts'
import { type Db, fragment, many, maybe, one, type Pool, run, sql, tx } from './pool.ts'

/** The states of a job: the first two while it is open. */
export const JOB_STATES = ['waiting', 'running', 'done', 'failed'] as const

/** A job and how far it has come. */
export interface Job {
  id: string
  kind: string
  params: Record<string, unknown>
  /** Who asked for it. */
  actor: Record<string, unknown>
  state: (typeof JOB_STATES)[number]
  done: number
  /** Known once it has begun. */
  total: number | null
  /** What went wrong, for administrators. */
  problem: string | null
  created_at: Date
  finished_at: Date | null
}

/** What one batch did. */
export interface Batch {
  done: number
  total: number
  finished: boolean
  /** The params of the next batch; absent: as before. */
  params?: Job['params']
  /** Other transactions lock the rest of the batch: it is tried again in a second. */
  isHeldUp?: boolean
}

/** Does one batch in a transaction of its own, so that finished batches are kept when the node stops. */
export type JobStep = (t: Db, job: Job) => Promise<Batch>

const COLUMNS = fragment`id, kind, params, actor, state, done, total, problem, created_at, finished_at`

/** Puts a job into the queue; the commit announces it to every node. */
export function createJob(
  db: Db,
  { kind, params, actor }: Pick<Job, 'kind' | 'params' | 'actor'>,
): Promise<Job> {
  return one<Job>(
    db,
    sql`insert into queued_jobs (lane, kind, params, actor)
        values ('bulk', ${kind}, ${JSON.stringify(params)}, ${JSON.stringify(actor)})
        returning ${COLUMNS}`,
  )
}

/** A job by id. */
export function findJob(db: Db, id: string): Promise<Job | undefined> {
  return maybe<Job>(db, sql`select ${COLUMNS} from queued_jobs where id = ${id} and lane = 'bulk'`)
}

/** The latest jobs, newest first. */
export function listJobs(db: Db, limit = 20): Promise<Job[]> {
  return many<Job>(
    db,
    sql`select ${COLUMNS} from queued_jobs where lane = 'bulk' order by created_at desc limit ${limit}`,
  )
}

/** Called when a job does not go on. */
export interface JobReports {
  /** Its batch was rolled back, and is tried again. */
  heldUp(error: DatabaseUnavailable, job: Job): void
  /** The job has failed for good. */
  failed(error: unknown, job: Job): void
}

/** The pause of a job whose rows other transactions lock. */
const HELD_UP_SECONDS = 1
// A batch that waits for a lock keeps its own locks and delays the other jobs of its node. Below deadlock_timeout of PostgreSQL.
const LOCK_WAIT = '500ms'

/**
 * Does one batch of the open job whose last batch is longest ago, except jobs that other nodes are working on. So all open jobs take
 * turns, and a job that waits for locked rows delays no other.
 * @param kinds the kinds that this version knows; other kinds are left to nodes that know them
 * @returns after how many milliseconds to call again; undefined: there is nothing to do.
 * @throws DatabaseUnavailable when that is not about one job; any other failure ends the job
 */
export async function workOnce(
  db: Pool,
  kinds: Record<string, JobStep>,
  reports: JobReports,
): Promise<number | undefined> {
  let current: Job | undefined
  try {
    return await tx(db, async (t) => {
      const next = await maybe<Job & { wait_ms: number }>(
        t,
        sql`select ${COLUMNS},
                   greatest(0, ceil(extract(epoch from next_try_at - now()) * 1000))::int as wait_ms,
                   set_config('lock_timeout', ${LOCK_WAIT}, true)
            from queued_jobs
            where lane = 'bulk' and state in ('waiting', 'running') and kind = any(${Object.keys(kinds)})
            order by next_try_at limit 1
            for update skip locked`,
      )
      if (!next || next.wait_ms > 0) return next?.wait_ms
      current = next
      await noteBatch(t, current, await kinds[current.kind]!(t, current))
      return 0
    })
  } catch (error) {
    if (!current) throw error
    if (error instanceof DatabaseUnavailable) {
      // If the database cannot note the failure either, the job is not to blame.
      await putOff(db, current.id)
      reports.heldUp(error, current)
      return 0
    }
    reports.failed(error, current)
    await run(
      db,
      sql`update queued_jobs
          set state = 'failed', problem = 'It stopped at an error; the log says which.', finished_at = now()
          where id = ${current.id} and state in ('waiting', 'running')`,
    )
    return 0
  }
}

async function noteBatch(t: Db, job: Job, batch: Batch): Promise<void> {
  const { done, total, finished, params = job.params, isHeldUp = false } = batch
  await run(
    t,
    sql`update queued_jobs
        set state = ${finished ? 'done' : 'running'}, done = done + ${done}, total = ${total},
            params = ${JSON.stringify(params)},
            next_try_at = now() + make_interval(secs => ${isHeldUp ? HELD_UP_SECONDS : 0}::int),
            finished_at = case when ${finished} then now() end
        where id = ${job.id}`,
  )
}

// Another node may have taken this job up meanwhile.
async function putOff(db: Db, id: string): Promise<void> {
  await run(
    db,
    sql`update queued_jobs set next_try_at = now() + make_interval(secs => ${HELD_UP_SECONDS}::int)
        where id = any(array(
          select id from queued_jobs where id = ${id} and state in ('waiting', 'running') for update skip locked))`,
  )
}
