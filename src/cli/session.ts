// Opens the database of the configuration for one command, and always closes it. It knows no noun.
import { existsSync } from 'node:fs'
import { constants, userInfo } from 'node:os'
import { join } from 'node:path'
import type { Actor } from '../base/audit-events.ts'
import { type Config, loadConfig } from '../base/config.ts'
import { databaseTime, followDatabase } from '../db/clock.ts'
import { startEmbedded } from '../db/embedded.ts'
import { asDatabaseError, DatabaseUnavailable } from '../db/errors.ts'
import { migrationStatus, SchemaTooNew } from '../db/migrate.ts'
import { openPool, type Pool } from '../db/pool.ts'
import { Interrupted, Refused } from './command.ts'

/** What a command works with. */
export interface Session {
  config: Config
  db: Pool
  by: Actor
}

/** Runs work on the stores. @throws Refused unless every migration has been applied, SchemaTooNew when we are too old */
export function withStores<T>(work: (session: Session) => Promise<T>): Promise<T> {
  return withDatabase(async (session) => {
    const { pending, tooNew } = await migrationStatus(session.db)
    if (tooNew.length > 0) throw new SchemaTooNew(tooNew)
    if (pending.length > 0) throw new Refused(`${count(pending.length)} pending; run: valetkey migrate up`)
    return work(session)
  })
}

/**
 * Runs work on the database, whatever its schema. It joins an embedded database that runs, or starts it and stops it again.
 * @param options.create makes the embedded database when there is none yet
 */
export async function withDatabase<T>(
  work: (session: Session) => Promise<T>,
  options: { create?: boolean } = {},
): Promise<T> {
  const config = loadConfig()
  const signal = nextSignal()
  try {
    return config.databaseUrl === undefined
      ? await onEmbedded(config, work, signal, options)
      : await onUrl(config, config.databaseUrl, work, signal)
  } catch (error) {
    throw explained(error, config)
  } finally {
    signal.forget()
  }
}

/** The number of migrations in words, with their verb. */
function count(pending: number): string {
  return pending === 1 ? 'a migration is' : `${pending} migrations are`
}

async function onEmbedded<T>(
  config: Config,
  work: (session: Session) => Promise<T>,
  signal: Signal,
  { create = false }: { create?: boolean },
): Promise<T> {
  // A mistyped DATA_DIR, or a wrong working directory, must not look like an empty server.
  if (!create && !existsSync(join(config.dataDir, 'postgres'))) {
    throw new Refused(
      `there is no database in ${config.dataDir} yet; run: valetkey migrate up (or set DATA_DIR or DATABASE_URL)`,
    )
  }
  const embedded = await startEmbedded(config.dataDir)
  try {
    return await onUrl(config, embedded.url, work, signal)
  } finally {
    await embedded.stop()
  }
}

async function onUrl<T>(
  config: Config,
  url: string,
  work: (session: Session) => Promise<T>,
  signal: Signal,
): Promise<T> {
  const db = openPool(url, 2)
  const clock = followDatabase()
  const run = async (): Promise<T> => {
    // Use the clock of the database, as the server does.
    await clock.set(() => databaseTime(db))
    return work({ config, db, by: operator() })
  }
  try {
    signal.check()
    return await Promise.race([run(), signal.came])
  } finally {
    // Wait for an open transaction, so that it either commits or rolls back before the process ends.
    await db.close()
    clock.close()
  }
}

/** Who is at the keyboard, for the audit trail. */
function operator(): Actor {
  try {
    return { type: 'cli', id: userInfo().username }
  } catch {
    // A container may run under a user id without an account.
    return { type: 'cli', id: `uid ${process.getuid?.()}` }
  }
}

interface Signal {
  /** Rejects when a signal comes. */
  came: Promise<never>
  /** @throws Interrupted when a signal has come already. */
  check(): void
  forget(): void
}

/** The first signal ends the work in order; a second one ends the process. */
function nextSignal(): Signal {
  const { promise: came, reject } = Promise.withResolvers<never>()
  let interrupted: Interrupted | undefined
  // Nobody may be awaiting it yet, or any more.
  came.catch(() => {})
  const onSignal = (name: NodeJS.Signals) => {
    interrupted ??= new Interrupted(128 + constants.signals[name])
    reject(interrupted)
  }
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  for (const name of names) process.once(name, onSignal)
  return {
    came,
    check: () => {
      if (interrupted) throw interrupted
    },
    forget: () => {
      for (const name of names) process.off(name, onSignal)
    },
  }
}

/** Names the database without its password. */
function explained(error: unknown, { databaseUrl, dataDir }: Config): unknown {
  const url = databaseUrl === undefined ? undefined : new URL(databaseUrl)
  const where = url
    ? `the database at ${url.searchParams.get('host') ?? url.host}`
    : `the database in ${dataDir}`
  const known = asDatabaseError(error)
  if (known instanceof DatabaseUnavailable) {
    const { code, message } = known.cause as NodeJS.ErrnoException
    return new Refused(`${where} cannot be reached: ${message || code}`, { cause: error })
  }
  // Class 28: invalid authorization; 3D000: no such database; 42501: insufficient privilege.
  const { code = '', message } = error as { code?: string; message: string }
  return /^(28...|3D000|42501)$/.test(code)
    ? new Refused(`${where} refuses us: ${message}`, { cause: error })
    : error
}
