// What main.ts runs: opens the database, migrates it, serves until a signal, and drains.
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createApp } from './app.ts'
import { type Config, ConfigError, loadConfig } from './base/config.ts'
import { DataDirUnusable, secretKeysOf } from './base/data-dir.ts'
import { SecretKeyMissing, secretsFrom } from './base/secrets.ts'
import { handOutTurns } from './base/turns.ts'
import { ensureKeys } from './core/keys/store.ts'
import { createSetupLink } from './core/users/setup-links.ts'
import { hasAdministrator } from './core/users/store.ts'
import { PooledByTransaction } from './db/direct.ts'
import { EmbeddedError, startEmbedded } from './db/embedded.ts'
import { asDatabaseError, DatabaseUnavailable } from './db/errors.ts'
import { MigrationFailed, migrate, SchemaTooNew } from './db/migrate.ts'
import { openPool, type Pool } from './db/pool.ts'
import { CannotListen, listenHttp } from './http/listen.ts'
import { createLogger, type Logger } from './http/log.ts'
import { isWorker, startWorkers, WorkerFailed, workAs } from './workers.ts'

/** A server that accepts requests. */
export interface Running {
  /** The issuer's origin. */
  url: string
  /** From now on `/readyz` says 503 and every answer ends its connection; everything else is served as before. */
  drain(): void
  /** Finishes the requests in flight, then closes the database. May be called again. */
  stop(): Promise<void>
}

/** Starts everything that `config` asks for, or nothing. The caller handles signals. */
export async function serve(config: Config): Promise<Running> {
  const log = createLogger(config.logLevel)
  await using started = new AsyncDisposableStack()

  const database = await openDatabase(config)
  started.defer(database.stop)
  const ready: ReadyConfig = { ...config, databaseUrl: database.url, secretKeys: await secretKeysOf(config) }
  await prepare(ready, log)
  const server = ready.workers === 1 ? await serveHere(ready, log) : await serveInWorkers(ready, log)
  started.defer(server.stop)
  log.info(
    { url: ready.issuerUrl.origin, host: ready.host, port: ready.port, workers: ready.workers },
    'listening',
  )

  const running = started.move()
  return { url: ready.issuerUrl.origin, drain: server.drain, stop: () => running.disposeAsync() }
}

/** Serves as `npm start` and `valetkey serve` do, and explains failures. @returns the exit code */
export async function serveToTheEnd(): Promise<number> {
  try {
    await serveUntilSignal(loadConfig())
    return 0
  } catch (error) {
    return explain(error)
  }
}

/** Serves until SIGTERM or SIGINT; a second signal ends the draining. */
async function serveUntilSignal(config: Config): Promise<void> {
  // Listen for signals from the start: a signal during the start must not leave a database running.
  const first = Promise.withResolvers<void>()
  const second = new AbortController()
  let firstAt: number | undefined
  const heard = () => {
    if (firstAt !== undefined && performance.now() - firstAt > SAME_SIGNAL_MS) second.abort()
    firstAt ??= performance.now()
    first.resolve()
  }
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(name, heard)
  const running = await serve(config)
  await first.promise
  if (config.drainSeconds > 0) {
    running.drain()
    await sleep(config.drainSeconds * 1000, undefined, { signal: second.signal }).catch(() => {})
  }
  await running.stop()
}

// Ctrl-C reaches the process from the terminal, and again from npm, which forwards signals.
const SAME_SIGNAL_MS = 500

/** The configured database, or an embedded one, which runs until `stop` is called. */
export async function openDatabase(config: Config): Promise<{ url: string; stop(): Promise<void> }> {
  if (config.databaseUrl) return { url: config.databaseUrl, stop: async () => {} }
  return startEmbedded(config.dataDir)
}

/** Prints a failure, without a stack if a person at the terminal can fix it. @returns the exit code */
export function explain(error: unknown): number {
  const known = [
    ConfigError,
    DataDirUnusable,
    EmbeddedError,
    CannotListen,
    DatabaseUnavailable,
    MigrationFailed,
    SchemaTooNew,
    PooledByTransaction,
    SecretKeyMissing,
    WorkerFailed,
  ]
  const isKnown = known.some((kind) => error instanceof kind)
  console.error(isKnown ? reasonOf(error) : (refusalOf(error) ?? error))
  if (error instanceof SchemaTooNew) return EX_DATAERR
  return error instanceof ConfigError || error instanceof PooledByTransaction ? EX_CONFIG : 1
}

