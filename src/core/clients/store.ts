// Reading client registrations. create.ts stores new ones, update.ts changes them, lifecycle.ts suspends and deletes them.
import { CURSOR, type Listed, placeBehind } from '../../db/cursor.ts'
import { type Db, many, maybe, sql } from '../../db/pool.ts'
import { CLIENT_COLUMNS } from './columns.ts'
import type { ClientMetadata, Registrar } from './fields.ts'
import type { ClientType } from './kinds.ts'

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
