// Grants: one sign-in of an app on one device, on which all of its tokens hang. It knows neither pages nor the provider.
import { randomBytes } from 'node:crypto'
import type { Actor, RevocationReason } from '../../base/audit-events.ts'
import { CURSOR, isAfter, type Listed } from '../../db/cursor.ts'
import { type Db, fragment, many, maybe, run, sql, tx } from '../../db/pool.ts'
import { KEPT_DAYS, SWEEP_BATCH, type Sweep } from '../../db/sweep.ts'
import { record } from '../audit/store.ts'

/** The scopes of a grant for each API, in the shape of oidc-provider; `rejected` ones were asked for and not allowed. */
export interface GrantedScopes {
  openid?: { scope: string; claims?: string[] }
  resources?: Record<string, string>
  rejected?: Omit<GrantedScopes, 'rejected'>
}

/** The device a grant is made on, and its name for people. */
export interface Device {
  id: string
  name: string
}

/**
 * Makes a grant on one more device from a live consent. It locks the row of the consent, so that a concurrent removal either sees this
 * grant or prevents it. @returns its id, or undefined when the consent has ended meanwhile
 */
export async function addGrant(
  db: Db,
  consent_id: string,
  granted: GrantedScopes,
  device: Device,
): Promise<string | undefined> {
  const id = `g_${randomBytes(16).toString('base64url')}`
  const held = scopesOf(granted)
  const inserted = await run(
    db,
    sql`with consent as (
          select id, user_id, client_id, expires_at from consents
          -- Postgres reads the row again once it has the lock, so scopes that were removed meanwhile do not come back.
          where id = ${consent_id} and revoked_at is null and scopes @> ${held}::text[]
          for share
        )
        insert into grants (id, consent_id, user_id, client_id, payload, device_id, device, ends_at, expires_at)
        select ${id}, id, user_id, client_id, ${JSON.stringify(granted)}, ${device.id}, ${device.name}, expires_at,
               now() + make_interval(mins => ${UNREDEEMED_MINUTES})
        from consent`,
  )
  return inserted ? id : undefined
}

// A new grant lives for ten minutes, more than a code needs to be redeemed, until its first tokens extend it.
const UNREDEEMED_MINUTES = 10

/** A live grant, with what oidc-provider needs. */
export interface Grant {
  id: string
  user_id: string
  client_id: string
  device_id: string
  payload: GrantedScopes
  created_at: Date
  ends_at: Date | null
}

/** A grant by id while it, its client and its user live. */
export function findGrant(db: Db, id: string): Promise<Grant | undefined> {
  return maybe<Grant>(
    db,
    sql`select g.id, g.user_id, g.client_id, g.device_id, g.payload, g.created_at, g.ends_at
        from grants g
        join users u on u.id = g.user_id
        join clients c on c.id = g.client_id
        where g.id = ${id} and g.revoked_at is null and (g.ends_at is null or g.ends_at > now())
          and u.disabled_at is null
          -- CLIENT_LIVES of core/clients, which imports this folder.
          and c.suspended_at is null and c.deleted_at is null and c.state <> 'rejected'`,
  )
}

/** Ends one grant and every token on it. @returns whether it lived until now. */
export function revokeGrant(db: Db, id: string, reason: RevocationReason, by: Actor): Promise<boolean> {
  return tx(db, async (t) => {
    const ended = await maybe<{ user_id: string; client_id: string }>(
      t,
      sql`update grants set revoked_at = now(), revoked_reason = ${reason}
          where id = ${id} and revoked_at is null
          returning user_id, client_id`,
    )
    if (!ended) return false
    await record(t, { type: 'grant.revoked', ...ended, grant_id: id, reason }, by)
    return true
  })
}

/** A grant as an administrator lists it. */
export interface GrantRow {
  id: string
  consent_id: string
  user_id: string
  email: string
  client_id: string
  client_name: string
  scopes: GrantedScopes
  device: string
  created_at: Date
  last_used_at: Date
  ends_at: Date | null
  revoked_at: Date | null
}

/** The scopes that a grant holds, of whatever API. */
export function scopesOf({ openid, resources = {} }: GrantedScopes): string[] {
  return [openid?.scope, ...Object.values(resources)]
    .flatMap((scope) => scope?.split(' ') ?? [])
    .filter(Boolean)
}

/** Grants, oldest first. @param filter.after the cursor of the last one already seen, or its id while it is there. */
export function listGrants(
  db: Db,
  filter: {
    id?: string
    user_id?: string
    client_id?: string
    limit?: number
    after?: string | undefined
  } = {},
): Promise<Listed<GrantRow>[]> {
  return many<Listed<GrantRow>>(
    db,
    sql`select g.id, g.consent_id, g.user_id, u.email, g.client_id, c.name as client_name, g.payload as scopes, g.device, g.created_at,
               g.last_used_at, g.ends_at, g.revoked_at, g.cursor
        from (
          select *, ${CURSOR} from grants
          where (${filter.id ?? null}::text is null or id = ${filter.id ?? null})
            and (${filter.user_id ?? null}::uuid is null or user_id = ${filter.user_id ?? null})
            and (${filter.client_id ?? null}::text is null or client_id = ${filter.client_id ?? null})
            and ${isAfter(fragment`grants`, filter.after)}
          order by created_at, id
          limit ${filter.limit ?? 100}
        ) g
        join users u on u.id = g.user_id
        join clients c on c.id = g.client_id
        order by g.created_at, g.id`,
  )
}

/** Notes that grants were used just now, for the list of apps. One statement for many grants. */
export function noteUse(db: Db, grant_ids: string[]): Promise<number> {
  return run(
    db,
    sql`update grants set last_used_at = now()
        where id = any(array(
          -- Skip a locked row instead of waiting for it.
          select id from grants where id = any(${grant_ids}) and revoked_at is null for update skip locked
        ))`,
  )
}

/** Deletes grants that ended long ago and have no tokens left: deleting a batch must not cascade to a million tokens. */
export const sweepGrants: Sweep = (db) =>
  run(
    db,
    sql`delete from grants where id = any(array(
          select id from grants g
          where expires_at < now() - make_interval(days => ${KEPT_DAYS})
            -- offset 0 makes Postgres look tokens up for each grant, instead of joining the whole table.
            and not exists (select from tokens where grant_id = g.id offset 0)
          limit ${SWEEP_BATCH} for update skip locked))`,
  )
