// When clients and their secrets were last used, and how much: collected, and written a few times a minute, so that no
// request waits for it.
import { type Db, one, run, sql } from '../db/pool.ts'
import { KEPT_DAYS, type Sweep } from '../db/sweep.ts'

/** Collects what clients do at the token endpoint. */
export interface ClientUseRecorder {
  /** The client was given tokens. */
  issued(client_id: string): void
  /** A request of a client was refused. */
  refused(): void
  /** The secret was presented, and right. */
  secret(id: string): void
  /** Writes what is still to be written, and stops. */
  close(): Promise<void>
}

const FLUSH_MS = 5_000

/** @param onError a write that failed; what it told is lost, and only that. */
export function clientUseRecorder(db: Db, onError: (error: unknown) => void): ClientUseRecorder {
  let clients = new Set<string>()
  let secrets = new Set<string>()
  let counts = { tokens: 0, refused: 0 }

  const flush = async (): Promise<void> => {
    const [used, presented, counted] = [[...clients], [...secrets], counts]
    clients = new Set()
    secrets = new Set()
    counts = { tokens: 0, refused: 0 }
    try {
      if (used.length > 0) await noteClients(db, used)
      if (presented.length > 0) await noteSecrets(db, presented)
      if (counted.tokens + counted.refused > 0) await addUsage(db, counted)
    } catch (error) {
      onError(error)
    }
  }
  let writing: Promise<void> = Promise.resolve()
  const timer = setInterval(() => {
    writing = writing.then(flush)
  }, FLUSH_MS)
  timer.unref()
  return {
    issued(client_id) {
      clients.add(client_id)
      counts.tokens++
    },
    refused() {
      counts.refused++
    },
    secret(id) {
      secrets.add(id)
    },
    async close() {
      clearInterval(timer)
      await writing.then(flush)
    },
  }
}

/** What clients were given and refused since then; the hour it falls into counts as a whole. */
export function usageSince(db: Db, since: Date): Promise<{ tokens: number; refused: number }> {
  return one(
    db,
    sql`select coalesce(sum(tokens), 0)::float8 as tokens, coalesce(sum(refused), 0)::float8 as refused
        from usage_hours where hour >= date_trunc('hour', ${since}::timestamptz)`,
  )
}

/** Counts that nobody looks at any more. */
export const sweepUsage: Sweep = (db) =>
  run(db, sql`delete from usage_hours where hour < now() - make_interval(days => ${KEPT_DAYS})`)

// At most a write a minute, however many nodes have seen it; a row that is being changed right now is left out.
async function noteClients(db: Db, ids: string[]): Promise<void> {
  await run(
    db,
    sql`update clients set last_used_at = now()
        where id in (select id from clients
                     where id = any(${ids}) and (last_used_at is null or last_used_at < now() - interval '1 minute')
                     for update skip locked)`,
  )
}

async function noteSecrets(db: Db, ids: string[]): Promise<void> {
  await run(
    db,
    sql`update client_secrets set last_used_at = now()
        where id in (select id from client_secrets
                     where id = any(${ids}::uuid[])
                       and (last_used_at is null or last_used_at < now() - interval '1 minute')
                     for update skip locked)`,
  )
}

async function addUsage(db: Db, { tokens, refused }: { tokens: number; refused: number }): Promise<void> {
  await run(
    db,
    sql`insert into usage_hours as u (hour, tokens, refused) values (date_trunc('hour', now()), ${tokens}, ${refused})
        on conflict (hour) do update set tokens = u.tokens + excluded.tokens, refused = u.refused + excluded.refused`,
  )
}
