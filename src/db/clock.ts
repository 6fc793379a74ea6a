// One clock for all nodes, that of the database: every other node and now() in the database judge what one node issues.
// It knows no noun of ours.
import type { Logger } from 'pino'
import { type Db, one, sql } from './pool.ts'

/** The difference between the clock of this machine and that of the database. */
export interface Clock {
  /**
   * Asks the database for the time and sets `Date.now` by it.
   * @param ask asks the database for the seconds since the epoch
   */
  set(ask: () => Promise<number>): Promise<void>
  /** Seconds that the clock of this machine is ahead of the database's; negative when it is behind. */
  aheadSeconds(): number
  /** Whether the two are so far apart that an operator should act. */
  isApart(): boolean
  /** Gives `Date.now` back. */
  close(): void
}

// The delay of the network must not make the clock jump.
const LEFT_ALONE_MS = 1_000
const APART_MS = 5_000

/**
 * Makes `Date.now` return the time of the database, once that is known. The protocol library reads `Date.now` wherever it issues
 * or judges, and takes no other clock. See docs/decisions/0030-one-clock.md.
 */
export function followDatabase(log?: Logger): Clock {
  const before = Date.now
  let ahead = 0
  let isApart = false
  const corrected = (): number => machineNow() - ahead
  Date.now = corrected
  return {
    async set(ask) {
      const started = performance.now()
      const there = (await ask()) * 1000
      const tookMs = performance.now() - started
      // Callers of Date.now expect whole milliseconds.
      const measured = Math.round(machineNow() - tookMs / 2 - there)
      if (Math.abs(measured - ahead) <= LEFT_ALONE_MS + tookMs / 2) return
      ahead = Math.abs(measured) <= LEFT_ALONE_MS + tookMs / 2 ? 0 : measured
      if (isApart === Math.abs(ahead) > APART_MS) return
      isApart = !isApart
      const ahead_seconds = Math.round(ahead / 1000)
      if (isApart)
        log?.warn({ ahead_seconds }, 'the clock of this machine is wrong; the time of the database is used')
      else log?.info('the clock of this machine agrees with the database again')
    },
    aheadSeconds: () => Math.round(ahead / 1000),
    isApart: () => isApart,
    close() {
      if (Date.now === corrected) Date.now = before
    },
  }
}

/** The present time of the database in seconds since the epoch, not the time at which the transaction began. */
export async function databaseTime(db: Db): Promise<number> {
  const { now } = await one<{ now: number }>(
    db,
    sql`select extract(epoch from clock_timestamp())::float8 as now`,
  )
  return now
}

const machineNow = Date.now.bind(Date)
