// Clients that registered themselves: making, reading and changing their own registration, and taking away those that
// nobody uses. Rules stand in metadata.ts, the words of RFC 7591 in rfc7591.ts.
import type { Actor } from '../../base/audit-events.ts'
import { SYSTEM } from '../../base/audit-events.ts'
import { digest, kindOf, newCredential } from '../../base/credentials.ts'
import { type Db, fragment, many, maybe, one, run, sql, tx } from '../../db/pool.ts'
import { SWEEP_BATCH, type Sweep } from '../../db/sweep.ts'
import { record, recordAll } from '../audit/store.ts'
import { changedBranding } from '../clients/branding.ts'
import { APP_COLUMNS, CLIENT_COLUMNS, TAKE_OWN_FIELDS } from '../clients/columns.ts'
import { type ClientMetadata, fieldsSetBy, impersonal } from '../clients/fields.ts'
import { InvalidMetadata, validMetadata } from '../clients/metadata.ts'
import { hostOf } from '../clients/presentation.ts'
import { matchingSecret, type StoredSecret } from '../clients/secrets.ts'
import {
  type Client,
  checkScopes,
  deleteClient,
  deleteClients,
  insertApp,
  isForKind,
  knownScopes,
  newClientId,
} from '../clients/store.ts'
import { differences } from '../clients/update.ts'
import { useRegistrationToken } from './initial-access-tokens.ts'
import { type AuthMethod, type Permission, readMetadata } from './rfc7591.ts'

/** A client that registered itself. */
export interface SelfRegistered extends Client {
  grant_types: string[]
  token_endpoint_auth_method: AuthMethod
  /** What the initial access token allowed; null: it came without one. */
  allowed_scopes: string[] | null
  allowed_client_credentials: boolean
}

/** What apps that come without a token meet. */
export interface OpenDoor {
  /** What they may ask for. */
  scopes: string[]
  /** Whether they wait for an administrator. */
  approval: boolean
}

/** A client and the credentials that it is told this once. */
export interface Registered {
  client: SelfRegistered
  secret: string | undefined
  access_token: string
}

/** Registers an app that asked for it itself. @throws InvalidMetadata @returns undefined when the token lets nobody in any more */
export function registerDynamicClient(
  db: Db,
  body: unknown,
  door: OpenDoor,
  initial: string | undefined,
  by: Actor,
): Promise<Registered | undefined> {
  const access_token = newCredential('registration_access')
  const id = newClientId()
  return tx(db, async (t) => {
    const token = initial === undefined ? undefined : await useRegistrationToken(t, initial)
    if (initial !== undefined && !token) return undefined
    const may = await permission(t, token ?? { scopes: door.scopes, client_credentials: false })
    const { input, grant_types, token_endpoint_auth_method } = readMetadata(body, may)
    const m = validMetadata(input)
    await checkScopes(t, m.scopes, 'itself', m.type)
    const state = token || !door.approval ? 'active' : 'pending'
    const { client, secret } = await insertApp(t, id, m, { registered_by: 'itself', state })
    await run(
      t,
      sql`insert into client_registrations (client_id, access_hash, token_id, allowed_scopes, allowed_client_credentials,
                                            grant_types, token_endpoint_auth_method)
          values (${id}, ${digest(access_token)}, ${token?.id ?? null}, ${token?.scopes ?? null},
                  ${token?.client_credentials ?? false}, ${grant_types}, ${token_endpoint_auth_method})`,
    )
    const itself = asItself(by, id)
    const host = hostOf(m.redirect_uris[0])
    await record(
      t,
      {
        type: 'client.registered',
        client_id: id,
        client_type: m.type,
        host,
        state,
        token_id: token?.id,
      },
      itself,
    )
    if (token) {
      const { id: token_id, uses } = token
      await record(t, { type: 'registration_token.used', client_id: id, token_id, uses }, itself)
    }
    const allowed_client_credentials = token?.client_credentials ?? false
    const own = { grant_types, token_endpoint_auth_method, allowed_client_credentials }
    return { client: { ...client, ...own, allowed_scopes: token?.scopes ?? null }, secret, access_token }
  })
}

