// Reading client registrations. create.ts stores new ones, update.ts changes them, lifecycle.ts suspends and deletes them.
import { CURSOR, isAfter, type Listed } from '../../db/cursor.ts'
import { type Db, fragment, many, maybe, sql } from '../../db/pool.ts'
import { NotFound } from '../../http/errors.ts'
import { CLIENT_COLUMNS } from './columns.ts'
import type { ClientMetadata, Registrar } from './fields.ts'
import type { ClientState, ClientType } from './kinds.ts'

/** A registered client. */
export interface Client extends Omit<ClientMetadata, 'type'> {
  id: string
  type: ClientType
  verified_at: Date | null
  /** When it ceased to be verified, or first-party, because the last owner that an administrator vouched for has left. */
  verification_fell_at: Date | null
  /** Who registered it. */
  registered_by: Registrar
  state: ClientState
  /** Why it was rejected, in words for its owners. */
  state_reason: string
  /** Grows with every change. */
  version: number
  /** When it last got a token, to the minute. */
  last_used_at: Date | null
  /** The API whose tokens a resource_server may introspect. */
  resource: string | null
  created_at: Date
  suspended_at: Date | null
}

/** A client by id, also a suspended one, unless it is deleted. */
export function findClient(db: Db, id: string): Promise<Client | undefined> {
  return maybe<Client>(db, sql`select ${CLIENT_COLUMNS} from clients where id = ${id} and deleted_at is null`)
}

/**
 * The app that an address names; the credentials of an API are no app. @param find `lockClient` in a transaction that changes it
 * @throws NotFound
 */
export async function getClient(db: Db, id: string, find = findClient): Promise<Client> {
  const client = await find(db, id)
  if (!client || client.type === 'resource_server') throw new NotFound('There is no such app.')
  return client
}

/** Those of the clients that exist, by id, as {@link findClient}. */
export async function findClients(db: Db, ids: string[]): Promise<Map<string, Client>> {
  const rows = await many<Client>(
    db,
    sql`select ${CLIENT_COLUMNS} from clients where id = any(${ids}) and deleted_at is null`,
  )
  return new Map(rows.map((client) => [client.id, client]))
}

/** As {@link findClient}, and locks it until the end of the transaction. */
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
  return many<Listed<Client>>(
    db,
    sql`select ${CLIENT_COLUMNS}, ${CURSOR} from clients
        where deleted_at is null
          and ${isAfter(fragment`clients`, page.after)}
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
