// Limits that all nodes share: counters in Postgres, kept by rate-limiter-flexible. It knows no noun of ours.
import { isIPv6 } from 'node:net'
import { RateLimiterPostgres, RateLimiterRes } from 'rate-limiter-flexible'
import { asDatabaseError, type Pool, run, sql } from '../db/pool.ts'
import { SWEEP_BATCH, type Sweep } from '../db/sweep.ts'
import { TooManyRequests } from './errors.ts'

/** Under which key an address counts: one household or machine has a whole IPv6 /64, so its addresses count together. */
export function placeOf(ip: string): string {
  if (!isIPv6(ip)) return ip
  const [head = '', tail] = ip.split('::')
  const groups = head.split(':').filter(Boolean)
  const rest = tail === undefined ? [] : tail.split(':').filter(Boolean)
  const full =
    tail === undefined ? groups : [...groups, ...Array(8 - groups.length - rest.length).fill('0'), ...rest]
  return `${full
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`
}

/** What is left of a window. */
export interface Left {
  attempts: number
  /** Until the window is over. */
  seconds: number
}

/** Counts attempts under a key. */
export interface Throttle {
  /** Counts one attempt. @returns what is left. @throws TooManyRequests when there were too many. */
  count(key: string): Promise<Left>
  /** Takes one attempt back that turned out to be rightful. */
  forgive(key: string): Promise<void>
  /** Forgets the attempts of a key. */
  reset(key: string): Promise<void>
}

/**
 * At most `attempts` in `seconds` under one key; beyond that none until the window has passed.
 * @param name tells the counters of several throttles apart. @param message for the person, who is told how long to wait.
 */
export function throttle(
  db: Pool,
  { name, attempts, seconds, message }: { name: string; attempts: number; seconds: number; message: string },
): Throttle {
  const limiter = new RateLimiterPostgres({
    storeClient: db.pg,
    storeType: 'pool',
    tableName: 'rate_limits',
    tableCreated: true,
    keyPrefix: name,
    points: attempts,
    duration: seconds,
    // Its own clearing would be a timer a limiter; the sweeper does it.
    clearExpiredByTimeout: false,
  })
  return {
    async count(key) {
      try {
        const { remainingPoints, msBeforeNext } = await limiter.consume(key)
        return { attempts: remainingPoints, seconds: Math.ceil(msBeforeNext / 1000) }
      } catch (refusal) {
        if (!(refusal instanceof RateLimiterRes)) throw asDatabaseError(refusal)
        const wait = Math.max(1, Math.ceil(refusal.msBeforeNext / 1000))
        const crossed = refusal.consumedPoints === attempts + 1
        throw new TooManyRequests(`${message} Try again in ${inWords(wait)}.`, wait, crossed)
      }
    },
    async forgive(key) {
      await limiter.reward(key).catch(rethrow)
    },
    async reset(key) {
      await limiter.delete(key).catch(rethrow)
    },
  }
}

function rethrow(error: unknown): never {
  throw asDatabaseError(error)
}

/** Counters whose window has passed. */
export const sweepCounters: Sweep = (db) =>
  run(
    db,
    sql`delete from rate_limits where key = any(array(
          select key from rate_limits where expire < extract(epoch from now()) * 1000
          limit ${SWEEP_BATCH} for update skip locked))`,
  )

function inWords(seconds: number): string {
  if (seconds <= 90) return `${seconds} seconds`
  return `${Math.ceil(seconds / 60)} minutes`
}
