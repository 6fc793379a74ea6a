// Changes of approved apps over the Admin API: listing those that wait, and deciding about them. Each change has an id, so that nobody
// approves a change that they have not seen.
import { z } from 'zod'
import { pageOf } from '../../base/page.ts'
import { InvalidMetadata } from '../../core/clients/metadata.ts'
import {
  approveChange,
  ChangeOutdated,
  findChange,
  listWaitingChanges,
  rejectChange,
  type WaitingChange,
} from '../../core/clients/pending-changes.ts'
import { getClient } from '../../core/clients/store.ts'
import type { Db } from '../../db/pool.ts'
import { HttpError, NotFound } from '../../http/errors.ts'
import { type Operation, operation } from '../framework/operation.ts'
import { clientId, cursor, listOf, listQuery, moment, named, uuid } from '../framework/schemas.ts'
import { CLIENT_ANSWER, changeClient, clientParams, reason } from './access.ts'

const changeFields = {
  id: uuid.meta({ description: 'Another one with every request of its owners.' }),
  client_id: clientId,
  requested_by: z.string().nullable().meta({ description: 'An email address; null when they are gone.' }),
  created_at: moment,
}
const changeSummary = named('ChangeSummary', z.strictObject({ ...changeFields, client_name: z.string() }))
const changeSchema = named(
  'Change',
  z.strictObject({
    ...changeFields,
    changes: z.array(
      z.strictObject({ field: z.string(), from: z.unknown(), to: z.unknown() }).meta({
        description: 'A member of the app: what it was, and what it would be.',
      }),
    ),
  }),
)
const changeParams = clientParams.extend({ change_id: uuid })

/** Operations on changes of approved apps. */
export const changeOperations: readonly Operation[] = [
  operation({
    id: 'listChanges',
    method: 'GET',
    path: '/changes',
    tag: 'Apps',
    scope: 'clients:read',
    summary: 'List the changes of approved apps that wait for a decision, the longest first',
    query: listQuery({}, cursor.optional()),
    success: { status: 200, description: 'A page of changes.', schema: listOf('ChangeList', changeSummary) },
    async run({ db, query: { limit, after } }) {
      const found = await listWaitingChanges(db, { limit: limit + 1, after })
      const { rows, next } = pageOf(found, limit, (row) => row.cursor)
      const body = rows.map(({ id, client_id, name: client_name, requested_by, created_at }) => {
        return { id, client_id, client_name, requested_by, created_at }
      })
      return { body, next }
    },
  }),
  operation({
    id: 'getChange',
    method: 'GET',
    path: '/clients/{client_id}/changes/{change_id}',
    tag: 'Apps',
    scope: 'clients:read',
    summary: 'Read a change that waits: what is, and what would be',
    params: changeParams,
    success: { status: 200, description: 'The change.', schema: changeSchema },
    async run({ db, params }) {
      const { id: of } = await getClient(db, params.client_id)
      const { id, client_id, requested_by, created_at, changes } = await getChange(db, of, params.change_id)
      return { body: { id, client_id, requested_by, created_at, changes: changes.map(fieldView) } }
    },
  }),
  operation({
    id: 'approveChange',
    method: 'PUT',
    path: '/clients/{client_id}/changes/{change_id}/approval',
    tag: 'Apps',
    scope: 'clients:write',
    summary: 'Approve a change: it holds at once',
    params: changeParams,
    ifMatch: 'optional',
    success: CLIENT_ANSWER,
    conflict: 'The app was changed since it was asked for, or the rules do not allow it any more.',
    run: (input) =>
      changeClient(input, async (t, { id }) => {
        const asked = await getChange(t, id, input.params.change_id)
        try {
          await approveChange(t, id, asked.id, input.by)
        } catch (error) {
          throw asConflict(error)
        }
      }),
  }),
  operation({
    id: 'rejectChange',
    method: 'PUT',
    path: '/clients/{client_id}/changes/{change_id}/rejection',
    tag: 'Apps',
    scope: 'clients:write',
    summary: 'Reject a change: the app goes on as it is, and its owners read why',
    params: changeParams,
    body: reason,
    ifMatch: 'optional',
    success: CLIENT_ANSWER,
    run: (input) =>
      changeClient(input, async (t, { id }) => {
        const asked = await getChange(t, id, input.params.change_id)
        await rejectChange(t, id, asked.id, input.body.reason, input.by)
      }),
  }),
]

async function getChange(db: Db, client_id: string, id: string): Promise<WaitingChange> {
  const found = await findChange(db, client_id)
  if (!found || found.rejected_at || found.id !== id.toLowerCase()) {
    throw new NotFound('No such change waits. Its owners may have changed or withdrawn what they ask for.')
  }
  return found
}

function fieldView({ field, from, to }: WaitingChange['changes'][number]) {
  return { field, from: from ?? null, to: to ?? null }
}

// The request is valid, but the app has changed since.
function asConflict(error: unknown): unknown {
  if (error instanceof ChangeOutdated) {
    const words = `The app was changed since this was asked for: ${error.fields.join(', ')}. Reject it; its owners can ask anew.`
    return new HttpError(409, 'change_outdated', words)
  }
  if (error instanceof InvalidMetadata) {
    return new HttpError(409, 'change_not_allowed', `The rules do not allow it: ${error.message}.`)
  }
  return error
}
