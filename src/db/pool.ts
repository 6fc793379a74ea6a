// The one way to Postgres: values travel through the sql tag only, and a failed connection has one name.
// It knows no noun of ours.
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'

/** A statement and its values, made by {@link sql}. */
export interface Query {
  readonly text: string
  readonly values: readonly unknown[]
  /** Set by {@link named}: Postgres then parses and plans the statement once a connection. */
  readonly name?: string
}

/** Where statements run: the pool, or a transaction opened by {@link tx}. Store functions take it first. */
export interface Db {
  query<Row extends pg.QueryResultRow>(query: Query): Promise<{ rows: Row[]; rowCount: number }>
}

/** A pool of connections; {@link tx} takes one out of it for a transaction. */
export interface Pool extends Db {
  /** The pool of `pg`, for libraries that want one. */
  readonly pg: pg.Pool
  close(): Promise<void>
}

/** A transaction; {@link tx} inside of it joins it. */
interface Tx extends Db {
  readonly inTransaction: true
}

/** Postgres cannot be reached, or will not do this now: a lock, a timeout, a full disk. The same may be tried again. */
export class DatabaseUnavailable extends Error {
  override name = 'DatabaseUnavailable'

  /** False when Postgres itself said that nothing was kept; true when its answer never came, so that nobody knows. */
  get isOutcomeUnknown(): boolean {
    const { code } = (this.cause ?? {}) as { code?: string }
    return this.cause !== undefined && !REFUSED_STATEMENT.test(code ?? '') && !isStale(this)
  }
}

/** Builds a statement; every `${value}` becomes a parameter, never text. A {@link Fragment} is put in as it stands. */
export function sql(strings: TemplateStringsArray, ...values: unknown[]): Query {
  const parameters: unknown[] = []
  let text = strings[0]!
  values.forEach((value, i) => {
    text += value instanceof Fragment ? value.text : `$${parameters.push(value)}`
    text += strings[i + 1]
  })
  return { text, values: parameters }
}

/** A piece of a statement that several share, a list of columns for instance. It is written in the code and holds no value. */
export function fragment(strings: TemplateStringsArray): Fragment {
  return new Fragment(strings[0]!)
}

