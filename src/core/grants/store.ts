// Consents (what a user decided about an app), grants (one sign-in of it on one device), and ending them: one mark, however
// many tokens hang on it. It knows neither pages nor the provider.
import { randomBytes } from 'node:crypto'
import type { Actor, RevocationReason } from '../../base/audit-events.ts'
import { CURSOR, type Listed, placeBehind } from '../../db/cursor.ts'
import { type Db, many, maybe, one, run, sql, tx } from '../../db/pool.ts'
import { KEPT_DAYS, SWEEP_BATCH, type Sweep } from '../../db/sweep.ts'
import { record, recordAll } from '../audit/store.ts'

/** Which scopes a grant holds, per API; `rejected` ones were asked for and not allowed. The provider's own shape. */
export interface GrantedScopes {
  openid?: { scope: string; claims?: string[] }
  resources?: Record<string, string>
  rejected?: Omit<GrantedScopes, 'rejected'>
}

/** A user's live decision about an app. */
export interface Consent {
  id: string
  scopes: string[]
  rejected_scopes: string[]
  /** What the app looked like then. */
  client_name: string
  client_host: string
  created_at: Date
  /** When the person last decided. */
  updated_at: Date
  expires_at: Date | null
}

/** The device a grant is made on, and what to call it. */
export interface Device {
  id: string
  name: string
}

/** What a user decided on the consent page. */
export interface Decision {
  user_id: string
  client: { id: string; name: string; host: string; logo_uri?: string }
  scopes: string[]
  rejected_scopes: string[]
  /** When access shall end by itself; null: when the user removes it. */
  expires_at: Date | null
  granted: GrantedScopes
  device: Device
}

/** The live decision of a user about an app, unless it has run out. */
export function findConsent(db: Db, user_id: string, client_id: string): Promise<Consent | undefined> {
  return maybe<Consent>(
    db,
    sql`select id, scopes, rejected_scopes, client_name, client_host, created_at, updated_at, expires_at
        from consents
        where user_id = ${user_id} and client_id = ${client_id} and revoked_at is null
          and (expires_at is null or expires_at > now())`,
  )
}

/** Stores a decision and makes the grant of this device, with the audit row, in one transaction. @returns the grant's id. */
export function giveConsent(db: Db, decision: Decision, by: Actor): Promise<string> {
  const { user_id, client, expires_at } = decision
  return tx(db, async (t) => {
    const gone = await beginDecision(t, decision)
    const scopes = decision.scopes.filter((scope) => !gone.has(scope))
    const rejected_scopes = decision.rejected_scopes.filter((scope) => !gone.has(scope))
    // What was decided earlier and is not asked now stays decided; what is asked now counts as answered now.
    const consent = await one<{ id: string; expires_at: Date | null }>(
      t,
      sql`insert into consents as c (user_id, client_id, scopes, rejected_scopes, client_name, client_host,
                                     client_logo_uri, expires_at)
          values (${user_id}, ${client.id}, ${scopes}, ${rejected_scopes}, ${client.name}, ${client.host},
                  ${client.logo_uri ?? null}, ${expires_at})
          on conflict (user_id, client_id) where revoked_at is null do update
          set scopes = array(select unnest(c.scopes) union select unnest(excluded.scopes)
                             except select unnest(excluded.rejected_scopes)),
              rejected_scopes = array(select unnest(c.rejected_scopes) union select unnest(excluded.rejected_scopes)
                                      except select unnest(excluded.scopes)),
              client_name = excluded.client_name, client_host = excluded.client_host,
              client_logo_uri = excluded.client_logo_uri,
              -- More time only for what the person has seen: what was allowed earlier and is not asked about now keeps its end.
              expires_at = case when c.scopes <@ (excluded.scopes || excluded.rejected_scopes) then excluded.expires_at
                                else least(c.expires_at, excluded.expires_at) end,
              updated_at = now()
          returning id, expires_at`,
    )
    await run(
      t,
      sql`update grants set ends_at = ${consent.expires_at}
          where id = any(array(
            -- Here as everywhere grants are locked in the order of their ids: two changes at once then never wait in a ring.
            select id from grants where consent_id = ${consent.id} and revoked_at is null order by id for update
          ))`,
    )
    // What is not allowed now must not live on where it was allowed earlier.
    const narrowed = await many<{ id: string }>(
      t,
      sql`update grants set revoked_at = now(), revoked_reason = 'narrowed'
          where consent_id = ${consent.id} and revoked_at is null
            and exists (select from json_each_text(payload -> 'resources') api
                        where string_to_array(api.value, ' ') && ${rejected_scopes}::text[])
          returning id`,
    )
    await recordAll(
      t,
      narrowed.map(({ id }) => ({
        type: 'grant.revoked',
        user_id,
        client_id: client.id,
        grant_id: id,
        reason: 'narrowed',
      })),
      by,
    )
    const grant_id = await insertGrant(t, consent.id, withoutScopes(decision.granted, gone), decision.device)
    await record(t, { type: 'consent.given', user_id, client_id: client.id, scopes, rejected_scopes }, by)
    return grant_id!
  })
}

// A decision that has run out is over: whatever is decided now brings back none of its grants and scopes. The scopes are shared:
// one is removed after the decisions that have looked at it, and the job finds it there; one that was removed is decided about no more.
async function beginDecision(
  t: Db,
  { user_id, client, scopes, rejected_scopes }: Decision,
): Promise<Set<string>> {
  const named = await many<{ name: string; gone: boolean }>(
    t,
    sql`with over as (
          update consents set revoked_at = now()
          where user_id = ${user_id} and client_id = ${client.id} and revoked_at is null and expires_at <= now()
        )
        select name, removed_at is not null as gone from resource_scopes
        where name = any(${[...scopes, ...rejected_scopes]})
        for share`,
  )
  return new Set(named.filter(({ gone }) => gone).map(({ name }) => name))
}

