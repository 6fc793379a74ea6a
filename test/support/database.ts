// A database of its own for each test file: a clone of the migrated template, dropped at the end.
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { openPool, type Pool } from '../../src/db/pool.ts'

/** A migrated, empty database. */
export interface TestDatabase {
  url: string
  db: Pool
  /** Closes the pool and drops the database, whoever is still connected. */
  drop(): Promise<void>
}

/** Clones the migrated template; `{ empty: true }` gives a database with no table at all. */
export async function createTestDatabase(
  options: { empty?: boolean; poolSize?: number } = {},
): Promise<TestDatabase> {
  const name = `test_${randomBytes(6).toString('hex')}`
  await atServer(
    `create database ${name} template ${options.empty ? 'template0' : new URL(process.env.TEST_DATABASE_URL!).pathname.slice(1)}`,
  )
  const url = urlOf(name)
  const db = openPool(url, options.poolSize)
  return {
    url,
    db,
    drop: async () => {
      await db.close()
      await atServer(`drop database ${name} with (force)`)
    },
  }
}

/** Runs a statement beside the test databases, in the server's own one. */
async function atServer(statement: string): Promise<void> {
  const client = new pg.Client(urlOf('postgres'))
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}

function urlOf(database: string): string {
  const url = new URL(process.env.TEST_DATABASE_URL!)
  url.pathname = `/${database}`
  return url.href
}
