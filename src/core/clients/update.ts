// Changing a registration. Fields that a change does not name stay, metadata.ts checks the result as a whole, and a version keeps callers from
// overwriting what they have not seen.
import type { Actor, Change } from '../../base/audit-events.ts'
import { type Db, many, sql, tx } from '../../db/pool.ts'
import { recordAll } from '../audit/store.ts'
import { checkClientsEscalation } from '../escalation/clients.ts'
import { vouchForOwners } from '../users/vouching.ts'
import { APP_COLUMNS, CLIENT_COLUMNS, TAKE_FIELDS } from './columns.ts'
import { type ClientInput, type ClientMetadata, FIELD_NAMES, impersonal, pickFields } from './fields.ts'
import { InvalidMetadata, loosenedBy, validMetadata } from './metadata.ts'
import { apiScopes, mustBeAllowed } from './scopes.ts'
import type { Client } from './store.ts'

/** Somebody else has changed the registration since the caller read it. */
export class VersionConflict extends Error {
  override name = 'VersionConflict'
  /** The present registration. */
  readonly client: Client

  constructor(client: Client) {
    super(`the app was changed meanwhile; it is at version ${client.version} now`)
    this.client = client
  }
}

/** A change of a registration. The kind cannot change, because it decides what the client can keep secret. */
export type ClientChange = Partial<Omit<ClientInput, 'type'>>

/**
 * Changes the fields that `change` names, and records the old and new values.
 * @param version the version that the caller has seen; absent: any. @returns undefined when there is no such app
 * @throws InvalidMetadata, VersionConflict, LesserPower
 */
export async function updateClient(
  db: Db,
  id: string,
  change: ClientChange,
  by: Actor,
  version?: number,
): Promise<Client | undefined> {
  const changed = await updateClients(db, [{ id, change, version }], by)
  return changed.get(id)
}

/** The change of one of several apps, as for {@link updateClient}. */
export interface Edit {
  id: string
  change: ClientChange
  version?: number | undefined
}

/**
 * As {@link updateClient}, for several apps, all or none. The number of statements does not depend on the number of apps.
 * @returns the apps by id, including unchanged ones, without those that do not exist
 */
export function updateClients(db: Db, edits: Edit[], by: Actor): Promise<Map<string, Client>> {
  return tx(db, async (t) => {
    const ids = edits.map(({ id }) => id)
    await checkClientsEscalation(
      t,
      ids,
      by,
      edits.flatMap(({ change }) => change.scopes ?? []),
    )
    const rows = await many<Client>(
      t,
      sql`select ${CLIENT_COLUMNS} from clients where id = any(${ids}) and deleted_at is null order by id for update`,
    )
    const clients = new Map(rows.map((client) => [client.id, client]))
    const plans = edits.flatMap(({ id, change, version }) => {
      const client = clients.get(id)
      if (!client) return []
      if (version !== undefined && version !== client.version) throw new VersionConflict(client)
      const { metadata, changes } = planChange(client, change)
      return changes.length > 0 ? [{ client, metadata, changes }] : []
    })
    if (plans.length === 0) return clients
    const rescoped = plans.filter(({ changes }) => changes.some(({ field }) => field === 'scopes'))
    if (rescoped.length > 0) {
      const ofApis = await apiScopes(
        t,
        rescoped.flatMap(({ metadata }) => metadata.scopes),
      )
      for (const { client, metadata: m } of rescoped)
        mustBeAllowed(ofApis, m.scopes, client.registered_by, m.type)
    }
    for (const changed of await write(t, plans)) clients.set(changed.id, changed)
    await recordAll(
      t,
      plans.map((plan) => ({
        type: 'client.changed',
        client_id: plan.client.id,
        fields: plan.changes.map(({ field }) => field),
        changes: impersonal(plan.changes),
        loosened: loosenedBy(plan.metadata, plan.client),
      })),
      by,
    )
    const vouched = plans
      .filter(({ client, metadata }) => loosenedBy(metadata, client).includes('consent'))
      .map(({ client }) => client.id)
    if (vouched.length > 0) await vouchForOwners(t, ...vouched)
    return clients
  })
}

interface Plan {
  client: Client
  metadata: ClientMetadata
  changes: Change[]
}

function write(t: Db, plans: Plan[]): Promise<Client[]> {
  const ids = plans.map(({ client }) => client.id)
  const rows = JSON.stringify(plans.map(({ client: { id }, metadata }) => ({ id, ...metadata })))
  return many<Client>(
    t,
    sql`with changed as (
          update clients c
          set ${TAKE_FIELDS}, version = c.version + 1
          from json_to_recordset(${rows}) as app (${APP_COLUMNS})
          where c.id = app.id and c.id = any(${ids})
          returning c.*
        )
        select ${CLIENT_COLUMNS} from changed`,
  )
}

/** The registration after a change, and the differences. It does not check scopes. @throws InvalidMetadata */
export function planChange(
  client: Client,
  change: ClientChange,
): { metadata: ClientMetadata; changes: Change[] } {
  const { type } = client
  if (type === 'resource_server') {
    throw new InvalidMetadata('type', 'these are the credentials of an API; change the API instead')
  }
  const metadata = validMetadata({
    ...pickFields(client, FIELD_NAMES),
    ...pickFields(change, FIELD_NAMES),
    type,
  })
  return { metadata, changes: differences<ClientMetadata>({ ...client, type }, metadata, FIELD_NAMES) }
}

/** The fields that differ, each with its old and new value. */
export function differences<Values extends object>(
  before: Values,
  after: Values,
  names: readonly (keyof Values & string)[],
): Change[] {
  return names
    .filter((field) => JSON.stringify(before[field]) !== JSON.stringify(after[field]))
    .map((field) => ({ field, from: before[field], to: after[field] }))
}
