// valetkey serve: the server, from the command line.

import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { BARE } from '../support/environment.ts'
import { freePort } from '../support/server.ts'
import { against, BIN, ended, SECRET_KEYS } from './run.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())

test('serves until SIGTERM; what the command line does meanwhile counts at once', async () => {
  const origin = `http://localhost:${await freePort()}`
  const env = { ...BARE, DATABASE_URL: database.url, SECRET_KEYS, ISSUER_URL: origin }
  const child = spawn(process.execPath, [BIN, 'serve'], { env })
  const end = ended(child)
  try {
    while (child.exitCode === null && !(await isReady(origin))) await sleep(50)
    const cli = against(database.url)
    await cli.json([
      'resources',
      'create',
      '--identifier',
      'https://jobs.example',
      '--name',
      'Jobs',
      '--scope',
      'jobs.run=Run jobs',
    ])
    const { id, secret } = await cli.json<{ id: string; secret: string }>([
      ...['clients', 'create', '--name', 'Nightly job', '--type', 'service', '--scope', 'jobs.run'],
    ])

    const before = await askForToken(origin, id, secret)
    await cli.run(['clients', 'suspend', id])
    const after = await askForToken(origin, id, secret)

    expect([before.status, after.status]).toEqual([200, 401])
  } finally {
    child.kill('SIGTERM')
  }
  expect(await end).toMatchObject({ code: 0, stdout: expect.stringContaining('"listening"') })
})

function isReady(origin: string): Promise<boolean> {
  return fetch(`${origin}/readyz`).then(
    ({ ok }) => ok,
    () => false,
  )
}

function askForToken(origin: string, id: string, secret: string): Promise<Response> {
  return fetch(`${origin}/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}` },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  })
}