/** The registration that a registration access token is for. */
export async function findOwnRegistration(
  db: Db,
  client_id: string,
  access_token: string,
): Promise<SelfRegistered | undefined> {
  if (kindOf(access_token) !== 'registration_access') return undefined
  return maybe<SelfRegistered>(
    db,
    sql`select ${CLIENT_COLUMNS}, ${OWN_COLUMNS}
        from clients c join client_registrations r on r.client_id = c.id
        where r.access_hash = ${digest(access_token)} and c.id = ${client_id} and c.deleted_at is null`,
  )
}

/** Whether an app may change its own registration: not while, or where, the operator has decided otherwise. */
export function mayUpdateDynamicClient({ suspended_at, state, first_party }: Client): boolean {
  return !suspended_at && state !== 'rejected' && !first_party
}

/**
 * Puts another registration in the place of the one an app has (RFC 7592 §2.2). What people see of it then counts as never
 * seen: they are asked again, its badge is gone, and with `approval` it waits again.
 * @throws InvalidMetadata @returns undefined when it was deleted, suspended or taken over meanwhile
 */
export function updateDynamicClient(
  db: Db,
  client_id: string,
  body: unknown,
  door: OpenDoor,
  by: Actor,
): Promise<SelfRegistered | undefined> {
  return tx(db, async (t) => {
    const before = await maybe<SelfRegistered>(
      t,
      sql`select ${CLIENT_COLUMNS}, ${OWN_COLUMNS}
        from clients c join client_registrations r on r.client_id = c.id
          where c.id = ${client_id} and c.deleted_at is null for update`,
    )
    if (!before || !mayUpdateDynamicClient(before)) return undefined
    await checkIdentity(t, before, body)
    const withToken = before.allowed_scopes !== null
    const allowed = { scopes: before.allowed_scopes ?? door.scopes }
    const may = await permission(t, { ...allowed, client_credentials: before.allowed_client_credentials })
    const { input, grant_types, token_endpoint_auth_method } = readMetadata(body, may)
    if (input.type !== before.type) {
      throw new InvalidMetadata(
        'type',
        `cannot become another kind with grant_types and token_endpoint_auth_method (now ${before.type}, asked for ${input.type}); register anew`,
      )
    }
    const metadata = validMetadata({ ...input, pkce_required: before.pkce_required })
    await checkScopes(t, metadata.scopes, 'itself', metadata.type)
    const approval = door.approval && !withToken
    return putRegistration(
      t,
      before,
      { metadata, grant_types, token_endpoint_auth_method, approval },
      asItself(by, client_id),
    )
  })
}

/**
 * Puts a checked registration in the place of the one an app gave itself, whose row is locked, and records the difference. Where
 * people would see another app its badge is gone, they are asked again, and with `approval` it waits.
 */
export async function putRegistration(
  t: Db,
  before: SelfRegistered,
  next: Pick<SelfRegistered, 'grant_types' | 'token_endpoint_auth_method'> & {
    metadata: ClientMetadata
    approval: boolean
  },
  itself: Actor,
): Promise<SelfRegistered> {
  const { metadata: m, grant_types, token_endpoint_auth_method, approval } = next
  const client_id = before.id
  const brandingChanged = changedBranding(before, m).length > 0
  const waits = brandingChanged && approval
  const client = await one<Client>(
    t,
    sql`with changed as (
          update clients c
          set type = app.type, ${TAKE_OWN_FIELDS},
              verified_at = case when ${brandingChanged}::boolean then null else c.verified_at end,
              state = case when ${waits}::boolean then 'pending' else c.state end,
              version = c.version + 1
          from json_to_record(${JSON.stringify({ id: client_id, ...m })}) as app (${APP_COLUMNS})
          where c.id = ${client_id}
          returning c.*
        )
        select ${CLIENT_COLUMNS} from changed`,
  )
  await run(
    t,
    sql`update client_registrations
        set grant_types = ${grant_types}, token_endpoint_auth_method = ${token_endpoint_auth_method},
            looks_changed_at = case when ${brandingChanged}::boolean then now() else looks_changed_at end
        where client_id = ${client_id}`,
  )
  const after = { ...before, ...client, grant_types, token_endpoint_auth_method }
  const changes = differences<SelfRegistered>(before, after, COMPARED)
  if (changes.length > 0) {
    const fields = changes.map(({ field }) => field)
    const kept = impersonal(changes)
    await record(t, { type: 'client.changed', client_id, fields, changes: kept, loosened: [] }, itself)
  }
  return after
}

