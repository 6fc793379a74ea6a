// What is set on each connection, so that nothing depends on the defaults of a server, a database or a role.
import type pg from 'pg'
import { fragment, sql } from './sql.ts'

// Shares of the time for which we wait for a statement: Postgres waits for a lock for at most 0.4 of it and runs the statement for
// at most 0.8 of it, so that Postgres always gives up before we do.
const LOCK_SHARE = 0.4
const STATEMENT_SHARE = 0.8

const SESSION: Record<string, string> = {
  DateStyle: 'ISO, MDY',
  IntervalStyle: 'postgres',
  TimeZone: 'UTC',
  bytea_output: 'hex',
  extra_float_digits: '1',
  standard_conforming_strings: 'on',
  default_transaction_isolation: 'read committed',
  default_transaction_deferrable: 'off',
  // The longest for which a node that was cut off in the middle of a transaction keeps its locks.
  idle_in_transaction_session_timeout: '60s',
  tcp_keepalives_idle: '10',
  tcp_keepalives_interval: '5',
  tcp_keepalives_count: '3',
}

/**
 * The run of PostgreSQL, between two crashes, that each connection belongs to. A crash ends all connections, so no connection
 * outlives its run.
 */
export const runs = new WeakMap<pg.ClientBase, string>()

/**
 * Names a run of PostgreSQL: it resets its statistics when it recovers from a crash, and a standby has statistics of its own; a
 * clean restart keeps them.
 */
export const RUN = fragment`extract(epoch from pg_stat_get_bgwriter_stat_reset_time())::text`

/**
 * Sets all of it on a new connection, by a statement, because poolers refuse most of these settings in the start-up message.
 * @param answerSeconds how long we wait for a statement; absent: as long as it takes
 */
export async function setSession(client: pg.ClientBase, answerSeconds?: number): Promise<void> {
  const milliseconds = (share: number): string => `${Math.round((answerSeconds ?? 0) * 1000 * share)}ms`
  const limits: Record<string, string> = answerSeconds
    ? {
        statement_timeout: milliseconds(STATEMENT_SHARE),
        lock_timeout: milliseconds(LOCK_SHARE),
        // A commit that arrives after we gave up finds no transaction.
        idle_in_transaction_session_timeout: milliseconds(STATEMENT_SHARE),
      }
    : {}
  const settings = JSON.stringify({ ...SESSION, ...limits })
  const { rows } = await client.query<{ run: string }>(
    sql`select ${RUN} as run,
          (select count(set_config(name, value, false)) from json_each_text(${settings}) as s (name, value)),
          -- Without it, a power cut could lose what was acknowledged. Stronger settings stay as they are.
          case when current_setting('synchronous_commit') = 'off' then set_config('synchronous_commit', 'on', false) end` as pg.QueryConfig,
  )
  runs.set(client, rows[0]!.run)
}
