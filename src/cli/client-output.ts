// Finding a client, and how it is printed.
import { isDocumentId } from '../core/clients/document-url.ts'
import { standingOf } from '../core/clients/kinds.ts'
import { hostOf } from '../core/clients/presentation.ts'
import { type Client, findClient } from '../core/clients/store.ts'
import type { Db } from '../db/pool.ts'
import { shownFields } from './client-fields.ts'
import { Refused } from './command.ts'
import { printable } from './table.ts'

/** A client by id. @throws Refused */
export async function getClient(db: Db, id: string): Promise<Client> {
  const client = await findClient(db, id)
  if (!client) throw missing(id)
  return client
}

/** There is no client with this id. */
export function missing(id: string): Refused {
  return new Refused(`no client has the id ${JSON.stringify(id)}`)
}

/** The name and id of a client in a sentence. */
export function called(client: Client): string {
  return `${printable(client.name)} (${client.id})`
}

/**
 * Who registered a client. For a dynamically registered one it adds the hosts that the client sends people to, the only thing about it
 * that it cannot make up.
 */
export function registeredBy({ id, registered_by, redirect_uris }: Client): string {
  if (registered_by !== 'itself') return registered_by
  if (isDocumentId(id)) return `itself (${hostOf(id)})`
  const hosts = new Set(redirect_uris.map((uri) => hostOf(uri)))
  return hosts.size > 0 ? `itself (${[...hosts].join(', ')})` : 'itself'
}

/** The fields of a client, as they are printed. */
export function fieldsOf(client: Client): [string, unknown][] {
  return [
    ['id', client.id],
    ['name', client.name],
    ['type', client.type],
    ['state', standingOf(client)],
    ...(client.state_reason ? ([['reason', client.state_reason]] as [string, unknown][]) : []),
    ['version', client.version],
    ['registered by', registeredBy(client)],
    ['verified', client.verified_at],
    ...shownFields(client),
    ...(client.resource ? ([['introspects', client.resource]] as [string, unknown][]) : []),
    ['created', client.created_at],
  ]
}
