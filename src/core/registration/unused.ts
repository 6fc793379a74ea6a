// Dynamically registered clients that nobody uses: finding them, warning a week before, and deleting them.
import { SYSTEM } from '../../base/audit-events.ts'
import { type Db, many, run, sql, tx } from '../../db/pool.ts'
import { SWEEP_BATCH, type Sweep } from '../../db/sweep.ts'
import { recordAll } from '../audit/store.ts'
import { deleteClients } from '../clients/lifecycle.ts'

/** How many days before the deletion the audit log warns about it. */
const WARNING_DAYS = 7

/**
 * Checks each dynamically registered app once a day, and deletes it when nobody has used it for `unusedDays`, a week after a warning in
 * the audit log. An app that may use client credentials stays: an operator allowed it, and no consent tells whether it is in
 * use. @param unusedDays 0: never
 */
export function sweepUnused(unusedDays: number): Sweep {
  const warningDays = Math.min(WARNING_DAYS, unusedDays)
  return async (db) => {
    if (unusedDays === 0) return 0
    const due = await many<{ client_id: string }>(
      db,
      sql`update client_registrations set reviewed_at = now()
          where client_id = any(array(
            select client_id from client_registrations
            where reviewed_at < now() - interval '1 day'
            order by reviewed_at limit ${SWEEP_BATCH} for update skip locked))
          returning client_id`,
    )
    const ids = due.map(({ client_id }) => client_id)
    const candidates = await unusedApps(db, { ids, days: unusedDays - warningDays })
    if (candidates.length > 0) {
      await removeOrWarn(
        db,
        candidates.map(({ id }) => id),
        unusedDays,
        warningDays,
      )
    }
    return due.length
  }
}

/** Which apps {@link unusedApps} finds. */
export interface UnusedFilter {
  days: number
  /** Only these apps. */
  ids?: string[]
  /** The id of the last one already seen. */
  after?: string | undefined
  limit?: number
}

/**
 * Dynamically registered apps that nobody has used for so many days, with the moment of their last use. Apps that may use client
 * credentials, and verified and first-party apps, are never among them.
 */
export function unusedApps(
  db: Db,
  { days, ids, after, limit }: UnusedFilter,
): Promise<{ id: string; name: string; redirect_uris: string[]; unused_since: Date }[]> {
  return many(
    db,
    sql`select c.id, c.name, c.redirect_uris, last.unused_since
        -- offset 0 makes Postgres take one app after the other until there are enough, and look up the last use only of apps
        -- without a live consent.
        from (
          select c.*
          from clients c
          where (${ids ?? null}::text[] is null or c.id = any(${ids ?? null})) and c.deleted_at is null
            and (${after ?? null}::text is null or c.id > ${after ?? null})
            and c.registered_by = 'itself' and c.verified_at is null and not c.first_party
            and c.created_at < now() - make_interval(days => ${days})
            and (c.last_used_at is null or c.last_used_at < now() - make_interval(days => ${days}))
            and not exists (select from consents where client_id = c.id and revoked_at is null
                              and (expires_at is null or expires_at > now()) offset 0)
            and not exists (select from client_registrations
                            where client_id = c.id and 'client_credentials' = any(grant_types) offset 0)
          order by c.id
          offset 0
        ) c
        cross join lateral (
          select greatest(c.created_at, c.last_used_at,
                          (select max(coalesce(revoked_at, least(expires_at, now()), updated_at)) from consents
                           where client_id = c.id),
                          (select max(last_used_at) from grants where client_id = c.id)) as unused_since
        ) last
        where last.unused_since < now() - make_interval(days => ${days})
        order by c.id
        limit ${limit ?? null}`,
  )
}

function removeOrWarn(db: Db, ids: string[], unusedDays: number, warningDays: number): Promise<void> {
  return tx(db, async (t) => {
    const held = await holdUnused(t, ids, unusedDays - warningDays)
    const isWarned = ({ warned_at, unused_since }: HeldApp) => warned_at !== null && warned_at > unused_since
    const unwarned = held.filter((app) => !isWarned(app))
    if (unwarned.length > 0) {
      await run(
        t,
        sql`update client_registrations set warned_at = now()
            where client_id = any(${unwarned.map(({ id }) => id)})`,
      )
      await recordAll(
        t,
        unwarned.map(({ id, unused_since }) => {
          const left = Math.max(daysFromNow(warningDays), unused_since.getTime() + unusedDays * DAY_MS)
          return {
            type: 'client.removal_announced',
            client_id: id,
            unused_since: unused_since.toISOString(),
            delete_after: new Date(left).toISOString(),
          }
        }),
        SYSTEM,
      )
    }
    const over = held.filter(
      (app) =>
        isWarned(app) &&
        app.warned_at!.getTime() <= daysFromNow(-warningDays) &&
        app.unused_since.getTime() <= daysFromNow(-unusedDays),
    )
    await deleteClients(
      t,
      over.map(({ id }) => id),
      SYSTEM,
    )
  })
}

/** An unused app whose row is locked, so that nobody can begin to use it until the end of the transaction. */
interface HeldApp {
  id: string
  unused_since: Date
  warned_at: Date | null
}

/**
 * Locks those of the apps that are still unused. It skips an app whose row a sign-in under way has locked; a later sign-in finds the
 * app deleted.
 */
export async function holdUnused(t: Db, ids: string[], days: number): Promise<HeldApp[]> {
  const held = await many<{ id: string; warned_at: Date | null }>(
    t,
    sql`select c.id, r.warned_at from clients c join client_registrations r on r.client_id = c.id
        where c.id = any(${ids}) and r.client_id = any(${ids}) and c.deleted_at is null
        order by c.id for update skip locked`,
  )
  const warnings = new Map(held.map(({ id, warned_at }) => [id, warned_at]))
  // A second statement, so that it sees what was committed before the rows were locked.
  const unused = await unusedApps(t, { ids: [...warnings.keys()], days })
  return unused.map(({ id, unused_since }) => ({ id, unused_since, warned_at: warnings.get(id)! }))
}

const DAY_MS = 86_400_000

function daysFromNow(days: number): number {
  return Date.now() + days * DAY_MS
}
