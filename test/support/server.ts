// The server under test: the real process that `npm start` runs, or inside of the test process, which is faster.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { createApp } from '../../src/app.ts'
import { type Config, loadConfig } from '../../src/base/config.ts'
import { type Secrets, secretsFrom } from '../../src/base/secrets.ts'
import { ensureKeys } from '../../src/core/keys/store.ts'
import type { Pool } from '../../src/db/pool.ts'
import type { FetchOutside } from '../../src/http/fetch.ts'
import { listenHttp } from '../../src/http/listen.ts'
import { createLogger } from '../../src/http/log.ts'
import { BARE } from './environment.ts'
import { PATIENCE_MS } from './patience.ts'

/** The same keys for all servers under test, so that two of them can share a database. */
export const SECRET_KEYS = 'the-key-of-the-tests-which-guards-nothing-at-all'

const OURS = join(import.meta.dirname, '../../src/main.ts')
const PATIENT = pathToFileURL(join(import.meta.dirname, 'patient-server.ts')).href

/** A server in a process of its own. */
export interface TestServer {
  origin: string
  process: ChildProcess
  /** What it has written so far to stdout and stderr. */
  output(): string
  /** Sends SIGTERM. @returns the exit code */
  stop(): Promise<number | null>
  /** Sends SIGKILL, as a power cut would end it. */
  kill(): Promise<void>
}

/** Options of {@link startServer}. `env` adds to the environment or overrides it. */
export interface ServerOptions {
  /** The embedded database of the DATA_DIR in `env` by default. */
  databaseUrl?: string
  env?: Record<string, string | undefined>
  /** A free port by default. */
  port?: number
  /** The program; src/main.ts by default. */
  main?: string
  /** Whether it gives its database up as early as in production. By default it waits for minutes. */
  isImpatient?: boolean
}

/** Runs `node src/main.ts`, and resolves when it serves. @throws Error with its output where it exits instead */
export async function startServer({
  databaseUrl,
  env,
  port,
  main,
  isImpatient,
}: ServerOptions): Promise<TestServer> {
  const origin = `http://localhost:${port ?? (await freePort())}`
  const options = [!isImpatient && !main && `--import=${PATIENT}`, env?.NODE_OPTIONS]
    .filter(Boolean)
    .join(' ')
  const all = { DATABASE_URL: databaseUrl, SECRET_KEYS, ISSUER_URL: origin, ...env, NODE_OPTIONS: options }
  const { child, output, exited } = runMain(all, main)
  const end = (signal: NodeJS.Signals) => {
    child.kill(signal)
    return exited
  }
  const server = {
    origin,
    process: child,
    output,
    stop: () => end('SIGTERM'),
    kill: async () => void (await end('SIGKILL')),
  }
  const deadline = performance.now() + PATIENCE_MS
  while (!(await isReady(origin))) {
    if (child.exitCode !== null || child.signalCode !== null || performance.now() > deadline) {
      await server.kill()
      throw new Error(`the server did not start:\n${output()}`)
    }
    await sleep(30)
  }
  return server
}

/** Runs `node src/main.ts` with exactly this environment. @returns the process, whether it starts to serve or not */
export function runMain(env: Record<string, string | undefined>, main = OURS) {
  const child = spawn(process.execPath, [main], {
    env: { ...BARE, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
    })
  }
  const exited = once(child, 'close').then(([code]) => code as number | null)
  return { child, output: () => text, exited }
}

/** The app inside of the test process. */
export interface TestApp {
  origin: string
  config: Config
  secrets: Secrets
  stop(): Promise<void>
}

/** Serves the app on a free port of this process, with a database of {@link createTestDatabase}. */
export async function startApp({
  db,
  env,
  fetchOutside,
}: {
  db: Pool
  env?: Record<string, string>
  /** The internet by default, as in production. */
  fetchOutside?: FetchOutside
}): Promise<TestApp> {
  const port = await freePort()
  const origin = `http://localhost:${port}`
  // The sweeper deletes rows that a test may still read. Tests that need it switch it on.
  const defaults = {
    ISSUER_URL: origin,
    PORT: `${port}`,
    SECRET_KEYS,
    LOG_LEVEL: 'silent',
    SWEEP_INTERVAL_SECONDS: '0',
  }
  const config = loadConfig({ ...defaults, ...env })
  const secrets = secretsFrom(config.secretKeys!)
  await ensureKeys(db, secrets)
  const app = await createApp({ config, secrets, db, log: createLogger(config.logLevel), fetchOutside })
  const listening = await listenHttp(app.handler, { ...config, shutdownSeconds: 1 })
  return {
    origin,
    config,
    secrets,
    stop: async () => {
      await listening.stop()
      await app.close()
    },
  }
}

/** A port on which nobody listens now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

function isReady(origin: string): Promise<boolean> {
  return fetch(`${origin}/readyz`).then(
    ({ status }) => status === 200,
    () => false,
  )
}
