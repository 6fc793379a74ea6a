// The one way to Postgres: values travel through the sql tag only, and a failed connection has one name.
// It knows no noun of ours.
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

/** Postgres cannot be reached or will not serve now. Nothing of the failed statement was kept. */
export class DatabaseUnavailable extends Error {
  override name = 'DatabaseUnavailable'
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
 */
export function openPool(connectionString: string, max = 10, answerSeconds?: number): Pool {
  const pool = new pg.Pool({
    connectionString,
    max,
    query_timeout: answerSeconds && answerSeconds * 1000,
    connectionTimeoutMillis: 5_000,
    idleTimeoutMillis: 30_000,
    application_name: 'valetkey',
  })
  // An idle connection that breaks is replaced by the next query; without a listener it would end the process.
  pool.on('error', () => {})
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

/** Runs `work` in one transaction: all of it happens, or none. Inside a transaction it joins that one. */
export async function tx<T>(db: Db, work: (t: Db) => Promise<T>): Promise<T> {
  if ('inTransaction' in db) return work(db)
  const pool = (db as Pool).pg
  const client = await connect(pool)
  const t: Tx = { inTransaction: true, query: (query) => send(client, query) }
  let broken: Error | undefined
  try {
    await send(client, sql`begin`)
    const result = await work(t)
    await send(client, sql`commit`)
    return result
  } catch (error) {
    if (error instanceof DatabaseUnavailable) broken = error
    else await send(client, sql`rollback`).catch((failed: Error) => (broken = failed))
    throw error
  } finally {
    client.release(broken)
  }
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

async function connect(pool: pg.Pool): Promise<pg.PoolClient> {
  try {
    return await pool.connect()
  } catch (error) {
    throw asDatabaseError(error)
  }
}

async function send<Row extends pg.QueryResultRow>(to: pg.Pool | pg.PoolClient, query: Query) {
  try {
    const { rows, rowCount } = await to.query<Row>(query as pg.QueryConfig)
    return { rows, rowCount: rowCount ?? 0 }
  } catch (error) {
    throw asDatabaseError(error)
  }
}

// Class 08: connection exception; 57P01–57P03: shutting down or starting up; 53300: too many connections;
// 25006: a standby after a fail-over; the rest never reached a server.
const UNAVAILABLE =
  /^(08...|57P0[123]|53300|25006|ECONN(REFUSED|RESET)|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|ENOENT)$/
const LOST =
  /Connection terminated|Query read timeout|connection timeout|timeout exceeded when trying to connect|Client has encountered a connection error|not queryable/i

function isUnavailable(error: unknown): boolean {
  const { code, message } = (error ?? {}) as { code?: string; message?: string }
  return UNAVAILABLE.test(code ?? '') || LOST.test(message ?? '')
}
