// Storing new clients, with the secret of those that can keep one. Rules stand in metadata.ts and scopes.ts.
import type { Actor } from '../../base/audit-events.ts'
import { isUniqueViolation } from '../../db/errors.ts'
import { type Db, many, sql, tx } from '../../db/pool.ts'
import { record, recordAll } from '../audit/store.ts'
import { checkScopeEscalation } from '../escalation/users.ts'
import { APP_COLUMNS, CLIENT_COLUMNS, FIELD_COLUMNS } from './columns.ts'
import type { ClientInput, ClientMetadata } from './fields.ts'
import { checkClientId, newClientId } from './ids.ts'
import { isConfidential } from './kinds.ts'
import { InvalidMetadata, loosenedBy, validMetadata } from './metadata.ts'
import { apiScopes, mustBeAllowed } from './scopes.ts'
import { addSecret, addSecrets } from './secrets.ts'
import type { Client } from './store.ts'

/** A new client, and its secret if it can keep one. The secret is never shown again. */
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

/** As {@link createClient}, for several, all or none, in the given order. The number of statements does not depend on the number of clients. */
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
        loosened: loosenedBy(client),
      })),
      by,
    )
    return made
  })
}

/** Who registers an app, and its first state. */
type Origin = Pick<Client, 'registered_by' | 'state'>

/**
 * Stores an app whose registration was checked, with a secret if it can keep one. The caller records the audit event.
 */
export async function insertApp(db: Db, id: string, m: ClientMetadata, origin: Origin): Promise<MadeClient> {
  const [made] = await insertApps(db, [{ id, m }], origin)
  return made!
}

async function insertApps(
  db: Db,
  apps: { id: string; m: ClientMetadata }[],
  { registered_by, state }: Origin,
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

async function insertClients(db: Db, query: ReturnType<typeof sql>): Promise<Client[]> {
  try {
    return await many<Client>(db, query)
  } catch (error) {
    if (isUniqueViolation(error))
      throw new InvalidMetadata('id', 'is taken by another client; choose another, e.g. photo-printer-2')
    throw error
  }
}
