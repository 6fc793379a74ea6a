// The server as a process: what it makes at its first start, finds at the second, and how it stops.
import { once } from 'node:events'
import { access, mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { createUser } from '../src/core/users/store.ts'
import { createTestDatabase, type TestDatabase } from './support/database.ts'
import { until } from './support/patience.ts'
import { freePort, runMain, SECRET_KEYS, startServer, type TestServer } from './support/server.ts'

let dir: string
let database: TestDatabase
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'valetkey-main-'))
  database = await createTestDatabase()
})
afterAll(async () => {
  await database.drop()
  await rm(dir, { recursive: true, force: true })
})

const SETUP_LINK = /^Create the first administrator: (http:\/\/localhost:\d+\/setup\/[\w-]{20,})$/gm

test('without a database it makes its own, with secrets and keys, and a second start finds everything again', async () => {
  const dataDir = join(dir, 'data')
  const env = { DATA_DIR: dataDir, SECRET_KEYS: undefined }

  const first = await startServer({ env })
  const [, link] = [...first.output().matchAll(SETUP_LINK)][0]!
  expect((await fetch(link!)).status).toBe(200)
  const keys = await fetch(`${first.origin}/jwks`).then((response) => response.json())
  const secrets = await readFile(join(dataDir, 'secrets'), 'utf8')
  expect(await first.stop()).toBe(0)
  expect(await exists(join(dataDir, 'postgres/cluster/postmaster.pid'))).toBe(false)

  const second = await startServer({ env })
  expect(await fetch(`${second.origin}/jwks`).then((response) => response.json())).toEqual(keys)
  expect(await readFile(join(dataDir, 'secrets'), 'utf8')).toBe(secrets)
  expect(second.output().match(SETUP_LINK)).toHaveLength(1)
  expect(await second.stop()).toBe(0)

  expect((await stat(dataDir)).mode & 0o777).toBe(0o700)
  expect((await stat(join(dataDir, 'secrets'))).mode & 0o777).toBe(0o600)
  expect((await stat(join(dataDir, 'postgres'))).mode & 0o777).toBe(0o700)
})

test('a server that was killed leaves a database which the next start takes over', async () => {
  const env = { DATA_DIR: join(dir, 'killed'), SECRET_KEYS: undefined }
  const killed = await startServer({ env })
  const keys = await fetch(`${killed.origin}/jwks`).then((response) => response.json())
  await killed.kill()

  const next = await startServer({ env })

  expect(await fetch(`${next.origin}/jwks`).then((response) => response.json())).toEqual(keys)
  expect(await next.stop()).toBe(0)
  expect(await exists(join(dir, 'killed/postgres/cluster/postmaster.pid'))).toBe(false)
})

test('with DATABASE_URL it starts no other database', async () => {
  const dataDir = join(dir, 'unused')

  const server = await startServer({ databaseUrl: database.url, env: { DATA_DIR: dataDir } })
  expect(await server.stop()).toBe(0)

  expect(await exists(dataDir)).toBe(false)
})

test('the set-up link is offered while there is no administrator, and never after', async () => {
  const fresh = await createTestDatabase()
  const before = await startServer({ databaseUrl: fresh.url })
  await before.stop()
  await createUser(fresh.db, { email: 'root@example.com', name: 'Root', role: 'admin' }, { type: 'cli' })
  const after = await startServer({ databaseUrl: fresh.url })
  await after.stop()
  await fresh.drop()

  expect(before.output().match(SETUP_LINK)).toHaveLength(1)
  expect(after.output()).not.toMatch(SETUP_LINK)
})

test('every mistake in the configuration is printed, and the exit code is 78', async () => {
  const { exited, output } = runMain({
    ISSUER_URL: 'http://id.example.com',
    PORT: 'x',
    WORKERS: '-1',
    LOG_LEVEL: 'a',
  })

  expect(await exited).toBe(78)
  expect(output()).toContain('4 mistakes')
  for (const key of ['ISSUER_URL', 'PORT', 'WORKERS', 'LOG_LEVEL'])
    expect(output()).toContain(`example: ${key}=`)
  expect(output()).not.toMatch(/^\s+at /m)
})

test('production refuses to run on secrets that it would have to make', async () => {
  const { exited, output } = runMain({ NODE_ENV: 'production', DATABASE_URL: database.url })

  expect(await exited).toBe(78)
  expect(output()).toContain('SECRET_KEYS must be set')
})

