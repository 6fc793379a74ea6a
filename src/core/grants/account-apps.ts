// The apps with access to an account, as its owner sees them and ends them: all, one, or one on one device. Ending is one mark,
// however many tokens hang on it.
import type { Actor } from '../../base/audit-events.ts'
import { type Db, many, sql, tx } from '../../db/pool.ts'
import { recordAll } from '../audit/store.ts'

/** An app with access to an account, as its owner sees it. */
export interface AppWithAccess {
  client_id: string
  client_name: string
  homepage_uri: string | null
  logo_uri: string | null
  redirect_uris: string[]
  first_party: boolean
  verified_at: Date | null
  suspended_at: Date | null
  registered_by: 'admin' | 'developer' | 'itself'
  /** Where the person was sent back to when they allowed it. */
  client_host: string
  scopes: string[]
  allowed_at: Date
  last_used_at: Date | null
  ends_at: Date | null
  /** One entry a device, newest use first; a device may hold several grants. */
  devices: { device_id: string; name: string; last_used_at: Date; allowed_at: Date }[]
}

/** The apps with access to an account, newest use first, in one query. @param client_id only this app. */
export async function listApps(db: Db, user_id: string, client_id?: string): Promise<AppWithAccess[]> {
  const rows = await many<Omit<AppWithAccess, 'devices' | 'last_used_at'> & { devices: DeviceRow[] | null }>(
    db,
    sql`select c.id as client_id, c.name as client_name, c.homepage_uri, c.logo_uri, c.redirect_uris, c.first_party,
               c.verified_at, c.suspended_at, c.registered_by, s.client_host, s.scopes, s.created_at as allowed_at, s.expires_at as ends_at, d.devices
        from consents s
        join clients c on c.id = s.client_id
        left join lateral (
          select json_agg(device order by device.last_used_at desc) as devices
          from (select device_id, (array_agg(g.device order by g.last_used_at desc))[1] as name,
                       max(g.last_used_at) as last_used_at, min(g.created_at) as allowed_at
                from grants g
                where g.consent_id = s.id and g.revoked_at is null and g.expires_at > now()
                group by device_id) device
        ) d on true
        where s.user_id = ${user_id} and s.revoked_at is null and (s.expires_at is null or s.expires_at > now())
          and c.deleted_at is null and (${client_id ?? null}::text is null or c.id = ${client_id ?? null})
        order by d.devices -> 0 ->> 'last_used_at' desc nulls last, s.created_at desc`,
  )
  return rows.map((row) => {
    const devices = (row.devices ?? []).map((device) => ({
      ...device,
      last_used_at: new Date(device.last_used_at),
      allowed_at: new Date(device.allowed_at),
    }))
    return { ...row, devices, last_used_at: devices[0]?.last_used_at ?? null }
  })
}

interface DeviceRow {
  device_id: string
  name: string
  last_used_at: string
  allowed_at: string
}

/** What ended when an app was removed. */
export interface Receipt {
  client_id: string
  client_name: string
  /** Devices on which the app had access until now. */
  devices: number
  grants: number
}

/**
 * Ends an app's access to an account: marks the consent and its grants and writes the audit row, in one transaction. It changes no
 * token, because every read of a token joins the mark. @returns what ended, or undefined when the app had no access
 */
export async function revokeApp(
  db: Db,
  user_id: string,
  client_id: string,
  by: Actor,
): Promise<Receipt | undefined> {
  const [receipt] = await endConsents(db, user_id, client_id, by)
  return receipt
}

/** Ends the access of every app of an account, in one transaction. @returns a receipt for each app */
export function revokeAllApps(db: Db, user_id: string, by: Actor): Promise<Receipt[]> {
  return endConsents(db, user_id, undefined, by)
}

function endConsents(db: Db, user_id: string, client_id: string | undefined, by: Actor): Promise<Receipt[]> {
  return tx(db, async (t) => {
    const ended = await many<{ id: string; client_id: string; client_name: string }>(
      t,
      sql`update consents s set revoked_at = now()
          from clients c
          where c.id = s.client_id and s.revoked_at is null
            and s.id = any(array(
              -- Always locked in the same order, so that two removals at once cannot deadlock.
              select id from consents
              where user_id = ${user_id} and revoked_at is null
                and (${client_id ?? null}::text is null or client_id = ${client_id ?? null})
              order by id for update
            ))
          returning s.id, s.client_id, c.name as client_name`,
    )
    if (ended.length === 0) return []
    // A second statement, so that it sees a grant that a sign-in committed while the first one waited for the consent.
    const counts = await many<{ consent_id: string; grants: number; devices: number }>(
      t,
      sql`with marked as (
            update grants set revoked_at = now(), revoked_reason = 'removed_by_user'
            where id = any(array(
              select id from grants
              where consent_id = any(${ended.map(({ id }) => id)}) and revoked_at is null
              order by id for update
            ))
            returning consent_id, device_id, expires_at
          )
          select consent_id, count(*)::int as grants,
                 count(distinct device_id) filter (where expires_at > now())::int as devices
          from marked group by consent_id`,
    )
    const receipts = ended.map(({ id, client_id, client_name }) => {
      const { grants = 0, devices = 0 } = counts.find(({ consent_id }) => consent_id === id) ?? {}
      return { client_id, client_name, grants, devices }
    })
    await recordAll(
      t,
      receipts.map(({ client_id, grants }) => ({ type: 'app.removed', user_id, client_id, grants })),
      by,
    )
    return receipts
  })
}

/** Ends an app's access on one device only. @returns what ended, or undefined when it had no access there */
export function revokeDevice(
  db: Db,
  user_id: string,
  client_id: string,
  device_id: string,
  by: Actor,
): Promise<{ device: string } | undefined> {
  return tx(db, async (t) => {
    const ended = await many<{ id: string; device: string }>(
      t,
      sql`update grants set revoked_at = now(), revoked_reason = 'removed_by_user'
          where id = any(array(
            select id from grants
            where user_id = ${user_id} and client_id = ${client_id} and device_id = ${device_id} and revoked_at is null
            order by id for update
          ))
          returning id, device`,
    )
    await recordAll(
      t,
      ended.map(({ id }) => ({
        type: 'grant.revoked',
        user_id,
        client_id,
        grant_id: id,
        reason: 'removed_by_user',
      })),
      by,
    )
    return ended[0]
  })
}
