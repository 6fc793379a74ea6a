// Dynamically registered clients: making, reading, changing and deleting their own registration. Rules stand in
// clients/metadata.ts, the words of RFC 7591 in rfc7591.ts.
import type { Actor } from '../../base/audit-events.ts'
import { digest, kindOf, newCredential } from '../../base/credentials.ts'
import { type Db, fragment, many, maybe, one, run, sql, tx } from '../../db/pool.ts'
import { record } from '../audit/store.ts'
import { changedBranding } from '../clients/branding.ts'
import { APP_COLUMNS, CLIENT_COLUMNS, TAKE_OWN_FIELDS } from '../clients/columns.ts'
import { insertApp } from '../clients/create.ts'
import { type ClientMetadata, fieldsSetBy, impersonal } from '../clients/fields.ts'
import { newClientId } from '../clients/ids.ts'
import { deleteClient } from '../clients/lifecycle.ts'
import { InvalidMetadata, validMetadata } from '../clients/metadata.ts'
import { hostOf } from '../clients/presentation.ts'
import { checkScopes, isForKind, knownScopes } from '../clients/scopes.ts'
import { matchingSecret, type StoredSecret } from '../clients/secrets.ts'
import type { Client } from '../clients/store.ts'
import { differences } from '../clients/update.ts'
import { useRegistrationToken } from './initial-access-tokens.ts'
import { type AuthMethod, type Permission, readMetadata } from './rfc7591.ts'

/** A dynamically registered client. */
export interface DynamicClient extends Client {
  grant_types: string[]
  token_endpoint_auth_method: AuthMethod
  /** The scopes of the initial access token; null: it registered without one. */
  allowed_scopes: string[] | null
  allowed_client_credentials: boolean
}

/** The rules for apps that register without an initial access token. */
export interface OpenRegistration {
  /** The scopes that they may ask for. */
  scopes: string[]
  /** Whether they wait for an administrator. */
  approval: boolean
}

/** A new client and its credentials, which are never shown again. */
export interface Registered {
  client: DynamicClient
  secret: string | undefined
  access_token: string
}

/**
 * Registers a client dynamically. @param use the id of the new client, and the name under which an initial access token is used
 * @throws InvalidMetadata @returns undefined when the initial access token is not valid any more
 */
export function registerDynamicClient(
  db: Db,
  body: unknown,
  open: OpenRegistration,
  initial: string | undefined,
  by: Actor,
  use: { client_id: string; name: string | null } = { client_id: newClientId(), name: null },
): Promise<Registered | undefined> {
  const access_token = newCredential('registration_access')
  const id = use.client_id
  return tx(db, async (t) => {
    const token = initial === undefined ? undefined : await useRegistrationToken(t, initial, use.name)
    if (initial !== undefined && !token) return undefined
    const may = await permission(t, token ?? { scopes: open.scopes, client_credentials: false })
    const { input, grant_types, token_endpoint_auth_method } = readMetadata(body, may)
    const m = validMetadata(input)
    await checkScopes(t, m.scopes, 'itself', m.type)
    const state = token || !open.approval ? 'active' : 'pending'
    const { client, secret } = await insertApp(t, id, m, { registered_by: 'itself', state })
    await run(
      t,
      sql`insert into client_registrations (client_id, access_hash, token_id, allowed_scopes, allowed_client_credentials,
                                            grant_types, token_endpoint_auth_method)
          values (${id}, ${digest(access_token)}, ${token?.id ?? null}, ${token?.scopes ?? null},
                  ${token?.client_credentials ?? false}, ${grant_types}, ${token_endpoint_auth_method})`,
    )
    const byClient = asClient(by, id)
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
      byClient,
    )
    if (token) {
      const { id: token_id, uses } = token
      await record(t, { type: 'registration_token.used', client_id: id, token_id, uses }, byClient)
    }
    const allowed_client_credentials = token?.client_credentials ?? false
    const own = { grant_types, token_endpoint_auth_method, allowed_client_credentials }
    return { client: { ...client, ...own, allowed_scopes: token?.scopes ?? null }, secret, access_token }
  })
}

