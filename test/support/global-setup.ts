// Starts one throw-away PostgreSQL for the run, or uses that of TEST_DATABASE_URL, and migrates the database that each test file clones.
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEmbedded, THROW_AWAY } from '../../src/db/embedded.ts'
import { migrate } from '../../src/db/migrate.ts'
import { openPool } from '../../src/db/pool.ts'
import globalTeardown, { type Running } from './global-teardown.ts'

export default async function globalSetup(): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), 'valetkey-test-'))
  const given = process.env.TEST_DATABASE_URL
  const embedded = given ? undefined : await startEmbedded(dataDir, { settings: THROW_AWAY })
  const url = given ?? embedded!.url
  const template = openPool(url)
  await migrate(template)
  await template.close()
  // Workers inherit the environment; teardown runs in this process.
  process.env.TEST_DATABASE_URL = url
  if (given) process.env.TEST_DATABASE_IS_GIVEN = 'yes'
  // For the processes under test: from compiled sources the command line starts twice as fast.
  process.env.NODE_COMPILE_CACHE = join(dataDir, 'compiled')
  ;(globalThis as { running?: Running }).running = { embedded, dataDir }
  // An interrupted run gets no teardown, and the database is in a process session of its own.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => void globalTeardown().then(() => process.exit(130)))
  }
}
