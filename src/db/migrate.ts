// Migrates the schema to this version of the code, with the plain SQL files of migrations/, forward only, while nodes of the version
// before go on working (docs/decisions/0039-migrations-beside-readers.md). It knows no noun of ours.
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { checkDirect } from './direct.ts'
import { asDatabaseError, DatabaseUnavailable } from './errors.ts'
import { concurrentIndex, type Migration, migrationNames, readMigration } from './migration-file.ts'
import { type Db, many, type Pool, sql } from './pool.ts'

/** Where the schema stands. Names are those of the files, without `.sql`, in their order. */
export interface MigrationStatus {
  applied: string[]
  pending: string[]
  /** Applied by a later version and marked as breaking: this version cannot work on such a schema. */
  tooNew: string[]
}

/** A migration cannot be applied; the message says which one, and why. */
export class MigrationFailed extends Error {
  override name = 'MigrationFailed'
}

/** The schema has breaking migrations of a later version. */
export class SchemaTooNew extends Error {
  override name = 'SchemaTooNew'

  constructor(tooNew: string[]) {
    super(
      `This version is too old for the database: a later one applied ${tooNew.join(', ')}. Start that version or a later one.`,
    )
  }
}

/** Options of {@link migrate}. */
export interface MigrateOptions {
  /** The folder of the files; absent: our own. */
  directory?: string
  /** How long to try a migration whose locks others hold, and how long to wait for another start that migrates. */
  patienceSeconds?: number
  /** Called when a migration is tried again, because others hold locks that it needs. */
  onRetry?: (name: string, reason: string) => void
}

/**
 * Applies every pending migration by itself: when one fails, those before it stay applied, and the next call goes on from there. Any
 * number of processes may call this at the same time: they wait for each other. Migrations of a later version are ignored,
 * unless they are marked as breaking.
 * @returns the names of the migrations that this call applied
 * @throws PooledByTransaction, SchemaTooNew, MigrationFailed, DatabaseUnavailable
 */
export async function migrate(db: Pool, options: MigrateOptions = {}): Promise<string[]> {
  const { directory = DIRECTORY, patienceSeconds = PATIENCE_SECONDS } = options
  await checkDirect(db)
  // Return here when nothing is pending, so that a role that may not change the schema can start on a migrated database.
  if ((await statusFor(db, directory)).pending.length === 0) return []
  const client = await connect(db)
  try {
    await waitForTurn(client, patienceSeconds)
    const { applied, pending } = await statusFor(db, directory)
    if (applied.length === 0) await client.query(TABLE)
    for (const name of pending) {
      const migration = await readMigration(directory, name)
      await patiently(name, () => apply(client, migration), { ...options, patienceSeconds })
    }
    return pending
  } catch (error) {
    throw asDatabaseError(error)
  } finally {
    // The lock ends with the session.
    await client.end().catch(() => {})
  }
}

/** Which migrations were applied to the database, and which are pending. */
export async function migrationStatus(db: Db, directory = DIRECTORY): Promise<MigrationStatus> {
  const [names, rows] = await Promise.all([migrationNames(directory), appliedRows(db)])
  const applied = rows.map(({ name }) => name)
  return {
    applied,
    pending: names.filter((name) => !applied.includes(name)),
    tooNew: rows.filter(({ name, breaking }) => breaking && !names.includes(name)).map(({ name }) => name),
  }
}

const DIRECTORY = join(import.meta.dirname, '..', '..', 'migrations')
const PATIENCE_SECONDS = 300
// Below deadlock_timeout of PostgreSQL, a second: in a deadlock the migration gives way, not a reader; and statements that queue
// behind a waiting migration wait for this long at most.
const LOCK_MS = 500
const MAX_PAUSE_MS = 5_000
const BATCH_PAUSE_MS = 20
// The lock of the library with which earlier versions migrate, so that they and we never migrate at once.
const TURN = '7241865325823964'
const POLL_MS = 200
// lock_not_available, deadlock_detected, query_canceled.
const TRY_AGAIN = ['55P03', '40P01', '57014']
const TABLE = `
  create table if not exists migrations (
    id serial primary key,
    name varchar(255) not null,
    run_on timestamp not null
  )`

/** A session outside of the pool, without its limits; its settings and its lock end with it. */
async function connect(db: Pool): Promise<pg.Client> {
  const client = new pg.Client({
    ...db.pg.options,
    query_timeout: undefined,
    statement_timeout: undefined,
    application_name: 'valetkey migrate',
    // Notices within half a minute that the database has become silent.
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  })
  // The statement under way fails as well and reports the error; without this listener the process would end.
  client.on('error', () => {})
  try {
    await client.connect()
    await client.query(`set statement_timeout = 0; set lock_timeout = ${LOCK_MS}`)
    return client
  } catch (error) {
    await client.end().catch(() => {})
    throw asDatabaseError(error)
  }
}

