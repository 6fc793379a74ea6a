// Deleted apps that may not come back, over the Admin API: the id of each is the address of its metadata document.
import { z } from 'zod'
import { pageOf } from '../../base/page.ts'
import { listBlockedDocuments, unblockDocument } from '../../core/registration/metadata-documents.ts'
import { NotFound } from '../../http/errors.ts'
import { type Operation, operation } from '../framework/operation.ts'
import { clientId, cursor, listOf, listQuery, moment, named } from '../framework/schemas.ts'
import { clientParams } from './access.ts'

const blockedClient = named(
  'BlockedClient',
  z.strictObject({ id: clientId, name: z.string(), deleted_at: moment }),
)

/** Operations on blocked apps. */
export const blockedClientOperations: readonly Operation[] = [
  operation({
    id: 'listBlockedClients',
    method: 'GET',
    path: '/blocked-clients',
    tag: 'Apps',
    scope: 'clients:read',
    summary: 'List the deleted apps that may not come back, the last one first',
    description: 'The id of each is the address of a document, which is not read any more.',
    query: listQuery({}, cursor.optional()),
    success: {
      status: 200,
      description: 'A page of them.',
      schema: listOf('BlockedClientList', blockedClient),
    },
    async run({ db, query: { limit, after } }) {
      const found = await listBlockedDocuments(db, { limit: limit + 1, after })
      const { rows, next } = pageOf(found, limit, (row) => row.cursor)
      const body = rows.map(({ client_id: id, name, refused_at: deleted_at }) => ({ id, name, deleted_at }))
      return { body, next }
    },
  }),
  operation({
    id: 'unblockClient',
    method: 'DELETE',
    path: '/blocked-clients/{client_id}',
    tag: 'Apps',
    scope: 'clients:write',
    summary: 'Let a deleted app come back when somebody uses it',
    description: 'As one that nobody knows. What people allowed before is ended first, by a job.',
    params: clientParams,
    success: { status: 204, description: 'It may come back.' },
    async run({ db, params, by }) {
      const changed = await unblockDocument(db, params.client_id, by)
      if (!changed) throw new NotFound('There is no such app, or it may come back already.')
      return {}
    },
  }),
]