test('a port in use is one clear line, and nothing is left running', async () => {
  const server = await startServer({ databaseUrl: database.url })
  const dataDir = join(dir, 'in-use')

  const { exited, output } = runMain({ ISSUER_URL: server.origin, DATA_DIR: dataDir, LOG_LEVEL: 'error' })

  expect(await exited).toBe(1)
  expect(output()).toContain(`port ${new URL(server.origin).port} is in use by another program; set PORT`)
  expect(output()).not.toMatch(/^\s+at /m)
  expect(await exists(join(dataDir, 'postgres/cluster/postmaster.pid'))).toBe(false)
  await server.stop()
})

test.each([
  ['one process', '1'],
  ['two workers', '2'],
])(
  'with %s, SIGTERM lets a request in flight finish, takes no more, and ends with 0',
  async (_name, WORKERS) => {
    const server = await startServer({ databaseUrl: database.url, env: { WORKERS } })
    const agent = new Agent({ keepAlive: true })
    const slow = await startSlowRequest(server, agent)

    const stopped = server.stop()
    await until(() =>
      fetch(`${server.origin}/healthz`).then(
        () => false,
        () => true,
      ),
    )
    slow.finish()
    const answered = await slow.answer
    const code = await stopped

    // A whole, proper answer: this form names no client, so the protocol refuses it.
    expect(answered).toEqual({ status: expect.any(Number), error: expect.stringMatching(/^invalid_/) })
    expect(code).toBe(0)
    agent.destroy()
  },
)

test.each([
  ['one process', '1'],
  ['two workers', '2'],
])('with %s, SIGTERM is told at /readyz while everything is still served', async (_name, WORKERS) => {
  const server = await startServer({ databaseUrl: database.url, env: { WORKERS, DRAIN_SECONDS: '600' } })
  await until(async () => server.output().includes('"msg":"listening"'))
  const agent = new Agent({ keepAlive: true })
  const load = startLoad(server, agent)
  await until(async () => load.answered.length > 100)

  const stopped = server.stop()
  await until(async () => (await readiness(server)) === 503)
  // Every process says so: each of these comes over a connection of its own, and any of them may take it.
  await until(async () => (server.output().match(/"msg":"draining"/g) ?? []).length === Number(WORKERS))
  const seen = await Promise.all(Array.from({ length: 20 }, () => readiness(server)))
  const before = load.answered.length
  // As a proxy does that looks every second: it goes on sending for a while.
  await sleep(1500)
  const { answered, failed } = await load.end()
  server.process.kill('SIGINT')
  const code = await stopped

  expect(new Set(seen)).toEqual(new Set([503]))
  expect(failed).toEqual([])
  expect(answered.length).toBeGreaterThan(before)
  // Whoever keeps connections is asked to let go of them.
  expect(answered.slice(before + 4).every(({ connection }) => connection === 'close')).toBe(true)
  expect(code).toBe(0)
  agent.destroy()
})

test.each(['1', '2'])(
  'with %s workers it drains for as long as it was told, and ends by itself',
  async (WORKERS) => {
    const server = await startServer({ databaseUrl: database.url, env: { WORKERS, DRAIN_SECONDS: '2' } })
    const signalled = performance.now()

    expect(await server.stop()).toBe(0)

    expect(performance.now() - signalled).toBeGreaterThan(2000)
  },
)

test('a second signal ends the draining; the same one from two sides is one', async () => {
  const server = await startServer({ databaseUrl: database.url, env: { DRAIN_SECONDS: '600' } })

  const stopped = server.stop()
  server.process.kill('SIGINT')
  await sleep(1000)
  const readyz = await readiness(server)
  server.process.kill('SIGINT')

  expect(readyz).toBe(503)
  expect(await stopped).toBe(0)
})

test('a request that does not finish is cut off at the deadline', async () => {
  const server = await startServer({ databaseUrl: database.url, env: { SHUTDOWN_SECONDS: '1' } })
  const slow = await startSlowRequest(server, new Agent())
  slow.answer.catch(() => {})

  const started = performance.now()
  expect(await server.stop()).toBe(0)

  // By itself Node waits for a request for five minutes, and we for thirty seconds.
  expect(performance.now() - started).toBeLessThan(25_000)
  await expect(slow.answer).rejects.toThrow()
})

