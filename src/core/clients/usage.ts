// When clients and their secrets were last used, and how often: collected in memory and written every few seconds, so that no request
// waits for a write.
import { type Db, many, one, run, sql } from '../../db/pool.ts'
import { KEPT_DAYS, SWEEP_BATCH, type Sweep } from '../../db/sweep.ts'
import { writeBehind } from '../../jobs/write-behind.ts'

/** Collects what clients do at the token endpoint. */
export interface ClientUseRecorder {
  /** The client was given tokens. */
  issued(client_id: string): void
  /** A request of a client was refused. */
  refused(): void
  /** A request in the name of a client was refused, at any endpoint. */
  refusedFor(client_id: string): void
  /** The secret was presented, and right. */
  secret(id: string): void
  /** Writes what is still to be written, and stops. */
  close(): Promise<void>
}

interface Counts {
  tokens: number
  refused: number
}

/** A day (UTC) of a client. */
export interface UsageDay {
  /** `2026-05-03` */
  day: string
  /** Times it was given tokens. */
  tokens: number
  /** Requests in its name that were refused. */
  refused: number
}

const FLUSH_MS = 5_000

/** Starts collecting. @param onError called when a write failed; only what it should have written is lost */
export function clientUseRecorder(db: Db, onError: (error: unknown) => void): ClientUseRecorder {
  let clients = new Set<string>()
  let days = new Map<string, Counts>()
  let secrets = new Set<string>()
  let counts: Counts = { tokens: 0, refused: 0 }

  const countsOf = (client_id: string): Counts => {
    const known = days.get(client_id) ?? { tokens: 0, refused: 0 }
    days.set(client_id, known)
    return known
  }
  const flush = async (): Promise<void> => {
    const [used, presented, counted, today] = [[...clients], [...secrets], counts, days]
    clients = new Set()
    days = new Map()
    secrets = new Set()
    counts = { tokens: 0, refused: 0 }
    if (used.length > 0) await noteClients(db, used)
    if (presented.length > 0) await noteSecrets(db, presented)
    if (counted.tokens + counted.refused > 0) await addUsage(db, counted)
    if (today.size > 0) await addDays(db, today)
  }
  const { close } = writeBehind(flush, FLUSH_MS, onError)
  return {
    issued(client_id) {
      clients.add(client_id)
      counts.tokens++
      countsOf(client_id).tokens++
    },
    refused() {
      counts.refused++
    },
    refusedFor(client_id) {
      countsOf(client_id).refused++
    },
    secret(id) {
      secrets.add(id)
    },
    close,
  }
}

/** How often clients were given tokens and were refused since a moment, whose hour counts as a whole. */
export function usageSince(db: Db, since: Date): Promise<Counts> {
  return one(
    db,
    sql`select coalesce(sum(tokens), 0)::float8 as tokens, coalesce(sum(refused), 0)::float8 as refused
        from usage_hours where hour >= date_trunc('hour', ${since}::timestamptz)`,
  )
}

/** The last days of a client, today last, including days without requests. */
export function usageOfDays(db: Db, client_id: string, days: number): Promise<UsageDay[]> {
  return many<UsageDay>(
    db,
    sql`select to_char(d.day, 'YYYY-MM-DD') as day, coalesce(u.tokens, 0)::float8 as tokens,
               coalesce(u.refused, 0)::float8 as refused
        from (select (now() at time zone 'utc')::date - n as day from generate_series(0, ${days - 1}::int) as n) d
        left join client_usage_days u on u.client_id = ${client_id} and u.day = d.day
        order by d.day`,
  )
}

/** Deletes the counts of days that are too old to be shown. */
export const sweepUsageDays: Sweep = (db) =>
  run(
    db,
    sql`delete from client_usage_days where ctid = any(array(
          select ctid from client_usage_days where day < (now() at time zone 'utc')::date - ${KEPT_DAYS}::int
          limit ${SWEEP_BATCH} for update skip locked))`,
  )

/** Deletes the counts of hours that are too old to be shown. */
export const sweepUsage: Sweep = (db) =>
  run(db, sql`delete from usage_hours where hour < now() - make_interval(days => ${KEPT_DAYS})`)

// A row is written at most once a minute, however many nodes note its use; a locked row is skipped.
async function noteClients(db: Db, ids: string[]): Promise<void> {
  await run(
    db,
    sql`update clients set last_used_at = now()
        where id = any(array(select id from clients
                     where id = any(${ids}) and (last_used_at is null or last_used_at < now() - interval '1 minute')
                     for update skip locked))`,
  )
}

async function noteSecrets(db: Db, ids: string[]): Promise<void> {
  await run(
    db,
    sql`update client_secrets set last_used_at = now()
        where id = any(array(select id from client_secrets
                     where id = any(${ids}::uuid[])
                       and (last_used_at is null or last_used_at < now() - interval '1 minute')
                     for update skip locked))`,
  )
}

async function addUsage(db: Db, { tokens, refused }: Counts): Promise<void> {
  await run(
    db,
    sql`insert into usage_hours as u (hour, tokens, refused) values (date_trunc('hour', now()), ${tokens}, ${refused})
        on conflict (hour) do update set tokens = u.tokens + excluded.tokens, refused = u.refused + excluded.refused`,
  )
}

// Every node writes in the same order, so that two nodes cannot deadlock.
async function addDays(db: Db, days: ReadonlyMap<string, Counts>): Promise<void> {
  const rows = [...days].map(([client_id, counts]) => ({ client_id, ...counts }))
  await run(
    db,
    sql`insert into client_usage_days as u (client_id, day, tokens, refused)
        select n.client_id, (now() at time zone 'utc')::date, n.tokens, n.refused
        from json_to_recordset(${JSON.stringify(rows)}::json) as n (client_id text, tokens bigint, refused bigint)
        join clients c on c.id = n.client_id and c.id = any(${[...days.keys()]})
        order by n.client_id
        on conflict (client_id, day) do update set tokens = u.tokens + excluded.tokens, refused = u.refused + excluded.refused`,
  )
}
