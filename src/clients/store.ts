// Client registrations and the durable marks that suspend or delete them. Rules stand in metadata.ts, secrets in secrets.ts.
import { randomBytes } from 'node:crypto'
import type { Actor } from '../audit/events.ts'
import { record } from '../audit/store.ts'
import { type Db, fragment, isUniqueViolation, many, maybe, one, run, sql, tx } from '../db/pool.ts'
import { KEPT_DAYS, SWEEP_BATCH, type Sweep } from '../db/sweep.ts'
import { isApiScope } from '../resources/built-in.ts'
import {
  type ClientInput,
  type ClientMetadata,
  type ClientType,
  InvalidMetadata,
  OPENID_SCOPES,
  validMetadata,
} from './metadata.ts'
import { addSecret } from './secrets.ts'

/** A registered client. */
export interface Client extends Omit<ClientMetadata, 'type'> {
  id: string
  type: ClientType
  verified_at: Date | null
  /** Which door it came through. */
  registered_by: 'admin' | 'developer' | 'itself'
  /** A pending one waits for an administrator, and serves its owners only; a rejected one serves nobody. */
  state: 'pending' | 'active' | 'rejected'
  /** Why it was rejected, in words for its owners. */
  state_reason: string
  /** Grows with every change. */
  version: number
  /** When it last got a token, give or take a minute. */
  last_used_at: Date | null
  /** The API whose tokens a resource_server may introspect. */
  resource: string | null
  created_at: Date
  suspended_at: Date | null
}

/** The columns of a {@link Client}. */
export const CLIENT_COLUMNS = fragment`id, name, type, redirect_uris, post_logout_redirect_uris, scopes, homepage_uri,
  logo_uri, tos_uri, policy_uri, description, first_party, verified_at, pkce_required, id_token_signed_response_alg,
  registered_by, state, state_reason, version, last_used_at, resource, created_at, suspended_at`

/** Registers a client; web and service clients get a secret, which is never shown again. @throws InvalidMetadata */
export function createClient(
  db: Db,
  input: ClientInput & { id?: string },
  by: Actor,
): Promise<{ client: Client; secret: string | undefined }> {
  const { id = newClientId(), ...rest } = input
  const m = validMetadata(rest)
  checkClientId(id)
  return tx(db, async (t) => {
    await checkScopes(t, m.scopes, 'admin', m.type)
    const { client, secret } = await insertApp(t, id, m)
    // A loosening is explicit, per client, and on record.
    const loosened = [...(m.pkce_required ? [] : ['pkce']), ...(m.first_party ? ['consent'] : [])]
    await record(t, { type: 'client.created', client_id: id, client_type: client.type, loosened }, by)
    return { client, secret }
  })
}

/**
 * Stores an app whose registration was checked, with a secret if it can keep one. It records nothing: the door it came through
 * does.
 */
export async function insertApp(
  db: Db,
  id: string,
  m: ClientMetadata,
  { registered_by, state }: Pick<Client, 'registered_by' | 'state'> = {
    registered_by: 'admin',
    state: 'active',
  },
): Promise<{ client: Client; secret: string | undefined }> {
  const client = await insertClient(
    db,
    sql`insert into clients (id, name, type, redirect_uris, post_logout_redirect_uris, scopes, homepage_uri, logo_uri,
                             tos_uri, policy_uri, description, first_party, pkce_required,
                             id_token_signed_response_alg, registered_by, state)
        values (${id}, ${m.name}, ${m.type}, ${m.redirect_uris}, ${m.post_logout_redirect_uris}, ${m.scopes},
                ${m.homepage_uri}, ${m.logo_uri}, ${m.tos_uri}, ${m.policy_uri}, ${m.description}, ${m.first_party},
                ${m.pkce_required}, ${m.id_token_signed_response_alg}, ${registered_by}, ${state})
        returning ${CLIENT_COLUMNS}`,
  )
  return { client, secret: isConfidential(client.type) ? await addSecret(db, id) : undefined }
}