/** See {@link fragment}. */
export class Fragment {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

/** Gives a statement of the hot path a name, so that each connection prepares it once. */
export function named(name: string, query: Query): Query {
  return { ...query, name }
}

/**
 * Opens a pool of at most `max` connections to `connectionString`. Nothing is connected until the first query.
 * @param answerSeconds how long a statement may take before the server counts as lost; absent: as long as it likes.
 *   Postgres itself gives up earlier, so that what was answered with an error does not commit afterwards.
 */
export function openPool(connectionString: string, max = 10, answerSeconds?: number): Pool {
  const pool = new pg.Pool({
    connectionString,
    max,
    query_timeout: answerSeconds && answerSeconds * 1000,
    connectionTimeoutMillis: answerSeconds ? answerSeconds * 1000 * CONNECT_SHARE : CONNECT_MS,
    idleTimeoutMillis: 30_000,
    keepAlive: true,
    application_name: 'valetkey',
    onConnect: (client) => setSession(client, answerSeconds),
  })
  // A connection that breaks while it is idle, or between two statements of a transaction, is an event besides the
  // error of the next statement. Without a listener the event would end the process.
  pool.on('error', () => {})
  pool.on('connect', (client) => client.on('error', () => {}))
  return {
    pg: pool,
    query: (query) => send(pool, query),
    close: () => pool.end(),
  }
}

/** The first row. @throws Error when there is none. */
export async function one<Row extends pg.QueryResultRow>(db: Db, query: Query): Promise<Row> {
  const row = await maybe<Row>(db, query)
  if (!row) throw new Error('a row was expected, none came')
  return row
}

/** The first row, or undefined. */
export async function maybe<Row extends pg.QueryResultRow>(db: Db, query: Query): Promise<Row | undefined> {
  const { rows } = await db.query<Row>(query)
  return rows[0]
}

/** All rows. */
export async function many<Row extends pg.QueryResultRow>(db: Db, query: Query): Promise<Row[]> {
  const { rows } = await db.query<Row>(query)
  return rows
}

/** Runs a statement; how many rows it changed. */
export async function run(db: Db, query: Query): Promise<number> {
  const { rowCount } = await db.query(query)
  return rowCount
}

/**
 * Runs `work` in one transaction: all of it happens, or none. Inside a transaction it joins that one. When the answer to
 * `commit` is lost, another connection asks what became of the transaction.
 * @throws DatabaseUnavailable; the first error of a statement, when `work` passed over it and nothing was kept
 */
export async function tx<T>(db: Db, work: (t: Db) => Promise<T>): Promise<T> {
  if ('inTransaction' in db) return work(db)
  const pool = (db as Pool).pg
  return inTransaction(pool, async (client, t, firstError) => {
    const id = await begin(client)
    const result = await work(t)
    if (!(await commit(pool, client, id))) throw firstError() ?? new Error('the transaction was rolled back')
    return result
  })
}

/** Runs `work`, which only reads, in a transaction in which all statements see the same moment. */
export async function readTx<T>(db: Pool, work: (t: Db) => Promise<T>): Promise<T> {
  return inTransaction(db.pg, async (client, t) => {
    await send(client, sql`begin isolation level repeatable read, read only`)
    const result = await work(t)
    await send(client, sql`commit`)
    return result
  })
}

async function inTransaction<T>(
  pool: pg.Pool,
  work: (client: pg.PoolClient, t: Tx, firstError: () => unknown) => Promise<T>,
): Promise<T> {
  const client = await connect(pool)
  let firstError: unknown
  const t: Tx = {
    inTransaction: true,
    query: (query) =>
      send<never>(client, query).catch((error: unknown) => {
        firstError ??= error
        throw error
      }),
  }
  let broken: Error | undefined
  try {
    return await work(client, t, () => firstError)
  } catch (error) {
    if (isSpoiled(error)) broken = error
    else await send(client, sql`rollback`).catch((failed: Error) => (broken = failed))
    throw error
  } finally {
    client.release(broken)
  }
}

/** Whether an error of a statement says that its connection is of no use any more. */
function isSpoiled(error: unknown): error is Error {
  return error instanceof DatabaseUnavailable && (error.isOutcomeUnknown || isStale(error))
}

// A migration has changed what a prepared statement returns, and this connection keeps it prepared. Nothing was done.
function isStale(error: unknown): boolean {
  const { code, message } = ((error as Error | undefined)?.cause ?? {}) as { code?: string; message?: string }
  return code === '0A000' && STALE_STATEMENT.test(message ?? '')
}

/** True for an error that says: this row exists already (unique_violation). */
export function isUniqueViolation(error: unknown): boolean {
  return (error as { code?: string } | undefined)?.code === '23505'
}

/** Names a lost or refused connection; everything else passes through as it is. */
export function asDatabaseError(error: unknown): unknown {
  return isUnavailable(error)
    ? new DatabaseUnavailable('the database cannot be reached', { cause: error })
    : error
}

// A statement waits for a lock for at most 0.4 of the time that the client waits for the statement, and runs for at most 0.8
// of it: Postgres has always given up before we do. Above these nobody waits for an answer any more.
const LOCK_SHARE = 0.4
const STATEMENT_SHARE = 0.8
// Waiting for a free connection, or for a new one, comes before that.
const CONNECT_SHARE = 0.5
const CONNECT_MS = 3_000

// What the code relies on must not depend on the defaults of a server, a database or a role.
const SESSION: Record<string, string> = {
  DateStyle: 'ISO, MDY',
  IntervalStyle: 'postgres',
  TimeZone: 'UTC',
  bytea_output: 'hex',
  extra_float_digits: '1',
  standard_conforming_strings: 'on',
  default_transaction_isolation: 'read committed',
  default_transaction_deferrable: 'off',
  // A node that was cut off in the middle of a transaction holds its locks for no longer.
  idle_in_transaction_session_timeout: '60s',
  tcp_keepalives_idle: '10',
  tcp_keepalives_interval: '5',
  tcp_keepalives_count: '3',
}

/** Between two crashes of PostgreSQL, as each connection found it. A crash ends all connections, so it stays true of each. */
const runs = new WeakMap<pg.ClientBase, string>()

// PostgreSQL starts its statistics anew when it recovers from a crash, and a standby has its own; a clean restart keeps them.
const RUN = fragment`extract(epoch from pg_stat_get_bgwriter_stat_reset_time())::text`

// As a statement, because poolers refuse most of these in the start-up message.
async function setSession(client: pg.ClientBase, answerSeconds?: number): Promise<void> {
  const milliseconds = (share: number): string => `${Math.round((answerSeconds ?? 0) * 1000 * share)}ms`
  const limits: Record<string, string> = answerSeconds
    ? {
        statement_timeout: milliseconds(STATEMENT_SHARE),
        lock_timeout: milliseconds(LOCK_SHARE),
        // A commit that arrives after we gave up finds no transaction any more.
        idle_in_transaction_session_timeout: milliseconds(STATEMENT_SHARE),
      }
    : {}
  const settings = JSON.stringify({ ...SESSION, ...limits })
  const { rows } = await client.query<{ run: string }>(
    sql`select ${RUN} as run,
          (select count(set_config(name, value, false)) from json_each_text(${settings}) as s (name, value)),
          -- Without it, what was acknowledged could be lost with the power. Stronger settings are left alone.
          case when current_setting('synchronous_commit') = 'off' then set_config('synchronous_commit', 'on', false) end` as pg.QueryConfig,
  )
  runs.set(client, rows[0]!.run)
}

/**
 * A connection of the pool. The pool of pg limits how long somebody waits for a free one, or for one to open; here setting it up is
 * covered, too.
 * @throws DatabaseUnavailable
 */
async function connect(pool: pg.Pool): Promise<pg.PoolClient> {
  try {
    if (pool.idleCount > 0) return await pool.connect()
    const coming = pool.connect()
    const client = await within(coming, pool.options.connectionTimeoutMillis!)
    if (client) return client
    coming.then(
      (late) => late.release(),
      () => {},
    )
  } catch (error) {
    throw asDatabaseError(error)
  }
  // As if the network had been silent: whoever sends several statements must not wait for each of them.
  const cause = new Error('timeout exceeded when trying to connect')
  throw new DatabaseUnavailable('no connection to the database came in time', { cause })
}

/** Opens a transaction. @returns its id, by which its outcome can be asked for later */
async function begin(client: pg.PoolClient): Promise<string> {
  try {
    // Two statements without parameters are one round trip, and the type of pg knows one result only.
    const results = (await client.query(
      'begin; select pg_current_xact_id()::text as id',
    )) as unknown as pg.QueryResult<{ id: string }>[]
    return results[1]!.rows[0]!.id
  } catch (error) {
    throw asDatabaseError(error)
  }
}

/** @returns false when Postgres rolled back, because a statement had failed. @throws DatabaseUnavailable */
async function commit(pool: pg.Pool, client: pg.PoolClient, id: string): Promise<boolean> {
  try {
    // Postgres answers a commit of a failed transaction with ROLLBACK and no error.
    const { command } = await client.query('commit')
    return command === 'COMMIT'
  } catch (thrown) {
    const error = asDatabaseError(thrown)
    const isUnknown = error instanceof DatabaseUnavailable && error.isOutcomeUnknown
    if (isUnknown && (await isCommitted(pool, id, runs.get(client)))) return true
    throw error
  }
}

const OUTCOME_MS = 1_000
const ASK_AGAIN_MS = 50

/**
 * Whether a transaction whose connection is lost has committed; false, too, when that cannot be found out soon.
 * @param run of its connection. PostgreSQL gives a number away again that had not reached the disk when it crashed, so
 *   after a crash a committed transaction of this number may be another one.
 */
async function isCommitted(pool: pg.Pool, id: string, run: string | undefined): Promise<boolean> {
  const deadline = performance.now() + OUTCOME_MS
  while (performance.now() < deadline) {
    const found = await within(askOutcome(pool, id), deadline - performance.now()).catch(() => undefined)
    if (found?.outcome === 'committed') return found.run === run
    if (found?.outcome === 'aborted') return false
    await sleep(ASK_AGAIN_MS)
  }
  return false
}

// A transaction that waits for a commit which is never going to come is ended; one that is being committed is not.
async function askOutcome(pool: pg.Pool, id: string): Promise<{ outcome: string | null; run: string }> {
  const { rows } = await send<{ outcome: string | null; run: string }>(
    pool,
    sql`select ${RUN} as run, pg_xact_status(${id}::xid8) as outcome,
               (select pg_terminate_backend(pid) from pg_stat_activity
                where backend_xid = ${id}::xid8::xid and state like 'idle in transaction%')`,
  )
  return rows[0]!
}

/** What `work` brings, or undefined when that takes longer; it goes on. */
export async function within<T>(work: Promise<T>, milliseconds: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const over = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, milliseconds, undefined)
  })
  return Promise.race([work, over]).finally(() => clearTimeout(timer))
}

