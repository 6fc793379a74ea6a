// The one way to Postgres: connections, transactions and running statements. It knows no noun of ours.
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { asDatabaseError, DatabaseUnavailable, isSpoiled, isStale } from './errors.ts'
import { RUN, runs, setSession } from './session.ts'
import { type Query, sql } from './sql.ts'

export { Fragment, fragment, named, type Query, sql } from './sql.ts'

/** Where statements run: the pool, or a transaction opened by {@link tx}. Store functions take it first. */
export interface Db {
  query<Row extends pg.QueryResultRow>(query: Query): Promise<{ rows: Row[]; rowCount: number }>
}

/** A pool of connections; {@link tx} takes one out of it for a transaction. */
export interface Pool extends Db {
  /** The pool of `pg`, for libraries that need it. */
  readonly pg: pg.Pool
  close(): Promise<void>
}

/** A transaction; {@link tx} inside of it joins it. */
interface Tx extends Db {
  readonly inTransaction: true
}

/**
 * Opens a pool of at most `max` connections to `connectionString`. Nothing is connected until the first query.
 * @param answerSeconds how long a statement may take before the server counts as lost; absent: no limit. Postgres itself gives
 *   up earlier, so that nothing commits after its request was answered with an error.
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
  // A connection that breaks while it is idle, or between two statements of a transaction, emits an event besides the error of the next
  // statement. Without a listener the event would end the process.
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

/** Runs a statement. @returns how many rows it changed */
export async function run(db: Db, query: Query): Promise<number> {
  const { rowCount } = await db.query(query)
  return rowCount
}

/**
 * Runs `work` in one transaction. Inside a transaction it joins that one. When the answer to `commit` is lost, another connection
 * asks whether the transaction committed.
 * @throws DatabaseUnavailable; the first error of a statement, when `work` ignored it and Postgres rolled back
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

/** Runs `work`, which only reads, in a transaction whose statements all see the same snapshot. */
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

// The share of the time for which we wait for a free or a new connection, before the statement.
const CONNECT_SHARE = 0.5
const CONNECT_MS = 3_000

/**
 * Takes a connection from the pool. The pool of pg limits only the wait for a free connection and for opening one; this limit covers
 * setting it up, too.
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
  // The message of a silent network, so that a caller with several statements does not wait again for each of them.
  const cause = new Error('timeout exceeded when trying to connect')
  throw new DatabaseUnavailable('no connection to the database came in time', { cause })
}

/** Opens a transaction. @returns its id, by which its outcome can be asked for later */
async function begin(client: pg.PoolClient): Promise<string> {
  try {
    // Two statements without parameters take one round trip; the type of pg knows only one result.
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
 * @param run the run of PostgreSQL that its connection belonged to. After a crash PostgreSQL reuses numbers that had not reached the
 *   disk, so a committed transaction of this number may be another one.
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

// End a transaction that waits for a commit that will never come; leave one that is just being committed.
async function askOutcome(pool: pg.Pool, id: string): Promise<{ outcome: string | null; run: string }> {
  const { rows } = await send<{ outcome: string | null; run: string }>(
    pool,
    sql`select ${RUN} as run, pg_xact_status(${id}::xid8) as outcome,
               (select pg_terminate_backend(pid) from pg_stat_activity
                where backend_xid = ${id}::xid8::xid and state like 'idle in transaction%')`,
  )
  return rows[0]!
}

/** The result of `work`, or undefined when it takes longer than this; the work goes on. */
export async function within<T>(work: Promise<T>, milliseconds: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const over = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, milliseconds, undefined)
  })
  return Promise.race([work, over]).finally(() => clearTimeout(timer))
}

async function send<Row extends pg.QueryResultRow>(to: pg.Pool | pg.PoolClient, query: Query) {
  if (!(to instanceof pg.Pool)) return sendOver<Row>(to, query)
  // Each round drops one connection that prepared the statement before a migration, until a connection prepares it anew.
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
