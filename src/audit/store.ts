// The append-only table of what happened. It writes and reads; what there is to record stands in events.ts.
import { type Db, type Fragment, fragment, many, run, sql } from '../db/pool.ts'
import type { Actor, AuditEvent } from './events.ts'

/** A recorded event. */
export interface AuditRow {
  id: string
  at: Date
  type: AuditEvent['type']
  actor_type: Actor['type']
  actor_id: string | null
  user_id: string | null
  client_id: string | null
  ip: string | null
  user_agent: string | null
  request_id: string | null
  data: Record<string, unknown>
}

/** Writes one event; call it inside the transaction of the change it tells of. */
export function record(db: Db, event: AuditEvent, by: Actor): Promise<void> {
  return recordAll(db, [event], by)
}

/** Writes several events of one actor in one statement. */
export async function recordAll(db: Db, events: AuditEvent[], by: Actor): Promise<void> {
  if (events.length === 0) return
  const rows = events.map((event) => {
    const { type, user_id, client_id, ...data } = { user_id: undefined, client_id: undefined, ...event }
    return { type, user_id, client_id, data }
  })
  await run(
    db,
    sql`insert into audit_events (type, actor_type, actor_id, user_id, client_id, ip, user_agent, request_id, data)
        select type, ${by.type}, ${by.id ?? null}, user_id, client_id, ${by.ip ?? null},
               ${storable(by.user_agent)}, ${by.request_id ?? null}, data
        from json_to_recordset(${JSON.stringify(rows)}) as event (type text, user_id uuid, client_id text, data json)`,
  )
}

/** Which events are wanted; what is absent does not matter. */
export interface EventFilter {
  type?: string
  actor_type?: string
  actor_id?: string
  user_id?: string
  client_id?: string
  /** Recorded then or later … */
  since?: Date
  /** … and before then. */
  until?: Date
}

/** Events, newest first. @param page.before the id of the last row already seen. */
export function listEvents(
  db: Db,
  { limit = 50, before, ...filter }: EventFilter & { limit?: number; before?: string } = {},
): Promise<AuditRow[]> {
  return events(db, filter, { before, order: fragment`desc`, limit })
}

/** Events, oldest first. @param page.after the id of the last row already seen. @param page.before one that is too new */
export function listEventsForward(
  db: Db,
  filter: EventFilter,
  page: { after?: string; before?: string; limit: number },
): Promise<AuditRow[]> {
  return events(db, filter, { ...page, order: fragment`asc` })
}

interface Page {
  after?: string
  before?: string
  order: Fragment
  limit: number
}

function events(db: Db, filter: EventFilter, { after, before, order, limit }: Page): Promise<AuditRow[]> {
  return many<AuditRow>(
    db,
    sql`select id, at, type, actor_type, actor_id, user_id, client_id, host(ip) as ip, user_agent, request_id, data
        from audit_events
        where (${filter.type ?? null}::text is null or type = ${filter.type ?? null})
          and (${filter.actor_type ?? null}::text is null or actor_type = ${filter.actor_type ?? null})
          and (${filter.actor_id ?? null}::text is null or actor_id = ${filter.actor_id ?? null})
          and (${filter.user_id ?? null}::uuid is null or user_id = ${filter.user_id ?? null})
          and (${filter.client_id ?? null}::text is null or client_id = ${filter.client_id ?? null})
          and (${filter.since ?? null}::timestamptz is null or at >= ${filter.since ?? null})
          and (${filter.until ?? null}::timestamptz is null or at < ${filter.until ?? null})
          and (${after ?? null}::bigint is null or id > ${after ?? null})
          and (${before ?? null}::bigint is null or id < ${before ?? null})
        order by id ${order}
        limit ${limit}`,
  )
}

// A header may hold anything; Postgres text may not hold NUL, and nobody reads more than this.
function storable(text: string | undefined): string | null {
  return text ? text.replaceAll('\0', '').slice(0, 400) : null
}