async function send<Row extends pg.QueryResultRow>(to: pg.Pool | pg.PoolClient, query: Query) {
  if (!(to instanceof pg.Pool)) return sendOver<Row>(to, query)
  // Each round drops a connection that had prepared the statement before a migration; a new one prepares it anew.
  for (;;) {
    const client = await connect(to)
    let broken: Error | undefined
    try {
      return await sendOver<Row>(client, query)
    } catch (error) {
      if (isSpoiled(error)) broken = error
      if (!isStale(error)) throw error
    } finally {
      client.release(broken)
    }
  }
}

async function sendOver<Row extends pg.QueryResultRow>(client: pg.PoolClient, query: Query) {
  try {
    const { rows, rowCount } = await client.query<Row>(query as pg.QueryConfig)
    return { rows, rowCount: rowCount ?? 0 }
  } catch (error) {
    throw asDatabaseError(error)
  }
}

// Postgres says so itself, and has kept nothing of the statement. 57014: canceled, by a timeout mostly; 55P03: a lock was
// not to be had; 40001, 40P01: others were in the way; 25006: a standby, or a server that takes no writes; 25P03: the
// transaction was idle for too long; 53: out of disk, memory or connections; 58: input and output failed.
const REFUSED_STATEMENT = /^(57014|55P03|40001|40P01|25006|25P03|53...|58...)$/
const STALE_STATEMENT = /cached plan must not change result type/
// Class 08: connection exception; 57P01–57P05: shutting down or starting up; the rest never reached a server.
const LOST_CONNECTION =
  /^(08...|57P0[1-5]|ECONN(REFUSED|RESET|ABORTED)|EPIPE|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ENOTFOUND|EAI_AGAIN|ENOENT)$/
const LOST =
  /Connection terminated|Query read timeout|connection timeout|timeout exceeded when trying to connect|Client has encountered a connection error|not queryable|Client was closed/i

function isUnavailable(error: unknown): boolean {
  const { code, message } = (error ?? {}) as { code?: string; message?: string }
  if (REFUSED_STATEMENT.test(code ?? '') || LOST_CONNECTION.test(code ?? '')) return true
  return LOST.test(message ?? '') || isStale({ cause: error })
}
