// How often each event happened on each day: counting a month of events for each view of the overview would take too long.
import { currentType } from '../../base/audit-events.ts'
import { type Db, many, run, sql } from '../../db/pool.ts'

// How many days are counted.
const COUNTED_DAYS = 30

/**
 * Counts the days (UTC) that are over and not counted yet. Any number of nodes may do it at once. A day is counted an hour after its
 * end, because an event carries the time at which its transaction began.
 */
export async function countDays(db: Db): Promise<void> {
  await run(
    db,
    sql`with span as (
          select greatest((select max(day) + 1 from audit_days), current_day - ${COUNTED_DAYS}::int) as first_day,
                 (now() at time zone 'UTC' - interval '1 hour')::date as end_day
          from (select (now() at time zone 'UTC')::date as current_day) today
        )
        insert into audit_days (day, type, count)
        select (at at time zone 'UTC')::date, type, count(*)
        from audit_events, span
        where at >= first_day::timestamp at time zone 'UTC' and at < end_day::timestamp at time zone 'UTC'
        group by 1, 2
        union all
        -- A day without events is counted, too.
        select end_day - 1, '', 0 from span where end_day > first_day
        on conflict do nothing`,
  )
}

/** How often each type of event was recorded today (UTC) and on the 29 days before. */
export async function countMonth(db: Db): Promise<Map<string, number>> {
  const rows = await many<Count>(
    db,
    sql`with span as (
            select current_day - ${COUNTED_DAYS - 1}::int as first_day,
                   greatest((select max(day) + 1 from audit_days), current_day - ${COUNTED_DAYS - 1}::int) as open_day
            from (select (now() at time zone 'UTC')::date as current_day) today
          )
          select type, sum(count)::float8 as count
          from (
            select type, count from audit_days, span where day >= first_day
            union all
            select type, count(*) from audit_events, span
            where at >= open_day::timestamp at time zone 'UTC' group by type
          ) counted
          group by type`,
  )
  return asMap(rows)
}

/** How often each type of event was recorded in the last 24 hours. */
export async function countDay(db: Db): Promise<Map<string, number>> {
  const rows = await many<Count>(
    db,
    sql`select type, count(*)::float8 as count from audit_events where at >= now() - interval '1 day' group by type`,
  )
  return asMap(rows)
}

interface Count {
  type: string
  count: number
}

function asMap(rows: Count[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { type, count } of rows) {
    const current = currentType(type)
    counts.set(current, (counts.get(current) ?? 0) + count)
  }
  return counts
}