function reasonOf(error: unknown): string {
  const { message, cause } = error as Error
  return cause instanceof Error ? `${message}: ${cause.message}` : message
}

// Errors of the database or of the system speak for themselves: a wrong password, a folder of somebody else.
function refusalOf(error: unknown): string | undefined {
  const { severity, syscall, message } = (error ?? {}) as {
    severity?: string
    syscall?: string
    message?: string
  }
  if (severity) return `The database of DATABASE_URL refused: ${message}`
  return syscall ? message : undefined
}

/** A configuration with a database and secret keys. */
type ReadyConfig = Config & { databaseUrl: string; secretKeys: string[] }

// sysexits.h
const EX_DATAERR = 65
const EX_CONFIG = 78
const DATABASE_WAIT_SECONDS = 30
// Statements of requests take milliseconds, so a database that is silent for this long counts as lost.
const ANSWER_SECONDS = 3

/** Does once for all workers: migrates the schema, makes signing keys, and offers the set-up link. */
async function prepare(config: ReadyConfig, log: Logger): Promise<void> {
  const db = openPool(config.databaseUrl, 2)
  try {
    const onRetry = (migration: string, reason: string) =>
      log.warn({ migration, reason }, 'a migration waits for locks that others hold')
    const applied = await whenReachable(() => migrate(db, { onRetry }), log)
    if (applied.length > 0) log.info({ applied }, 'migrated')
    await ensureKeys(db, secretsFrom(config.secretKeys))
    await offerSetup(db, config)
  } finally {
    await db.close()
  }
}

async function offerSetup(db: Pool, { issuerUrl }: Config): Promise<void> {
  if (await hasAdministrator(db)) return
  // Not to the log, which is stored and forwarded: this link is a credential for a day.
  const token = await createSetupLink(db)
  process.stdout.write(`Create the first administrator: ${issuerUrl.origin}/setup/${token}\n`)
}

/** Waits for a database that starts later than we do, for example after a power cut. */
async function whenReachable<T>(work: () => Promise<T>, log: Logger): Promise<T> {
  const deadline = Date.now() + DATABASE_WAIT_SECONDS * 1000
  let tries = 0
  for (;;) {
    try {
      return await work()
    } catch (thrown) {
      const error = asDatabaseError(thrown)
      if (!(error instanceof DatabaseUnavailable) || Date.now() > deadline) throw error
      // Log the first failure, then more and more rarely, because it is always the same.
      if (++tries === 1 || Math.log2(tries) % 1 === 0) {
        log.warn({ reason: reasonOf(error) }, 'the database cannot be reached yet')
      }
      await sleep(1000)
    }
  }
}

type Server = Pick<Running, 'drain' | 'stop'>

async function serveHere(config: ReadyConfig, log: Logger): Promise<Server> {
  await using started = new AsyncDisposableStack()
  const db = openPool(config.databaseUrl, config.databasePoolSize, ANSWER_SECONDS)
  started.defer(() => db.close())
  let isDraining = false
  const app = await createApp({
    config,
    secrets: secretsFrom(config.secretKeys),
    db,
    log,
    isDraining: () => isDraining,
  })
  started.defer(() => app.close())
  const listening = await listenHttp(app.handler, config)
  started.defer(() => listening.stop())

  const running = started.move()
  return {
    drain() {
      isDraining = true
      listening.drain()
      log.info({ seconds: config.drainSeconds }, 'draining')
    },
    stop: () => running.disposeAsync(),
  }
}

/** A configuration as a message between processes. */
type Task = Omit<ReadyConfig, 'issuerUrl'> & { issuerUrl: string }

function serveInWorkers(config: ReadyConfig, log: Logger): Promise<Server> {
  handOutTurns()
  const task: Task = { ...config, issuerUrl: config.issuerUrl.href }
  const tasks = Array.from({ length: config.workers }, (_, i) =>
    // One worker sweeps for all.
    i === 0 ? task : { ...task, sweepIntervalSeconds: 0 },
  )
  return startWorkers({
    script: join(import.meta.dirname, 'main.ts'),
    tasks,
    stopSeconds: config.shutdownSeconds + 5,
    log,
  })
}

async function work(): Promise<number> {
  try {
    await workAs<Task>((task) => {
      const config = { ...task, issuerUrl: new URL(task.issuerUrl) }
      return serveHere(config, createLogger(config.logLevel))
    })
    return 0
  } catch (error) {
    return explain(error)
  }
}

/** Runs the process: the server, or one of its workers. @returns the exit code */
export function runProcess(): Promise<number> {
  return isWorker ? work() : serveToTheEnd()
}