/** Makes the introspection credentials of an API: a client that can do nothing else. */
export function createResourceServerClient(
  db: Db,
  resource: string,
  name: string,
  by: Actor,
): Promise<{ client: Client; secret: string }> {
  const id = newClientId()
  return tx(db, async (t) => {
    const client = await insertClient(
      t,
      sql`insert into clients (id, name, type, resource) values (${id}, ${name}, 'resource_server', ${resource})
          returning ${CLIENT_COLUMNS}`,
    )
    const secret = await addSecret(t, id)
    await record(t, { type: 'client.created', client_id: id, client_type: client.type, loosened: [] }, by)
    return { client, secret }
  })
}

/** A client by id, a suspended one too; a deleted one is gone. */
export function findClient(db: Db, id: string): Promise<Client | undefined> {
  return maybe<Client>(db, sql`select ${CLIENT_COLUMNS} from clients where id = ${id} and deleted_at is null`)
}

/** As {@link findClient}, and nobody else changes it until this transaction is over. */
export function lockClient(t: Db, id: string): Promise<Client | undefined> {
  return maybe<Client>(
    t,
    sql`select ${CLIENT_COLUMNS} from clients where id = ${id} and deleted_at is null for update`,
  )
}

/** Clients, oldest first. @param page.after the id of the last one already seen. */
export function listClients(db: Db, page: { limit?: number; after?: string } = {}): Promise<Client[]> {
  return many<Client>(
    db,
    sql`select ${CLIENT_COLUMNS} from clients
        where deleted_at is null
          and (${page.after ?? null}::text is null
               or (created_at, id) > (select created_at, id from clients where id = ${page.after ?? null}))
        order by created_at, id
        limit ${page.limit ?? 100}`,
  )
}

/** The names of clients by id, deleted ones too. */
export async function clientNames(db: Db, ids: string[]): Promise<Map<string, string>> {
  const rows = await many<{ id: string; name: string }>(
    db,
    sql`select id, name from clients where id = any(${ids})`,
  )
  return new Map(rows.map(({ id, name }) => [id, name]))
}

/** Suspends a client: every token of it is dead from this moment. @returns whether anything changed. */
export function suspendClient(db: Db, id: string, by: Actor): Promise<boolean> {
  return mark(
    db,
    sql`update clients set suspended_at = now(), version = version + 1
        where id = ${id} and suspended_at is null and deleted_at is null`,
    'client.suspended',
    id,
    by,
  )
}

/** Lets a suspended client work again; tokens that have not expired meanwhile live again. @returns whether anything changed. */
export function resumeClient(db: Db, id: string, by: Actor): Promise<boolean> {
  return mark(
    db,
    sql`update clients set suspended_at = null, version = version + 1
        where id = ${id} and suspended_at is not null and deleted_at is null`,
    'client.resumed',
    id,
    by,
  )
}

/** Deletes a client: its tokens are dead from this moment; the sweeper takes the rows away later. */
export function deleteClient(db: Db, id: string, by: Actor): Promise<boolean> {
  return tx(db, async (t) => {
    const deleted = await mark(
      t,
      sql`update clients set deleted_at = now(), version = version + 1 where id = ${id} and deleted_at is null`,
      'client.deleted',
      id,
      by,
    )
    // What stands in a document would be back with the next sign-in: whom somebody has sent away stays away.
    if (deleted && by.type !== 'system') {
      await run(t, sql`update client_documents set refused_at = now() where client_id = ${id}`)
    }
    return deleted
  })
}

/** Clients deleted long ago, once nothing hangs on them any more. */
export const sweepClients: Sweep = (db) =>
  run(
    db,
    sql`delete from clients where id = any(array(
          select id from clients c
          where deleted_at < now() - make_interval(days => ${KEPT_DAYS})
            and not exists (select from tokens where client_id = c.id and expires_at > now())
            and not exists (select from grants where client_id = c.id)
            and not exists (select from client_documents where client_id = c.id and refused_at is not null)
          limit ${SWEEP_BATCH} for update skip locked))`,
  )

