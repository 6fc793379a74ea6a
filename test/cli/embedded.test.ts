// The command line on the embedded database: beside a running server, without one, and broken off.

import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { findUserByEmail } from '../../src/core/users/store.ts'
import { startEmbedded } from '../../src/db/embedded.ts'
import { openPool } from '../../src/db/pool.ts'
import { BARE } from '../support/environment.ts'
import { until } from '../support/patience.ts'
import { BIN, ended, SECRET_KEYS, valetkey } from './run.ts'

let dataDir: string
let env: Record<string, string>
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'valetkey-cli-'))
  env = { DATA_DIR: dataDir, SECRET_KEYS }
})
afterAll(() => rm(dataDir, { recursive: true, force: true }))

function isDatabaseUp(): boolean {
  return existsSync(join(dataDir, 'postgres', 'cluster', 'postmaster.pid'))
}

function createUser(email: string) {
  const args = ['users', 'create', '--email', email, '--name', 'Ada', '--password-stdin']
  return valetkey(args, { env, input: 'correct horse battery\n' })
}

test('without a server, a command starts the database and stops it afterwards', async () => {
  const up = await valetkey(['migrate', 'up', '--json'], { env })
  const created = await createUser('alone@example.com')

  expect(up).toMatchObject({ code: 0, stderr: '' })
  expect(created).toMatchObject({ code: 0, stderr: '' })
  expect(isDatabaseUp()).toBe(false)
})

test('beside a server, a command joins its database and leaves it running', async () => {
  const server = await startEmbedded(dataDir)
  const db = openPool(server.url)
  try {
    const created = await createUser('beside@example.com')

    expect(created).toMatchObject({ code: 0, stderr: '' })
    expect(await findUserByEmail(db, 'beside@example.com')).toBeDefined()
    expect(await findUserByEmail(db, 'alone@example.com')).toBeDefined()
  } finally {
    await db.close()
    await server.stop()
  }
  expect(isDatabaseUp()).toBe(false)
})

test.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)('%s while it waits for a password stops the database too', async (signal, code) => {
  const args = [BIN, 'users', 'set-password', 'alone@example.com', '--password-stdin']
  const child = spawn(process.execPath, args, { env: { ...BARE, ...env } })
  const end = ended(child)
  await until(isDatabaseUp)
  await sleep(1000)

  child.kill(signal)

  expect(await end).toEqual({ code, stdout: '', stderr: 'valetkey: interrupted\n' })
  expect(isDatabaseUp()).toBe(false)
})
