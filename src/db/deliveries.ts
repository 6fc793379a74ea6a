// Deliveries: jobs of the queue (jobs.ts) that hand something to somebody else, a mail server for instance, which may be slow, silent
// or away. Nothing is locked and no transaction is open meanwhile: whoever takes a delivery moves its next attempt ahead, and
// until then it is nobody else's. It knows no noun.
import { type Db, many, maybe, run, sql } from './pool.ts'
import { KEPT_DAYS, SWEEP_BATCH, type Sweep } from './sweep.ts'

/** The lanes in which deliveries are made; none of them waits for another. */
export type DeliveryLane = 'mail'

/** A delivery that somebody has taken to make it. */
export interface Delivery {
  id: string
  kind: string
  params: Record<string, unknown>
  recipient: string
  /** How many there were, with this one. */
  attempts: number
  created_at: Date
}

/** How a delivery ends. */
export type DeliveryEnd = 'sent' | 'withdrawn' | 'given_up'

/** When a delivery is tried again. Attempts have to be over before `firstPauseSeconds` are. */
export interface Patience {
  /** Then twice as long each time, up to the longest. */
  firstPauseSeconds: number
  longestPauseSeconds: number
  /** After that it is given up. */
  triedHours: number
}

/**
 * Takes the next delivery that is due and that no other node has taken, for as long as its next pause lasts.
 * @param kinds what is known here; others are left to a node that knows them.
 */
export function takeDelivery(
  db: Db,
  lane: DeliveryLane,
  kinds: string[],
  { firstPauseSeconds, longestPauseSeconds }: Patience,
): Promise<Delivery | undefined> {
  return maybe<Delivery>(
    db,
    sql`update queued_jobs
        set attempts = attempts + 1,
            next_try_at = now() + make_interval(secs =>
              least(${longestPauseSeconds}::int, ${firstPauseSeconds}::int * 2 ^ least(attempts, 20)))
        where id = (
          select id from queued_jobs
          where lane = ${lane} and state = 'waiting' and next_try_at <= now() and kind = any(${kinds})
          order by next_try_at limit 1
          for update skip locked)
        returning id, kind, params, recipient, attempts, created_at`,
  )
}

/** Whether a delivery that was taken still is to be made. */
export async function isToBeMade(t: Db, id: string): Promise<boolean> {
  return (await maybe(t, sql`select from queued_jobs where id = ${id} and state = 'waiting'`)) !== undefined
}

/** Notes how a delivery ended, and forgets what it said. */
export async function endDelivery(db: Db, id: string, end: DeliveryEnd): Promise<void> {
  await run(
    db,
    sql`update queued_jobs set state = ${end}, params = null, finished_at = now()
        where id = ${id} and state = 'waiting'`,
  )
}

/** Gives up what could not be delivered for too long. @returns what nobody will get. */
export function giveUpDeliveries(t: Db, lane: DeliveryLane, { triedHours }: Patience): Promise<Delivery[]> {
  return many<Delivery>(
    t,
    sql`with old as (
          select id, params from queued_jobs
          where lane = ${lane} and state = 'waiting' and created_at < now() - make_interval(hours => ${triedHours}::int)
            -- Where none has waited for so long, the first entry of an index says it, however many wait.
            and (select min(created_at) from queued_jobs where lane = ${lane} and state = 'waiting')
                < now() - make_interval(hours => ${triedHours}::int)
          limit ${SWEEP_BATCH}
          for update skip locked)
        update queued_jobs q set state = 'given_up', params = null, finished_at = now()
        from old where q.id = any(array(select id from old)) and q.id = old.id
        returning q.id, q.kind, old.params, q.recipient, q.attempts, q.created_at`,
  )
}

/** Deliveries that ended long ago. */
export const sweepDeliveries: Sweep = (db) =>
  run(
    db,
    sql`delete from queued_jobs where id = any(array(
          select id from queued_jobs
          where lane = 'mail' and state <> 'waiting' and finished_at < now() - make_interval(days => ${KEPT_DAYS})
          limit ${SWEEP_BATCH} for update skip locked))`,
  )
