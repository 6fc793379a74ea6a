// Work that outlives the request that asked for it: a row a job, worked off in batches by whichever node is free. It knows
// no noun: what a kind of job does is handed in.
import { DatabaseUnavailable, type Db, many, maybe, one, type Pool, run, sql, tx } from './pool.ts'

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

/** Does one batch in a transaction of its own; what it did before the node went away is kept. */
export type JobStep = (t: Db, job: Job) => Promise<{ done: number; total: number; finished: boolean }>

/** Puts a job into the queue; every node hears of it at commit. */
export function createJob(
  db: Db,
  { kind, params, actor }: Pick<Job, 'kind' | 'params' | 'actor'>,
): Promise<Job> {
  return one<Job>(
    db,
    sql`insert into jobs (kind, params, actor) values (${kind}, ${JSON.stringify(params)}, ${JSON.stringify(actor)})
        returning *`,
  )
}

/** A job by id. */
export function findJob(db: Db, id: string): Promise<Job | undefined> {
  return maybe<Job>(db, sql`select * from jobs where id = ${id}`)
}

/** The latest jobs, newest first. */
export function listJobs(db: Db, limit = 20): Promise<Job[]> {
  return many<Job>(db, sql`select * from jobs order by created_at desc limit ${limit}`)
}

/**
 * Does one batch of the oldest open job that no other node is busy with.
 * @param kinds what is known here; a job of another kind is left to a node that knows it.
 * @returns whether there was one. @throws DatabaseUnavailable; any other failure ends the job, and is handed to `onError`.
 */
export async function workOnce(
  db: Pool,
  kinds: Record<string, JobStep>,
  onError: (error: unknown, job: Job) => void,
): Promise<boolean> {
  let current: Job | undefined
  try {
    return await tx(db, async (t) => {
      current = await maybe<Job>(
        t,
        sql`select * from jobs
            where state in ('waiting', 'running') and kind = any(${Object.keys(kinds)})
            order by created_at limit 1
            for update skip locked`,
      )
      if (!current) return false
      const { done, total, finished } = await kinds[current.kind]!(t, current)
      await run(
        t,
        sql`update jobs
            set state = ${finished ? 'done' : 'running'}, done = done + ${done}, total = ${total},
                finished_at = case when ${finished} then now() end
            where id = ${current.id}`,
      )
      return true
    })
  } catch (error) {
    if (error instanceof DatabaseUnavailable || !current) throw error
    onError(error, current)
    await run(
      db,
      sql`update jobs set state = 'failed', problem = 'It stopped at an error; the log says which.', finished_at = now()
          where id = ${current.id} and state in ('waiting', 'running')`,
    )
    return true
  }
}
