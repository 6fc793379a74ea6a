// Who looks after an app, and who may use it while it waits for a decision.
import { type Db, many, maybe, sql } from '../db/pool.ts'
import { NotFound } from '../web/errors.ts'
import { type Client, findClient } from './store.ts'

/** Somebody who looks after an app. */
export interface Owner {
  id: string
  name: string
  email: string
}

/** The owners of an app, the first one first. */
export function findOwners(db: Db, client_id: string): Promise<Owner[]> {
  return many<Owner>(
    db,
    sql`select u.id, u.name, u.email
        from client_owners o
        join users u on u.id = o.user_id
        where o.client_id = ${client_id}
        order by o.created_at, u.id`,
  )
}

/** An app that a person looks after. @throws NotFound for one that is somebody else's, as if there were none. */
export async function getOwned(db: Db, client_id: string, user_id: string): Promise<Client> {
  const [client, owner] = await Promise.all([
    findClient(db, client_id),
    maybe(db, sql`select from client_owners where client_id = ${client_id} and user_id = ${user_id}`),
  ])
  if (!client || !owner || client.type === 'resource_server') throw new NotFound('There is no such app.')
  return client
}

/** Whether a person may use an app: a pending one is for its owners alone, a rejected one for nobody. */
export async function mayUse(
  db: Db,
  client: Pick<Client, 'id' | 'state'>,
  user_id: string,
): Promise<boolean> {
  if (client.state !== 'pending') return client.state === 'active'
  const owner = await maybe(
    db,
    sql`select from client_owners where client_id = ${client.id} and user_id = ${user_id}`,
  )
  return owner !== undefined
}

/** Whether a person looks after an app. */
export async function isOwner(db: Db, client_id: string, user_id: string): Promise<boolean> {
  const owner = await maybe(
    db,
    sql`select from client_owners where client_id = ${client_id} and user_id = ${user_id}`,
  )
  return owner !== undefined
}