test('a worker that dies is replaced, and the others serve meanwhile', async () => {
  const server = await startServer({ databaseUrl: database.url, env: { WORKERS: '2' } })
  // Ready is who has one worker; started, all of them.
  await until(async () => server.output().includes('"msg":"listening"'))
  const before = await children(server.process.pid!)
  expect(before).toHaveLength(2)

  process.kill(before[0]!, 'SIGKILL')
  await until(async () => {
    // A connection of the dead one may break; a new one must find somebody.
    await fetch(`${server.origin}/healthz`).catch(() => {})
    const now = await children(server.process.pid!)
    return now.length === 2 && !now.includes(before[0]!)
  })

  expect(await server.stop()).toBe(0)
})

test('workers end with a primary that was killed', async () => {
  const server = await startServer({ databaseUrl: database.url, env: { WORKERS: '2' } })
  await until(async () => server.output().includes('"msg":"listening"'))
  const workers = await children(server.process.pid!)

  await server.kill()

  await until(async () => workers.every((pid) => !isAlive(pid)))
})

test('a worker that cannot listen ends the start with one clear line', async () => {
  const server = await startServer({ databaseUrl: database.url })

  const { exited, output } = runMain({
    ISSUER_URL: server.origin,
    DATABASE_URL: database.url,
    SECRET_KEYS,
    WORKERS: '2',
  })

  expect(await exited).toBe(1)
  expect(output()).toContain('is in use by another program')
  await server.stop()
})

test('servers that start on one empty database at once agree on its keys', async () => {
  const fresh = await createTestDatabase({ empty: true })
  const ports = await Promise.all(Array.from({ length: 4 }, freePort))

  const servers = await Promise.all(ports.map((port) => startServer({ databaseUrl: fresh.url, port })))
  const keySets = await Promise.all(
    servers.map(({ origin }) => fetch(`${origin}/jwks`).then((response) => response.text())),
  )
  await Promise.all(servers.map(({ stop }) => stop()))

  expect(new Set(keySets).size).toBe(1)
  await fresh.drop()
})

test('it waits for a database that comes up later', async () => {
  const port = await freePort()
  const { child, exited, output } = runMain({
    ISSUER_URL: `http://localhost:${await freePort()}`,
    DATABASE_URL: `postgres://nobody@127.0.0.1:${port}/none`,
  })

  await until(async () => output().includes('cannot be reached yet'))

  expect(child.exitCode).toBeNull()
  child.kill('SIGKILL')
  await exited
})

/** A form post whose last byte is held back. */
async function startSlowRequest(server: TestServer, agent: Agent) {
  const body = 'grant_type=client_credentials'
  const outgoing = request(`${server.origin}/token`, {
    method: 'POST',
    agent,
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      'content-length': body.length,
      // So that it is told when the request has arrived.
      expect: '100-continue',
    },
  })
  const answer = once(outgoing, 'response').then(async ([response]) => {
    let text = ''
    for await (const chunk of response) text += chunk
    return { status: response.statusCode as number, error: JSON.parse(text).error as string }
  })
  outgoing.flushHeaders()
  await once(outgoing, 'continue')
  outgoing.write(body.slice(0, -1))
  return { answer, finish: () => outgoing.end(body.slice(-1)) }
}

/** Asks for the health of the process again and again, four at a time, over connections that are kept. */
function startLoad(server: TestServer, agent: Agent) {
  const answered: { status: number | undefined; connection: string | undefined }[] = []
  const failed: string[] = []
  let over = false
  const loops = Array.from({ length: 4 }, async () => {
    while (!over) {
      try {
        const [response] = await once(request(`${server.origin}/healthz`, { agent }).end(), 'response')
        for await (const _ of response);
        answered.push({ status: response.statusCode, connection: response.headers.connection })
        if (response.statusCode !== 200) failed.push(`status ${response.statusCode}`)
      } catch (error) {
        failed.push(String(error))
      }
    }
  })
  return {
    answered,
    end: async () => {
      over = true
      await Promise.all(loops)
      return { answered, failed }
    },
  }
}

/** What /readyz says to a connection of its own. */
async function readiness(server: TestServer): Promise<number | undefined> {
  const [response] = await once(request(`${server.origin}/readyz`, { agent: false }).end(), 'response')
  response.resume()
  return response.statusCode
}

async function children(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')
  return text.trim().split(' ').filter(Boolean).map(Number)
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
