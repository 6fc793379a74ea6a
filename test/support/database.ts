// A database for each test file: a clone of the migrated template, dropped at the end.
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { startEmbedded, THROW_AWAY } from '../../src/db/embedded.ts'
import { migrate } from '../../src/db/migrate.ts'
import { openPool, type Pool } from '../../src/db/pool.ts'
import { PATIENCE_MS } from './patience.ts'

/** A migrated, empty database. */
export interface TestDatabase {
  url: string
  db: Pool
  /** Closes the pool and drops the database, even with open connections. */
  drop(): Promise<void>
}

let server = process.env.TEST_DATABASE_URL!

/**
 * Starts a PostgreSQL for the databases of this test file alone. PostgreSQL numbers transactions over the whole server: those of other
 * test files would delay the seals of the audit log, and be counted.
 */
export async function serverOfItsOwn(): Promise<{ stop(): Promise<void> }> {
  // TEST_DATABASE_URL names the server for all tests.
  if (process.env.TEST_DATABASE_IS_GIVEN) return { stop: async () => {} }
  const dataDir = await mkdtemp(join(tmpdir(), 'valetkey-test-own-'))
  const embedded = await startEmbedded(dataDir, { settings: THROW_AWAY })
  const shared = server
  server = embedded.url
  const template = openPool(server)
  await migrate(template)
  await template.close()
  return {
    async stop() {
      server = shared
      await embedded.stop()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

/** Clones the migrated template, or with `{ empty: true }` an empty database. */
export async function createTestDatabase(
  options: { empty?: boolean; poolSize?: number } = {},
): Promise<TestDatabase> {
  const name = `test_${randomBytes(6).toString('hex')}`
  await atServer(
    `create database ${name} template ${options.empty ? 'template0' : new URL(server).pathname.slice(1)}`,
  )
  const url = urlOf(name)
  // Do not take a machine that stalls for a lost database.
  const db = openPool(url, options.poolSize, (2 * PATIENCE_MS) / 1000)
  return {
    url,
    db,
    drop: async () => {
      await db.close()
      await atServer(`drop database ${name} with (force)`)
    },
  }
}

/** Runs a statement in the maintenance database of the server. */
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
  const url = new URL(server)
  url.pathname = `/${database}`
  return url.href
}
