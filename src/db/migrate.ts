// Brings the schema to what this version of the code expects: the plain SQL files of migrations/, forward only.
// It knows no noun of ours.
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { runner } from 'node-pg-migrate'
import { type Db, many, type Pool, sql } from './pool.ts'

/** Where the schema stands. Names are those of the files, without `.sql`, in their order. */
export interface MigrationStatus {
  applied: string[]
  pending: string[]
}

/**
 * Applies every pending migration, all of them or none. Starts that come at the same time wait for each other under
 * an advisory lock, so any number of them may call this. Migrations of a later version are left alone.
 * @returns the names of the migrations that this call applied
 */
export async function migrate(db: Pool): Promise<string[]> {
  const client = await db.pg.connect()
  let broken: Error | undefined
  try {
    const done = await runner({
      dbClient: client,
      dir: DIRECTORY,
      migrationsTable: TABLE,
      direction: 'up',
      singleTransaction: true,
      // The library's own default is to fail when another start holds the lock.
      advisoryLockMode: 'wait',
      logger: SILENT,
    })
    return done.map(({ name }) => name)
  } catch (error) {
    // Its lock is the session's, and a failed run may leave it held: that connection must not go back.
    broken = error as Error
    throw error
  } finally {
    client.release(broken)
  }
}

/** What was applied to the database, and what is still to come. */
export async function migrationStatus(db: Db): Promise<MigrationStatus> {
  const [names, applied] = await Promise.all([migrationNames(), appliedNames(db)])
  return { applied, pending: names.filter((name) => !applied.includes(name)) }
}

const DIRECTORY = join(import.meta.dirname, '..', '..', 'migrations')
const TABLE = 'migrations'
const SILENT = { info: () => {}, warn: () => {}, error: () => {} }

async function migrationNames(): Promise<string[]> {
  const files = await readdir(DIRECTORY)
  return files
    .filter((file) => file.endsWith('.sql'))
    .map((file) => file.slice(0, -'.sql'.length))
    .sort()
}

async function appliedNames(db: Db): Promise<string[]> {
  try {
    const rows = await many<{ name: string }>(db, sql`select name from migrations order by id`)
    return rows.map(({ name }) => name)
  } catch (error) {
    // 42P01: no such table, so nothing was ever applied.
    if ((error as { code?: string }).code === '42P01') return []
    throw error
  }
}