/** @throws InvalidMetadata for what cannot be the id of a client */
export function checkClientId(id: string): void {
  if (!/^[A-Za-z0-9_-]{1,100}$/.test(id) || id.startsWith('valetkey')) {
    throw new InvalidMetadata('id', 'may hold letters, digits, _ and - only, e.g. photo-printer')
  }
}

/** An id that no client has. */
export function newClientId(): string {
  return `c_${randomBytes(12).toString('base64url')}`
}

/** A scope, and which kinds of client may ask for it; null: all. */
export interface KnownScope {
  name: string
  kinds: string[] | null
}

/**
 * Those of the scopes that a client which came through this door may have, in the order given: OpenID's, the APIs', and the
 * Admin API's where an administrator registers it.
 */
export async function knownScopes(
  db: Db,
  scopes: readonly string[],
  door: Client['registered_by'],
): Promise<KnownScope[]> {
  const rows = await many<KnownScope>(
    db,
    sql`select name, kinds from resource_scopes where name = any(${scopes}) and removed_at is null`,
  )
  const known = new Map([
    ...OPENID_SCOPES.map((name): [string, KnownScope] => [name, { name, kinds: null }]),
    ...rows.map((scope): [string, KnownScope] => [scope.name, scope]),
  ])
  return scopes.flatMap((scope) => {
    const isOurs = door === 'admin' && isApiScope(scope)
    return known.get(scope) ?? (isOurs ? { name: scope, kinds: null } : [])
  })
}

/** Whether a scope may be asked for by clients of a kind. */
export function isForKind({ kinds }: Pick<KnownScope, 'kinds'>, type: ClientType): boolean {
  return kinds === null || kinds.includes(type)
}

/** Kinds that can keep a secret. */
export function isConfidential(type: ClientType): boolean {
  return type === 'web' || type === 'service' || type === 'resource_server'
}

async function insertClient(db: Db, query: ReturnType<typeof sql>): Promise<Client> {
  try {
    return await one<Client>(db, query)
  } catch (error) {
    if (isUniqueViolation(error))
      throw new InvalidMetadata('id', 'is taken by another client; choose another, e.g. photo-printer-2')
    throw error
  }
}

/**
 * The one rule of which scopes a registration may hold.
 * @param door which door the client came through. @param type its kind; undefined where it is not known yet
 * @throws InvalidMetadata for a scope that belongs to no API, or that this client may not have
 */
export async function checkScopes(
  db: Db,
  scopes: string[],
  door: Client['registered_by'],
  type: ClientType | undefined,
): Promise<void> {
  const known = await knownScopes(db, scopes, door)
  const unknown = scopes.find((scope) => !known.some(({ name }) => name === scope))
  if (unknown !== undefined) {
    throw new InvalidMetadata(
      'scopes',
      isApiScope(unknown)
        ? `${JSON.stringify(unknown)} administers this server and is for apps that an administrator registers; e.g. openid`
        : `${JSON.stringify(unknown)} belongs to no API; ${RIGHT_SCOPE}`,
    )
  }
  const refused = type && known.find((scope) => !isForKind(scope, type))
  if (refused) {
    throw new InvalidMetadata(
      'scopes',
      `${JSON.stringify(refused.name)} is not for this kind of app (${type}), only for ${refused.kinds!.join(', ')}; ${RIGHT_SCOPE}`,
    )
  }
}

const RIGHT_SCOPE = 'e.g. openid, or a scope of a resource'

function mark(
  db: Db,
  query: ReturnType<typeof sql>,
  type: 'client.suspended' | 'client.resumed' | 'client.deleted',
  client_id: string,
  by: Actor,
): Promise<boolean> {
  return tx(db, async (t) => {
    if (!(await run(t, query))) return false
    await record(t, { type, client_id }, by)
    return true
  })
}
