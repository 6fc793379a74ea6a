// The queue: work that outlives the transaction that asks for it, a row a job, done by whichever node is free. Here are the jobs that
// are done in batches, each in a transaction of its own. Deliveries (deliveries.ts) talk to somebody else and hold no transaction
// meanwhile; schedules (schedules.ts) come again and again. It knows no noun: what a kind of job does is handed in.
import { DatabaseUnavailable } from './errors.ts'
import { type Db, fragment, many, maybe, one, type Pool, run, sql, tx } from './pool.ts'

/** A job and how far it has come. */
export interface Job {
  id: string
  kind: string
  params: Record<string, unknown>
  /** Who asked for it. */
  actor: Record<string, unknown>
  state: 'waiting' | 'running' | 'done' | 'failed'
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
  /** What the next batch is to know; absent: what this one knew. */
  params?: Job['params']
  /** Somebody else holds what is left of the batch: it is tried again in a second. */
  isHeldUp?: boolean
}

/** Does one batch in a transaction of its own; what it did before the node went away is kept. */
export type JobStep = (t: Db, job: Job) => Promise<Batch>

const COLUMNS = fragment`id, kind, params, actor, state, done, total, problem, created_at, finished_at`

/** Puts a job into the queue; every node hears of it at commit. */
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

/** Told of jobs that do not go on. */
export interface JobReports {
  /** Its batch was given up, and is tried again. */
  heldUp(error: DatabaseUnavailable, job: Job): void
  /** It has ended. */
  failed(error: unknown, job: Job): void
}

/** After this a job goes on whose rows somebody else holds. */
const HELD_UP_SECONDS = 1
// A batch that waits keeps what it has locked, and the other jobs of its node. Below PostgreSQL's deadlock_timeout.
const LOCK_WAIT = '500ms'

/**
 * Does one batch of the job whose last one is longest ago, but for those that other nodes are busy with: all that are open take
 * turns, and one that waits for rows of somebody else delays none.
 * @param kinds what is known here; a job of another kind is left to a node that knows it.
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
      // What the database cannot note either is no matter of this job.
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

// Another node may have taken it up meanwhile.
async function putOff(db: Db, id: string): Promise<void> {
  await run(
    db,
    sql`update queued_jobs set next_try_at = now() + make_interval(secs => ${HELD_UP_SECONDS}::int)
        where id = any(array(
          select id from queued_jobs where id = ${id} and state in ('waiting', 'running') for update skip locked))`,
  )
}
