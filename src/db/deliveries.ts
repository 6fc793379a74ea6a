// Deliveries: jobs of the queue (jobs.ts) that hand something to another server, for instance a mail server, which may be slow, silent
// or down. Meanwhile nothing is locked and no transaction is open: the node that takes a delivery moves its next attempt ahead,
// and until then no other node takes it. It knows no noun.
import { type Db, many, maybe, run, sql } from './pool.ts'
import { KEPT_DAYS, SWEEP_BATCH, type Sweep } from './sweep.ts'

/** The lanes of deliveries; no lane waits for another. */
export type DeliveryLane = 'mail'

/** A delivery that this node has taken. */
export interface Delivery {
  id: string
  kind: string
  params: Record<string, unknown>
  recipient: string
  /** How many attempts there were, counting this one. */
  attempts: number
  created_at: Date
}

/** How a delivery ends. */
export type DeliveryEnd = 'sent' | 'withdrawn' | 'given_up'

/** When a delivery is tried again. An attempt must end within `firstPauseSeconds`. */
export interface Patience {
  /** The first pause; each further one is twice as long, up to the longest. */
  firstPauseSeconds: number
  longestPauseSeconds: number
  /** The age at which it is given up. */
  triedHours: number
}

/**
 * Takes the next delivery that is due and that no other node has taken, until its next pause ends.
 * @param kinds the kinds that this version knows; others are left to nodes that know them
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

/** Whether a delivery that was taken still has to be made. */
export async function isToBeMade(t: Db, id: string): Promise<boolean> {
  return (await maybe(t, sql`select from queued_jobs where id = ${id} and state = 'waiting'`)) !== undefined
}

/** Notes how a delivery ended, and deletes its content. */
export async function endDelivery(db: Db, id: string, end: DeliveryEnd): Promise<void> {
  await run(
    db,
    sql`update queued_jobs set state = ${end}, params = null, finished_at = now()
        where id = ${id} and state = 'waiting'`,
  )
}

/** Gives up deliveries that could not be made for too long. @returns these deliveries */
export function giveUpDeliveries(t: Db, lane: DeliveryLane, { triedHours }: Patience): Promise<Delivery[]> {
  return many<Delivery>(
    t,
    sql`with old as (
          select id, params from queued_jobs
          where lane = ${lane} and state = 'waiting' and created_at < now() - make_interval(hours => ${triedHours}::int)
            -- The first entry of an index tells that none has waited for so long, however many wait.
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