/** Deletes an app at its own wish. */
export function deleteDynamicClient(db: Db, client_id: string, by: Actor): Promise<boolean> {
  return deleteClient(db, client_id, asItself(by, client_id))
}

/** How many days before its removal the audit log tells that nobody uses an app. */
const WARNING_DAYS = 7

/**
 * Looks at apps that registered themselves, each once a day: nobody uses it for `unusedDays` and it is deleted, after a warning
 * in the audit log a week before. One that may act for itself is left alone: an operator's token let it, and no consent tells
 * whether it is in use. @param unusedDays 0: never
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

const OWN_COLUMNS = fragment`r.grant_types, r.token_endpoint_auth_method, r.allowed_scopes, r.allowed_client_credentials`

/** What may be asked for here. A scope that is gone since is no reason to refuse those that are left. */
export async function permission(
  db: Db,
  { scopes, client_credentials }: { scopes: string[]; client_credentials: boolean },
): Promise<Permission> {
  const known = await knownScopes(db, scopes, 'itself')
  return {
    scopesFor: (type) => known.filter((scope) => isForKind(scope, type)).map(({ name }) => name),
    client_credentials,
  }
}

function asItself(by: Actor, client_id: string): Actor {
  return { ...by, type: 'client', id: client_id }
}

// RFC 7592 §2.2: client_id must be there and right; a client_secret that is there must be the one it has.
async function checkIdentity(db: Db, client: Client, body: unknown): Promise<void> {
  const { client_id, client_secret } = (body ?? {}) as Record<string, unknown>
  if (client_id !== client.id) {
    throw new InvalidMetadata('client_id', `must be the one of this registration, e.g. "${client.id}"`)
  }
  if (client_secret === undefined || client_secret === null) return
  const stored = await many<StoredSecret>(
    db,
    sql`select id, hash, expires_at from client_secrets where client_id = ${client.id} and revoked_at is null`,
  )
  if (typeof client_secret !== 'string' || !matchingSecret(stored, client_secret)) {
    throw new InvalidMetadata('client_secret', 'is not the one it has, and cannot be chosen; leave it out')
  }
}

// What changes when an app changes itself: what it says, and what follows from that.
const COMPARED = [
  'type',
  ...fieldsSetBy('itself'),
  'state',
  'verified_at',
  'grant_types',
  'token_endpoint_auth_method',
] as const

/** What {@link unusedApps} are looked for. */
export interface UnusedFilter {
  days: number
  /** Only among these. */
  ids?: string[]
  /** The id of the last one already seen. */
  after?: string | undefined
  limit?: number
}

/**
 * The apps that registered themselves and that nobody uses since so many days, by the last thing that anybody did with them.
 * One that may act for itself, that is verified or that is the operator's own is never among them.
 */
export function unusedApps(
  db: Db,
  { days, ids, after, limit }: UnusedFilter,
): Promise<{ id: string; name: string; redirect_uris: string[]; unused_since: Date }[]> {
  return many(
    db,
    sql`select c.id, c.name, c.redirect_uris, last.unused_since
        -- offset 0: one app after the other, until there are enough; and only of those that nobody allows now is it worth
        -- looking up when they last were.
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

/** An app that nobody uses, and that nobody can begin to use until the transaction is over. */
interface HeldApp {
  id: string
  unused_since: Date
  warned_at: Date | null
}

/**
 * Holds those of the apps that are unused still. A sign-in under way holds the row it refers to: that app is left alone, and
 * whoever comes later finds it gone.
 */
export async function holdUnused(t: Db, ids: string[], days: number): Promise<HeldApp[]> {
  const held = await many<{ id: string; warned_at: Date | null }>(
    t,
    sql`select c.id, r.warned_at from clients c join client_registrations r on r.client_id = c.id
        where c.id = any(${ids}) and r.client_id = any(${ids}) and c.deleted_at is null
        order by c.id for update skip locked`,
  )
  const warnings = new Map(held.map(({ id, warned_at }) => [id, warned_at]))
  // A statement of its own: it sees what was committed before the rows were held.
  const unused = await unusedApps(t, { ids: [...warnings.keys()], days })
  return unused.map(({ id, unused_since }) => ({ id, unused_since, warned_at: warnings.get(id)! }))
}

const DAY_MS = 86_400_000

function daysFromNow(days: number): number {
  return Date.now() + days * DAY_MS
}
