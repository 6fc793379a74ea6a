// One clock for all nodes, the database's: what one node issues, now() in the database and every other node judge.
// It knows no noun of ours.
import type { Logger } from 'pino'
import { type Db, one, sql } from './pool.ts'

/** How the clock of this machine stands to the database's. */
export interface Clock {
  /**
   * Asks the database for the time and sets `Date.now` by it.
   * @param ask gives seconds since the epoch, read while it was being asked
   */
  set(ask: () => Promise<number>): Promise<void>
  /** Seconds that the clock of this machine is ahead of the database's; negative when it is behind. */
  aheadSeconds(): number
  /** Whether the two are so far apart that somebody should look after it. */
  isApart(): boolean
  /** Gives `Date.now` back. */
  close(): void
}

// What the network adds to a measurement must not make the clock jump.
const LEFT_ALONE_MS = 1_000
const APART_MS = 5_000

/**
 * Makes `Date.now` say the database's time, as far as it was asked for. The protocol library reads `Date.now` wherever
 * it issues or judges, and takes no other clock. See docs/decisions/0030-one-clock.md.
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
      // Whoever reads Date.now counts on whole milliseconds.
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

/** The database's time, in seconds since the epoch; not that of the transaction's beginning. */
export async function databaseTime(db: Db): Promise<number> {
  const { now } = await one<{ now: number }>(
    db,
    sql`select extract(epoch from clock_timestamp())::float8 as now`,
  )
  return now
}

const machineNow = Date.now.bind(Date)
