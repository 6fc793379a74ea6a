// Asks the database for what a write needs: a transaction of its own that writes a row and commits. A server can answer every
// question and refuse, or never finish, every write. It knows no noun of ours.
import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { DatabaseUnavailable } from './errors.ts'
import { migrationStatus } from './migrate.ts'
import { maybe, one, openPool, type Pool, run, sql, tx } from './pool.ts'

/** How the database is. `refused` is what failed for another reason than a word is here for. */
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

// Whoever asks may do so as often as they like; the database is asked once a second.
const FRESH_MS = 1_000
const ANSWER_MS = 2_500
// A write that hangs is given up so late because its session may go on waiting at the server.
const GIVE_UP_SECONDS = 8

/**
 * A check over a connection of its own, so that requests that wait for one do not make a node look lost. One is under way at a
 * time, and nobody waits for it longer than 2.5 seconds.
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
    // A session that was given up and still waits for a standby would wait for as long as that is away, and the next one beside it.
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
      // What does not fit into that memory is sorted on the disk, where rows that are added need room, too.
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
  // No room on the disk, or none that this role may have.
  if (code === '53100' || code === '53400') return { ...soFar, writes: 'disk_full' }
  // Given up by the server, or by us without a word of it.
  if (code === '57014' || code === '55P03' || code === undefined) return soFar
  return error instanceof DatabaseUnavailable ? { database: 'unreachable' } : { ...soFar, writes: 'refused' }
}

function codeOf(error: unknown): string | undefined {
  const { code, cause } = (error ?? {}) as { code?: string; cause?: unknown }
  return code ?? (cause === undefined ? undefined : codeOf(cause))
}
