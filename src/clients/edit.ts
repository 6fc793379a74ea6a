// Changing a registration: what is not said stays, the rules of metadata.ts hold for the whole, and nobody overwrites what
// they have not seen.
import type { Actor, Change } from '../audit/events.ts'
import { record } from '../audit/store.ts'
import { type Db, maybe, one, sql, tx } from '../db/pool.ts'
import { type ClientInput, type ClientMetadata, InvalidMetadata, validMetadata } from './metadata.ts'
import { CLIENT_COLUMNS, type Client, checkScopes } from './store.ts'

/** Somebody else has changed the registration meanwhile. */
export class VersionConflict extends Error {
  override name = 'VersionConflict'
  /** The registration as it stands now. */
  readonly client: Client

  constructor(client: Client) {
    super(`the app was changed meanwhile; it is at version ${client.version} now`)
    this.client = client
  }
}

/** What may be changed; a client's kind may not: it decides what it can keep secret. */
export type ClientChange = Partial<Omit<ClientInput, 'type'>>

/**
 * Changes what `change` names and leaves the rest. What was changed is recorded with its old and new value.
 * @param version what the caller has seen; absent: whatever stands now. @returns undefined when there is no such app.
 * @throws InvalidMetadata, VersionConflict
 */
export function updateClient(
  db: Db,
  id: string,
  change: ClientChange,
  by: Actor,
  version?: number,
): Promise<Client | undefined> {
  return tx(db, async (t) => {
    const client = await maybe<Client>(
      t,
      sql`select ${CLIENT_COLUMNS} from clients where id = ${id} and deleted_at is null for update`,
    )
    if (!client) return undefined
    if (version !== undefined && version !== client.version) throw new VersionConflict(client)
    const { metadata: m, changes } = planChange(client, change)
    if (changes.length === 0) return client
    if (changes.some(({ field }) => field === 'scopes')) {
      await checkScopes(t, m.scopes, client.registered_by, m.type)
    }
    const changed = await one<Client>(
      t,
      sql`update clients
          set name = ${m.name}, redirect_uris = ${m.redirect_uris},
              post_logout_redirect_uris = ${m.post_logout_redirect_uris}, scopes = ${m.scopes},
              homepage_uri = ${m.homepage_uri}, logo_uri = ${m.logo_uri}, tos_uri = ${m.tos_uri},
              policy_uri = ${m.policy_uri}, description = ${m.description}, first_party = ${m.first_party},
              pkce_required = ${m.pkce_required}, id_token_signed_response_alg = ${m.id_token_signed_response_alg},
              version = version + 1
          where id = ${id}
          returning ${CLIENT_COLUMNS}`,
    )
    const fields = changes.map(({ field }) => field)
    const loosened = [
      ...(client.pkce_required && !m.pkce_required ? ['pkce'] : []),
      ...(!client.first_party && m.first_party ? ['consent'] : []),
    ]
    await record(t, { type: 'client.changed', client_id: id, fields, changes, loosened }, by)
    return changed
  })
}

/** What an app would be after a change, and what would be another. It looks at no scope. @throws InvalidMetadata */
export function planChange(
  client: Client,
  change: ClientChange,
): { metadata: ClientMetadata; changes: Change[] } {
  const { type } = client
  if (type === 'resource_server') {
    throw new InvalidMetadata('type', 'these are the credentials of an API; change the API instead')
  }
  const metadata = validMetadata({ ...metadataOf(client), ...given(change), type })
  return { metadata, changes: differences(client, metadata) }
}

/** What of a registration becomes another, field by field. */
function differences(before: Client, after: ClientMetadata): Change[] {
  return FIELDS.filter((field) => JSON.stringify(before[field]) !== JSON.stringify(after[field])).map(
    (field) => ({
      field,
      from: before[field],
      to: after[field],
    }),
  )
}

/** What a change may name. */
export const FIELDS = [
  'name',
  'description',
  'homepage_uri',
  'logo_uri',
  'policy_uri',
  'tos_uri',
  'redirect_uris',
  'post_logout_redirect_uris',
  'scopes',
  'first_party',
  'pkce_required',
  'id_token_signed_response_alg',
] as const satisfies (keyof ClientMetadata)[]

function metadataOf(client: Client): Omit<ClientMetadata, 'type'> {
  const entries = FIELDS.map((field) => [field, client[field]])
  return Object.fromEntries(entries) as Omit<ClientMetadata, 'type'>
}

// Only the fields above: whatever else a caller hands in is not looked at.
function given(change: ClientChange): ClientChange {
  const entries = FIELDS.filter((field) => change[field] !== undefined).map((field) => [field, change[field]])
  return Object.fromEntries(entries) as ClientChange
}