// Ask for the lock again and again instead of waiting for it: a waiting statement holds a snapshot, and `create index concurrently` of
// the process that has the lock would wait for that snapshot to end.
async function waitForTurn(client: pg.Client, patienceSeconds: number): Promise<void> {
  const deadline = Date.now() + patienceSeconds * 1000
  for (;;) {
    const { rows } = await client.query<{ ours: boolean }>(`select pg_try_advisory_lock(${TURN}) as ours`)
    if (rows[0]!.ours) return
    if (Date.now() > deadline) throw new MigrationFailed(await whoseTurn(client, patienceSeconds))
    await sleep(POLL_MS)
  }
}

async function whoseTurn(client: pg.Client, seconds: number): Promise<string> {
  const { rows } = await client.query<{ who: string }>(
    `select format('process %s of PostgreSQL, from %s', pid, coalesce(host(client_addr), 'the same machine')) as who
     from pg_locks
     join pg_stat_activity using (pid)
     where locktype = 'advisory' and granted and objsubid = 1
       and (classid::bigint << 32 | objid::bigint) = ${TURN}`,
  )
  const who = rows[0] ? ` (${rows[0].who})` : ''
  return `Another start${who} is migrating, and was not done after ${seconds} seconds. Try again when it is.`
}

async function statusFor(db: Db, directory: string): Promise<MigrationStatus> {
  const status = await migrationStatus(db, directory)
  if (status.tooNew.length > 0) throw new SchemaTooNew(status.tooNew)
  return status
}

/** Tries again while locks of others are the only obstacle. */
async function patiently(
  name: string,
  work: () => Promise<void>,
  { patienceSeconds, onRetry }: MigrateOptions & { patienceSeconds: number },
): Promise<void> {
  const deadline = Date.now() + patienceSeconds * 1000
  for (let pause = 100; ; pause = Math.min(pause * 2, MAX_PAUSE_MS)) {
    try {
      return await work()
    } catch (error) {
      if (asDatabaseError(error) instanceof DatabaseUnavailable && !isInTheWay(error)) throw error
      const { message } = error as Error
      if (!isInTheWay(error)) throw new MigrationFailed(`Migration ${name} failed: ${message}`)
      if (Date.now() > deadline) {
        throw new MigrationFailed(
          `Migration ${name} needs locks that others hold, and did not get them for ${patienceSeconds} seconds: ${message}`,
        )
      }
      onRetry?.(name, message)
      await sleep(pause)
    }
  }
}

function isInTheWay(error: unknown): boolean {
  return TRY_AGAIN.includes((error as { code?: string }).code ?? '')
}

async function apply(client: pg.Client, migration: Migration): Promise<void> {
  if (migration.kind === 'transaction') return applyAtOnce(client, migration)
  for (const statement of migration.statements) {
    await (migration.kind === 'batched' ? repeat(client, statement) : runAlone(client, statement))
  }
  await record(client, migration)
}

async function applyAtOnce(client: pg.Client, migration: Migration): Promise<void> {
  await client.query('begin')
  try {
    for (const statement of migration.statements) await client.query(statement)
    await record(client, migration)
    await client.query('commit')
  } catch (error) {
    await client.query('rollback').catch(() => {})
    throw error
  }
}

async function repeat(client: pg.Client, statement: string): Promise<void> {
  while ((await client.query(statement)).rowCount) await sleep(BATCH_PAUSE_MS)
}

async function runAlone(client: pg.Client, statement: string): Promise<void> {
  const index = concurrentIndex(statement)
  if (index) await dropInvalid(client, index)
  if (!/\bindex\s+concurrently\b/i.test(statement)) {
    await client.query(statement)
    return
  }
  // It waits for all open transactions to end, and blocks nobody meanwhile.
  await client.query(`set lock_timeout = '${PATIENCE_SECONDS}s'`)
  try {
    await client.query(statement)
  } finally {
    await client.query(`set lock_timeout = ${LOCK_MS}`).catch(() => {})
  }
}

// An attempt that was broken off leaves an invalid index of this name, which no query uses.
async function dropInvalid(client: pg.Client, index: string): Promise<void> {
  const { rowCount } = await client.query(
    'select from pg_index where indexrelid = to_regclass($1) and not indisvalid',
    [index],
  )
  if (rowCount) await runAlone(client, `drop index concurrently if exists ${index}`)
}

function record(client: pg.Client, { name, breaking }: Migration) {
  // Migration 0033 added the column; migrations before it are not breaking.
  return breaking
    ? client.query('insert into migrations (name, run_on, breaking) values ($1, now(), true)', [name])
    : client.query('insert into migrations (name, run_on) values ($1, now())', [name])
}

async function appliedRows(db: Db): Promise<{ name: string; breaking: boolean }[]> {
  try {
    return await many(
      db,
      sql`select name, coalesce((to_jsonb(migrations) ->> 'breaking')::boolean, false) as breaking
          from migrations
          order by id`,
    )
  } catch (error) {
    // 42P01: the table does not exist, so nothing was ever applied.
    if ((error as { code?: string }).code === '42P01') return []
    throw error
  }
}
