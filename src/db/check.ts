// Checks that the database takes writes, with a transaction that writes a row and commits: a server can answer every query and
// still refuse, or never finish, every write. It knows no noun of ours.
import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { DatabaseUnavailable } from './errors.ts'
import { migrationStatus } from './migrate.ts'
import { maybe, one, openPool, type Pool, run, sql, tx } from './pool.ts'

/** How the database is. `refused`: it failed for a reason that has no word of its own here. */
export interface Findings {
  database: 'ok' | 'unreachable' | 'refused'
  /** Absent while the database does not answer. */
  pending_migrations?: number
  /** Breaking migrations of a later version; absent as above. */
  too_new_migrations?: number
  /** Absent as above, and while migrations are pending or too new. */
  writes?: 'ok' | 'read_only' | 'disk_full' | 'unfinished' | 'refused'
}

/** See {@link databaseCheck}. */
export interface DatabaseCheck {
  ask(): Promise<Findings>
  close(): Promise<void>
}

// However often somebody asks, the database is asked once a second.
const FRESH_MS = 1_000
const ANSWER_MS = 2_500
// Give up a write that hangs so late because its session may go on waiting at the server.
const GIVE_UP_SECONDS = 8

/**
 * Checks over a connection of its own, so that a node does not seem lost only because requests wait for a connection. One check runs
 * at a time, and a caller waits for it for at most 2.5 seconds.
 */
export function databaseCheck({ pg }: Pool): DatabaseCheck {
  const own = openPool(pg.options.connectionString!, 1, GIVE_UP_SECONDS)
  const slot = randomInt(64)
  let latest: Findings = { database: 'unreachable' }
  let latestAt = Number.NEGATIVE_INFINITY
  let underWay: { startedAt: number; soFar: Findings; done: Promise<Findings> } | undefined
  let session: Session | undefined

  const check = async (soFar: Findings): Promise<Findings> => {
    const { pending, tooNew } = await migrationStatus(own)
    Object.assign(soFar, {
      database: 'ok',
      pending_migrations: pending.length,
      too_new_migrations: tooNew.length,
    })
    if (pending.length > 0 || tooNew.length > 0) return soFar
    soFar.writes = 'unfinished'
    // A session that was given up while it waits for a standby would wait until the standby comes back, and so would the next one.
    if (session) await end(own, session)
    await tx(own, async (t) => {
      session = await one<Session>(
        t,
        sql`select pg_backend_pid() as pid, a.backend_start::text as since,
                   set_config('lock_timeout', '1s', true), set_config('statement_timeout', '2s', true),
                   set_config('work_mem', '64kB', true)
            from pg_stat_activity a where a.pid = pg_backend_pid()`,
      )
      await run(t, sql`update write_checks set at = now() where slot = ${slot}`)
      // Sort more than fits into this memory, so that it needs room on the disk, as new rows do.
      await run(t, sql`select g from generate_series(1, 4000) g order by md5(g::text) offset 4000`)
    })
    session = undefined
    soFar.writes = 'ok'
    return soFar
  }
  const start = (): NonNullable<typeof underWay> => {
    const soFar: Findings = { database: 'unreachable' }
    const startedAt = performance.now()
    const done = check(soFar)
      .catch((error: unknown) => failed(soFar, error))
      .then((findings) => {
        latest = { ...findings }
        latestAt = performance.now()
        underWay = undefined
        return latest
      })
    return { startedAt, soFar, done }
  }
  return {
    async ask() {
      if (performance.now() - latestAt < FRESH_MS) return latest
      underWay ??= start()
      const { startedAt, soFar, done } = underWay
      const left = Math.max(0, startedAt + ANSWER_MS - performance.now())
      return Promise.race([done, sleep(left, undefined, { ref: false }).then(() => ({ ...soFar }))])
    },
    close: () => own.close(),
  }
}

interface Session {
  pid: number
  since: string
}

async function end(db: Pool, { pid, since }: Session): Promise<void> {
  await maybe(
    db,
    sql`select pg_terminate_backend(pid) from pg_stat_activity
        where pid = ${pid} and backend_start::text = ${since} and pid <> pg_backend_pid()`,
  )
}

function failed(soFar: Findings, error: unknown): Findings {
  const code = codeOf(error)
  if (soFar.writes === undefined) {
    return { database: error instanceof DatabaseUnavailable ? 'unreachable' : 'refused' }
  }
  if (code === '25006') return { ...soFar, writes: 'read_only' }
  // The disk is full, or the quota of this role is.
  if (code === '53100' || code === '53400') return { ...soFar, writes: 'disk_full' }
  // Cancelled by the server, or given up by us without an answer.
  if (code === '57014' || code === '55P03' || code === undefined) return soFar
  return error instanceof DatabaseUnavailable ? { database: 'unreachable' } : { ...soFar, writes: 'refused' }
}

function codeOf(error: unknown): string | undefined {
  const { code, cause } = (error ?? {}) as { code?: string; cause?: unknown }
  return code ?? (cause === undefined ? undefined : codeOf(cause))
}
