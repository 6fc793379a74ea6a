// Client registrations and the durable marks that suspend or delete them. Rules stand in metadata.ts, secrets in secrets.ts.
import { randomBytes } from 'node:crypto'
import { isApiScope } from '../../base/admin-api-scopes.ts'
import type { Actor } from '../../base/audit-events.ts'
import { isOpenidScope } from '../../base/openid-scopes.ts'
import { CURSOR, type Listed, placeBehind } from '../../db/cursor.ts'
import { type Db, fragment, isUniqueViolation, many, maybe, run, sql, tx } from '../../db/pool.ts'
import { KEPT_DAYS, SWEEP_BATCH, type Sweep } from '../../db/sweep.ts'
import { record, recordAll } from '../audit/store.ts'
import { checkClientEscalation, checkClientsEscalation } from '../escalation/clients.ts'
import { checkScopeEscalation } from '../escalation/users.ts'
import { APP_COLUMNS, CLIENT_COLUMNS, FIELD_COLUMNS } from './columns.ts'
import type { ClientInput, ClientMetadata, Registrar } from './fields.ts'
import type { ClientType } from './kinds.ts'
import { InvalidMetadata, validMetadata } from './metadata.ts'
import { addSecret, addSecrets } from './secrets.ts'

/** A registered client. */
export interface Client extends Omit<ClientMetadata, 'type'> {
  id: string
  type: ClientType
  verified_at: Date | null
  /** When it ceased to be verified, or first-party, because the last of those left that this was about. */
  verification_fell_at: Date | null
  /** Which door it came through. */
  registered_by: Registrar
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

/** A client as it was made, with its secret if it can keep one, which is never shown again. */
export interface MadeClient {
  client: Client
  secret: string | undefined
}

/** Registers a client. @throws InvalidMetadata, LesserPower */
export async function createClient(
  db: Db,
  input: ClientInput & { id?: string },
  by: Actor,
): Promise<MadeClient> {
  const [made] = await createClients(db, [input], by)
  return made!
}

/** Registers clients, all or none, in the order given; the number of statements does not grow with theirs. As {@link createClient}. */
export async function createClients(
  db: Db,
  inputs: (ClientInput & { id?: string })[],
  by: Actor,
): Promise<MadeClient[]> {
  const apps = inputs.map(({ id = newClientId(), ...rest }) => {
    const m = validMetadata(rest)
    checkClientId(id)
    return { id, m }
  })
  return tx(db, async (t) => {
    const scopes = apps.flatMap(({ m }) => m.scopes)
    await checkScopeEscalation(t, by, scopes)
    const ofApis = await apiScopes(t, scopes)
    for (const { m } of apps) mustBeAllowed(ofApis, m.scopes, 'admin', m.type)
    const made = await insertApps(t, apps, { registered_by: 'admin', state: 'active' })
    await recordAll(
      t,
      made.map(({ client }) => ({
        type: 'client.created',
        client_id: client.id,
        client_type: client.type,
        // A loosening is explicit, per client, and on record.
        loosened: [...(client.pkce_required ? [] : ['pkce']), ...(client.first_party ? ['consent'] : [])],
      })),
      by,
    )
    return made
  })
}

/** How an app came in, and whether it waits. */
type Door = Pick<Client, 'registered_by' | 'state'>

/**
 * Stores an app whose registration was checked, with a secret if it can keep one. It records nothing: the door it came through
 * does.
 */
export async function insertApp(db: Db, id: string, m: ClientMetadata, door: Door): Promise<MadeClient> {
  const [made] = await insertApps(db, [{ id, m }], door)
  return made!
}

async function insertApps(
  db: Db,
  apps: { id: string; m: ClientMetadata }[],
  { registered_by, state }: Door,
): Promise<MadeClient[]> {
  const rows = JSON.stringify(apps.map(({ id, m }) => ({ id, ...m })))
  const clients = await insertClients(
    db,
    sql`insert into clients (id, type, ${FIELD_COLUMNS}, registered_by, state)
        select id, type, ${FIELD_COLUMNS}, ${registered_by}, ${state}
        from json_to_recordset(${rows}) as app (${APP_COLUMNS})
        returning ${CLIENT_COLUMNS}`,
  )
  const byId = new Map(clients.map((client) => [client.id, client]))
  const secrets = await addSecrets(
    db,
    clients.filter(({ type }) => isConfidential(type)).map(({ id }) => id),
  )
  return apps.map(({ id }) => ({ client: byId.get(id)!, secret: secrets.get(id) }))
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
    const [client] = await insertClients(
      t,
      sql`insert into clients (id, name, type, resource) values (${id}, ${name}, 'resource_server', ${resource})
          returning ${CLIENT_COLUMNS}`,
    )
    const secret = await addSecret(t, id)
    await record(
      t,
      { type: 'client.created', client_id: id, client_type: 'resource_server', loosened: [] },
      by,
    )
    return { client: client!, secret }
  })
}