function withoutScopes(granted: GrantedScopes, gone: ReadonlySet<string>): GrantedScopes {
  if (gone.size === 0) return granted
  const { resources = {}, rejected, ...rest } = granted
  const left = Object.entries(resources).map(
    ([api, scope]) =>
      [
        api,
        scope
          .split(' ')
          .filter((name) => !gone.has(name))
          .join(' '),
      ] as const,
  )
  return {
    ...rest,
    resources: Object.fromEntries(left.filter(([, scope]) => scope)),
    ...(rejected ? { rejected: withoutScopes(rejected, gone) } : {}),
  }
}

/**
 * Makes the grant of one more device out of a decision that stands. The consent row is locked, so that a removal under way
 * either sees this grant or prevents it. @returns undefined when the consent has ended meanwhile.
 */
export function addGrant(
  db: Db,
  consent_id: string,
  granted: GrantedScopes,
  device: Device,
): Promise<string | undefined> {
  return insertGrant(db, consent_id, granted, device)
}

/** A grant that lives, with what the provider needs of it. */
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
          and u.disabled_at is null and c.suspended_at is null and c.deleted_at is null and c.state <> 'rejected'`,
  )
}

/** Notes a "Don't allow". Nothing else changes. */
export function refuseConsent(db: Db, user_id: string, client_id: string, by: Actor): Promise<void> {
  return record(db, { type: 'consent.refused', user_id, client_id }, by)
}

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
  /** Distinct devices on which the app had access that still lived. */
  devices: number
  grants: number
}

/**
 * Ends an app's access to an account: the consent and its grants are marked, with the audit row, in one transaction.
 * Tokens are not touched; every read of one joins the mark. @returns what ended, or undefined when there was nothing.
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

/** Ends the access of every app of an account, in one transaction. @returns a receipt an app. */
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
              -- Locked in one order, so that two removals at once cannot wait for each other.
              select id from consents
              where user_id = ${user_id} and revoked_at is null
                and (${client_id ?? null}::text is null or client_id = ${client_id ?? null})
              order by id for update
            ))
          returning s.id, s.client_id, c.name as client_name`,
    )
    if (ended.length === 0) return []
    // A statement of its own: it must see the grant that a sign-in committed while the consent was being waited for.
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

/** Ends an app's access on one device; on the others it goes on. @returns what ended, or undefined when there was nothing. */
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
  const after = placeBehind(filter.after)
  return many<Listed<GrantRow>>(
    db,
    sql`select g.id, g.consent_id, g.user_id, u.email, g.client_id, c.name as client_name, g.payload as scopes, g.device, g.created_at,
               g.last_used_at, g.ends_at, g.revoked_at, g.cursor
        from (
          select *, ${CURSOR} from grants
          where (${filter.id ?? null}::text is null or id = ${filter.id ?? null})
            and (${filter.user_id ?? null}::uuid is null or user_id = ${filter.user_id ?? null})
            and (${filter.client_id ?? null}::text is null or client_id = ${filter.client_id ?? null})
            and (${after.id}::text is null
                 or (created_at, id) >
                    (coalesce(timestamptz 'epoch' + ${after.micros}::bigint * interval '1 microsecond',
                              (select created_at from grants where id = ${after.id})), ${after.id}))
          order by created_at, id
          limit ${filter.limit ?? 100}
        ) g
        join users u on u.id = g.user_id
        join clients c on c.id = g.client_id
        order by g.created_at, g.id`,
  )
}

/** Notes that grants were used just now: when, for the person who looks at the list. One statement for many. */
export function noteUse(db: Db, grant_ids: string[]): Promise<number> {
  return run(
    db,
    sql`update grants set last_used_at = now()
        where id = any(array(
          -- A row that is being changed right now is left out rather than waited for.
          select id from grants where id = any(${grant_ids}) and revoked_at is null for update skip locked
        ))`,
  )
}

/** Grants that ended long ago and hold no token any more: a batch of them must not take a million tokens along. */
export const sweepGrants: Sweep = (db) =>
  run(
    db,
    sql`delete from grants where id = any(array(
          select id from grants g
          where expires_at < now() - make_interval(days => ${KEPT_DAYS})
            -- offset 0: looked up one by one, instead of held against all tokens that there are.
            and not exists (select from tokens where grant_id = g.id offset 0)
          limit ${SWEEP_BATCH} for update skip locked))`,
  )

/** Consents that were taken back long ago, once their grants are gone. */
export const sweepConsents: Sweep = (db) =>
  run(
    db,
    sql`delete from consents where id = any(array(
          select id from consents s
          where revoked_at < now() - make_interval(days => ${KEPT_DAYS})
            -- offset 0: looked up one by one, instead of held against all grants that there are.
            and not exists (select from grants where consent_id = s.id offset 0)
          limit ${SWEEP_BATCH} for update skip locked))`,
  )

// A new grant lives until its first tokens say for how long; ten minutes is more than a code needs to be redeemed.
const UNREDEEMED_MINUTES = 10

async function insertGrant(
  db: Db,
  consent_id: string,
  granted: GrantedScopes,
  device: Device,
): Promise<string | undefined> {
  const id = `g_${randomBytes(16).toString('base64url')}`
  const held = [granted.openid?.scope, ...Object.values(granted.resources ?? {})]
    .flatMap((scopes) => scopes?.split(' ') ?? [])
    .filter(Boolean)
  const inserted = await run(
    db,
    sql`with consent as (
          select id, user_id, client_id, expires_at from consents
          -- Read anew once the lock is held: what was narrowed while it was waited for must not come back.
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