/** The registration that belongs to a registration access token. */
export async function findOwnRegistration(
  db: Db,
  client_id: string,
  access_token: string,
): Promise<DynamicClient | undefined> {
  if (kindOf(access_token) !== 'registration_access') return undefined
  return maybe<DynamicClient>(
    db,
    sql`select ${CLIENT_COLUMNS}, ${OWN_COLUMNS}
        from clients c join client_registrations r on r.client_id = c.id
        where r.access_hash = ${digest(access_token)} and c.id = ${client_id} and c.deleted_at is null`,
  )
}

/** Whether a client may change its own registration: not while it is suspended or rejected, nor when it is first-party. */
export function mayUpdateDynamicClient({ suspended_at, state, first_party }: Client): boolean {
  return !suspended_at && state !== 'rejected' && !first_party
}

/**
 * Replaces the registration of a client (RFC 7592 §2.2). If its branding changes, people are asked again, it is no longer verified, and
 * with `approval` it waits again.
 * @throws InvalidMetadata @returns undefined when it may not change its registration any more
 */
export function updateDynamicClient(
  db: Db,
  client_id: string,
  body: unknown,
  open: OpenRegistration,
  by: Actor,
): Promise<DynamicClient | undefined> {
  return tx(db, async (t) => {
    const before = await maybe<DynamicClient>(
      t,
      sql`select ${CLIENT_COLUMNS}, ${OWN_COLUMNS}
        from clients c join client_registrations r on r.client_id = c.id
          where c.id = ${client_id} and c.deleted_at is null for update`,
    )
    if (!before || !mayUpdateDynamicClient(before)) return undefined
    await checkIdentity(t, before, body)
    const withToken = before.allowed_scopes !== null
    const allowed = { scopes: before.allowed_scopes ?? open.scopes }
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
    const approval = open.approval && !withToken
    return putRegistration(
      t,
      before,
      { metadata, grant_types, token_endpoint_auth_method, approval },
      asClient(by, client_id),
    )
  })
}

/**
 * Replaces the registration of a dynamically registered client, whose row is locked, by a checked one, and records the difference. If
 * its branding changes, people are asked again, it is no longer verified, and with `approval` it waits.
 */
export async function putRegistration(
  t: Db,
  before: DynamicClient,
  next: Pick<DynamicClient, 'grant_types' | 'token_endpoint_auth_method'> & {
    metadata: ClientMetadata
    approval: boolean
  },
  byClient: Actor,
): Promise<DynamicClient> {
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
  const changes = differences<DynamicClient>(before, after, COMPARED)
  if (changes.length > 0) {
    const fields = changes.map(({ field }) => field)
    const kept = impersonal(changes)
    await record(t, { type: 'client.changed', client_id, fields, changes: kept, loosened: [] }, byClient)
  }
  return after
}

/** Deletes a client at its own request (RFC 7592 §2.3). */
export function deleteDynamicClient(db: Db, client_id: string, by: Actor): Promise<boolean> {
  return deleteClient(db, client_id, asClient(by, client_id))
}

const OWN_COLUMNS = fragment`r.grant_types, r.token_endpoint_auth_method, r.allowed_scopes, r.allowed_client_credentials`

/** What a client may ask for. Scopes that were removed since are left out, and the others stay allowed. */
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

function asClient(by: Actor, client_id: string): Actor {
  return { ...by, type: 'client', id: client_id }
}

// RFC 7592 §2.2: client_id must be present and match; a client_secret, if present, must be the present one.
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

// The fields that the audit event compares: those that the client sets, and those that follow from them.
const COMPARED = [
  'type',
  ...fieldsSetBy('itself'),
  'state',
  'verified_at',
  'grant_types',
  'token_endpoint_auth_method',
] as const