/** A client by id, a suspended one too; a deleted one is gone. */
export function findClient(db: Db, id: string): Promise<Client | undefined> {
  return maybe<Client>(db, sql`select ${CLIENT_COLUMNS} from clients where id = ${id} and deleted_at is null`)
}

/** Clients by id, as {@link findClient}; those that there are. */
export async function findClients(db: Db, ids: string[]): Promise<Map<string, Client>> {
  const rows = await many<Client>(
    db,
    sql`select ${CLIENT_COLUMNS} from clients where id = any(${ids}) and deleted_at is null`,
  )
  return new Map(rows.map((client) => [client.id, client]))
}

/** As {@link findClient}, and nobody else changes it until this transaction is over. */
export function lockClient(t: Db, id: string): Promise<Client | undefined> {
  return maybe<Client>(
    t,
    sql`select ${CLIENT_COLUMNS} from clients where id = ${id} and deleted_at is null for update`,
  )
}

/** Clients, oldest first. @param page.after the cursor of the last one already seen, or its id while it is there. */
export function listClients(
  db: Db,
  page: { limit?: number; after?: string | undefined } = {},
): Promise<Listed<Client>[]> {
  const after = placeBehind(page.after)
  return many<Listed<Client>>(
    db,
    sql`select ${CLIENT_COLUMNS}, ${CURSOR} from clients
        where deleted_at is null
          and (${after.id}::text is null
               or (created_at, id) >
                  (coalesce(timestamptz 'epoch' + ${after.micros}::bigint * interval '1 microsecond',
                            (select created_at from clients where id = ${after.id})), ${after.id}))
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
export async function deleteClient(db: Db, id: string, by: Actor): Promise<boolean> {
  return (await deleteClients(db, [id], by)).length > 0
}

/** Deletes clients. As {@link deleteClient}. @returns the ids of those that there were */
export function deleteClients(db: Db, ids: string[], by: Actor): Promise<string[]> {
  return tx(db, async (t) => {
    await checkClientsEscalation(t, ids, by)
    const rows = await many<{ id: string }>(
      t,
      sql`update clients set deleted_at = now(), version = version + 1
          where id = any(array(
            -- Locked in one order, so that two who delete at once cannot wait for each other.
            select id from clients where id = any(${ids}) and deleted_at is null order by id for update))
          returning id`,
    )
    const deleted = rows.map(({ id }) => id)
    if (deleted.length === 0) return []
    await recordAll(
      t,
      deleted.map((client_id) => ({ type: 'client.deleted', client_id })),
      by,
    )
    // What stands in a document would be back with the next sign-in: whom somebody has sent away stays away.
    if (by.type !== 'system') {
      await run(t, sql`update client_documents set refused_at = now() where client_id = any(${deleted})`)
    }
    return deleted
  })
}

/**
 * Clients deleted long ago, once no token and no grant hangs on them any more. What else hangs on them goes first, a batch a
 * table: one that many people used must not take a million rows along.
 */
export const sweepClients: Sweep = (db) =>
  tx(db, async (t) => {
    const gone = await many<{ id: string }>(
      t,
      sql`select id from clients c
          where deleted_at < now() - make_interval(days => ${KEPT_DAYS})
            -- offset 0: looked up one by one, instead of held against all rows that there are.
            and not exists (select from client_documents where client_id = c.id and refused_at is not null offset 0)
            and not exists (select from grants where client_id = c.id offset 0)
            and not exists (select from tokens where client_id = c.id offset 0)
          limit ${SWEEP_BATCH} for update skip locked`,
    )
    if (gone.length === 0) return 0
    const ids = gone.map(({ id }) => id)
    let taken = 0
    for (const table of MANY_OF_A_CLIENT) {
      const rows = await run(
        t,
        sql`delete from ${table} where ctid = any(array(
              select ctid from ${table} where client_id = any(${ids}) limit ${SWEEP_BATCH} for update))`,
      )
      taken += rows
      if (rows === SWEEP_BATCH) return taken
    }
    return taken + (await run(t, sql`delete from clients where id = any(${ids})`))
  })

// The tables that may hold any number of rows of one client. Of the others there are a few a client, which go along with it.
const MANY_OF_A_CLIENT = [
  fragment`consents`,
  fragment`client_refusals`,
  fragment`client_usage_days`,
  fragment`client_secrets`,
  fragment`client_invitations`,
]

// What stands in addresses of our own where the id of an app could stand, too. A test holds it against the routes.
const RESERVED_IDS = new Set(['new', 'away', 'blocked', 'clean-up', 'remove-all'])

/** @throws InvalidMetadata for what cannot be the id of a client */
export function checkClientId(id: string): void {
  if (!/^[A-Za-z0-9_-]{1,100}$/.test(id) || id.startsWith('valetkey')) {
    throw new InvalidMetadata('id', 'may hold letters, digits, _ and - only, e.g. photo-printer')
  }
  if (RESERVED_IDS.has(id)) throw new InvalidMetadata('id', 'is a word of our own addresses, try another')
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

/** Scopes of APIs by name. */
export type ApiScopes = ReadonlyMap<string, KnownScope>

/** Those of the names that are scopes of APIs. */
export async function apiScopes(db: Db, names: readonly string[]): Promise<ApiScopes> {
  const rows = await many<KnownScope>(
    db,
    // Shared: a scope is removed after the registrations that have looked at it, and the job finds it there.
    sql`select name, kinds from resource_scopes
        where name = any(${[...new Set(names)]}) and removed_at is null
        for share`,
  )
  return new Map(rows.map((scope) => [scope.name, scope]))
}

/**
 * Those of the scopes that a client which came through this door may have, in the order given: OpenID's, the APIs', and the
 * Admin API's where an administrator registers it.
 */
export async function knownScopes(db: Db, scopes: readonly string[], door: Registrar): Promise<KnownScope[]> {
  return allowedScopes(await apiScopes(db, scopes), scopes, door)
}

function allowedScopes(ofApis: ApiScopes, scopes: readonly string[], door: Registrar): KnownScope[] {
  return scopes.flatMap((name) => {
    const isOurs = door === 'admin' && isApiScope(name)
    return ofApis.get(name) ?? (isOpenidScope(name) || isOurs ? { name, kinds: null } : [])
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

async function insertClients(db: Db, query: ReturnType<typeof sql>): Promise<Client[]> {
  try {
    return await many<Client>(db, query)
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
  door: Registrar,
  type: ClientType | undefined,
): Promise<void> {
  mustBeAllowed(await apiScopes(db, scopes), scopes, door, type)
}

/** As {@link checkScopes}, where the scopes of APIs were read before. */
export function mustBeAllowed(
  ofApis: ApiScopes,
  scopes: readonly string[],
  door: Registrar,
  type: ClientType | undefined,
): void {
  const known = allowedScopes(ofApis, scopes, door)
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
  type: 'client.suspended' | 'client.resumed',
  client_id: string,
  by: Actor,
): Promise<boolean> {
  return tx(db, async (t) => {
    await checkClientEscalation(t, client_id, by)
    if (!(await run(t, query))) return false
    await record(t, { type, client_id }, by)
    return true
  })
}
