// One app, as operations of the Admin API find it, change it and answer it, all with the same checks.
import { z } from 'zod'
import { isDocumentId } from '../../core/clients/document-url.ts'
import { findOwners } from '../../core/clients/owners.ts'
import { findChange } from '../../core/clients/pending-changes.ts'
import { type Client, getClient, lockClient } from '../../core/clients/store.ts'
import { findDocument } from '../../core/registration/metadata-documents.ts'
import { type Db, tx } from '../../db/pool.ts'
import type { Answer, Input } from '../framework/operation.ts'
import { clientId } from '../framework/schemas.ts'
import * as schemas from './schemas.ts'

/** What names an app in a path. */
export const clientParams = z.object({ client_id: clientId })

/** The reason of a rejection. */
export const reason = z.strictObject({
  reason: z.string().min(1).max(1000).meta({ description: 'In words for its owners.' }),
})

/** The answer of operations that change an app. */
export const CLIENT_ANSWER = {
  status: 200,
  description: 'The app as it stands now.',
  schema: schemas.client,
  etag: true,
} as const

/** The part of a request that {@link withClient} reads. */
export type OfClient = Pick<Input<{ client_id: string }, unknown, unknown>, 'db' | 'params' | 'mustMatch'>

/** An app as it is answered. */
export async function clientAnswer(db: Db, client: Client) {
  const owners = await findOwners(db, client.id)
  const found = await findChange(db, client.id)
  const document = isDocumentId(client.id) ? await findDocument(db, client.id) : undefined
  return {
    body: schemas.clientView(client, { owners, change: found, document }),
    etag: `"${client.version}"`,
  }
}

/**
 * Does something to an app, while its row is locked, if it has the version of If-Match.
 * @throws NotFound, HttpError 412
 */
export function withClient(
  input: OfClient,
  work: (t: Db, client: Client) => Promise<Answer>,
): Promise<Answer> {
  return tx(input.db, async (t) => {
    const client = await getClient(t, input.params.client_id, lockClient)
    input.mustMatch(`"${client.version}"`)
    return work(t, client)
  })
}

/** As {@link withClient}, and answers with the changed app. */
export function changeClient(
  input: OfClient,
  work: (t: Db, client: Client) => Promise<unknown>,
): Promise<Answer> {
  return withClient(input, async (t, client) => {
    await work(t, client)
    return clientAnswer(t, await getClient(t, client.id))
  })
}
