// Limits that all nodes share: counters in Postgres, by rate-limiter-flexible. It knows no noun of ours.
import { isIPv6 } from 'node:net'
import { BurstyRateLimiter, RateLimiterPostgres, RateLimiterRes } from 'rate-limiter-flexible'
import { asDatabaseError } from '../db/errors.ts'
import { type Pool, run, sql } from '../db/pool.ts'
import { SWEEP_BATCH, type Sweep } from '../db/sweep.ts'
import { TooManyRequests } from './errors.ts'

/** The key of an address. One household or machine has a whole IPv6 /64, so its addresses count together. */
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

/** The rest of a window. */
export interface Left {
  attempts: number
  /** Until the window ends. */
  seconds: number
}

/** Counts attempts under a key. */
export interface Throttle {
  /** Counts one attempt. @returns how many are left. @throws TooManyRequests */
  count(key: string): Promise<Left>
  /** Takes back an attempt that turned out to be legitimate. */
  forgive(key: string): Promise<void>
  /** Forgets the attempts of a key. */
  reset(key: string): Promise<void>
}

/** What a {@link Throttle} allows. */
export interface ThrottleOptions {
  /** Distinguishes the counters of several throttles. */
  name: string
  attempts: number
  seconds: number
  /** The message for the person; how long to wait is added. */
  message: string
  /** Additional attempts over a longer time, for somebody who does much at once and then nothing. */
  burst?: { attempts: number; seconds: number }
  /** Whether a node refuses without a write once a key exceeds twice the limit. Not for attempts that may be taken back. */
  inMemory?: boolean
}

/** Allows `attempts` in `seconds` for each key, and a burst on top; beyond that none until the window ends. */
export function throttle(
  db: Pool,
  { name, attempts, seconds, message, burst, inMemory = false }: ThrottleOptions,
): Throttle {
  const limiterOf = (keyPrefix: string, points: number, duration: number) =>
    new RateLimiterPostgres({
      storeClient: db.pg,
      storeType: 'pool',
      tableName: 'rate_limits',
      tableCreated: true,
      keyPrefix,
      points,
      duration,
      // The sweeper deletes expired counters, instead of a timer for each limiter.
      clearExpiredByTimeout: false,
      ...(inMemory && { inMemoryBlockOnConsumed: points * 2 }),
    })
  const limiter = limiterOf(name, attempts, seconds)
  const counted = burst
    ? new BurstyRateLimiter(limiter, limiterOf(`${name}-burst`, burst.attempts, burst.seconds))
    : limiter
  return {
    async count(key) {
      try {
        const { remainingPoints, msBeforeNext } = await counted.consume(key)
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

/** Deletes counters whose window has ended. */
export const sweepCounters: Sweep = (db) =>
  run(
    db,
    sql`delete from rate_limits where key = any(array(
          -- Of the type of the column, so that Postgres uses the index.
          select key from rate_limits where expire < (extract(epoch from now()) * 1000)::bigint
          limit ${SWEEP_BATCH} for update skip locked))`,
  )

/** How long to wait, in words. */
export function inWords(seconds: number): string {
  if (seconds <= 90) return `${seconds} seconds`
  return `${Math.ceil(seconds / 60)} minutes`
}
