// The append-only table of audit events: writing and reading. base/audit-events.ts lists the events.
import { type Actor, type AuditEvent, currentType, formerType } from '../../base/audit-events.ts'
import { type Db, type Fragment, fragment, many, run, sql } from '../../db/pool.ts'

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

/** Writes one event. Call it in the transaction of the change that it records. */
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

/** Which events to find; an absent member matches all. */
export interface EventFilter {
  type?: string
  actor_type?: string
  actor_id?: string
  user_id?: string
  client_id?: string
  /** Recorded at this moment or later. */
  since?: Date
  /** Recorded before this moment. */
  until?: Date
}

/** A stretch of the log in the order (tx, id). An absent bound does not limit it. */
export interface Stretch {
  /** After this position. */
  after?: Position
  /** Up to this position, inclusive. */
  upTo?: Position
  /** Only rows with this id or a higher one. */
  floor?: string | null
  /** Only rows with a lower id. */
  ceiling?: string | null
  /** Only rows of earlier transactions. */
  beforeTx?: string
}

/** A position in the order of the log. */
export interface Position {
  tx: string
  id: string
}

/**
 * Events, newest first, for people. Events that commit while they turn the pages may be missing; {@link listStretch} misses none.
 * @param page.before the id of the last row already seen
 */
export function listEvents(
  db: Db,
  { limit = 50, before, ...filter }: EventFilter & { limit?: number; before?: string } = {},
): Promise<AuditRow[]> {
  return select(db, COLUMNS, filter, { ceiling: before }, fragment`id desc`, limit)
}

/** An event, and its position. */
export type PlacedRow = AuditRow & Position

/** Events of a stretch, in its order. */
export function listStretch(
  db: Db,
  filter: EventFilter,
  stretch: Stretch,
  limit: number,
): Promise<PlacedRow[]> {
  const columns = fragment`id, at, type, actor_type, actor_id, user_id, client_id, host(ip) as ip, user_agent, request_id, data,
    tx::text as tx`
  return select(db, columns, filter, stretch, fragment`audit_events.tx, id`, limit)
}

const COLUMNS = fragment`id, at, type, actor_type, actor_id, user_id, client_id, host(ip) as ip, user_agent, request_id, data`

async function select<Row extends AuditRow>(
  db: Db,
  columns: Fragment,
  filter: EventFilter,
  { after, floor, ceiling, beforeTx }: Stretch,
  order: Fragment,
  limit: number,
): Promise<Row[]> {
  const { type = null } = filter
  const former = (type && formerType(type)) ?? null
  const rows = await many<Row>(
    db,
    sql`select ${columns}
        from audit_events
        where (${type}::text is null or type = ${type} or type = ${former})
          and (${filter.actor_type ?? null}::text is null or actor_type = ${filter.actor_type ?? null})
          and (${filter.actor_id ?? null}::text is null or actor_id = ${filter.actor_id ?? null})
          and (${filter.user_id ?? null}::uuid is null or user_id = ${filter.user_id ?? null})
          and (${filter.client_id ?? null}::text is null or client_id = ${filter.client_id ?? null})
          and (${filter.since ?? null}::timestamptz is null or at >= ${filter.since ?? null})
          and (${filter.until ?? null}::timestamptz is null or at < ${filter.until ?? null})
          and (${after?.tx ?? null}::xid8 is null
               or (tx, id) > (${after?.tx ?? null}::xid8, ${after?.id ?? null}::bigint))
          and (${floor ?? null}::bigint is null or id >= ${floor ?? null}::bigint)
          and (${ceiling ?? null}::bigint is null or id < ${ceiling ?? null}::bigint)
          and (${beforeTx ?? null}::xid8 is null or tx < ${beforeTx ?? null}::xid8)
        order by ${order}
        limit ${limit}`,
  )
  return rows.map((row) => ({ ...row, type: currentType(row.type) }))
}

// A header may hold anything: Postgres takes no NUL, and more than this helps nobody.
function storable(text: string | undefined): string | null {
  return text ? text.replaceAll('\0', '').slice(0, 400) : null
}
