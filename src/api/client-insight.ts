// How apps fare, over the Admin API: how much one is used and why its requests were refused, those that nobody uses, and
// those that may not come back.
import { z } from 'zod'
import { countUsers } from '../core/clients/search.ts'
import { usageOfDays } from '../core/clients/usage.ts'
import { REJECTIONS } from '../core/diagnostics/messages.ts'
import { listRejectedRequests, MOST_KEPT, type RejectedRequestRow } from '../core/diagnostics/store.ts'
import { cleanUpApps, findUnused, MOST_UNUSED } from '../core/registration/cleanup.ts'
import { listBlockedDocuments, unblockDocument } from '../core/registration/metadata-documents.ts'
import { NotFound } from '../http/errors.ts'
import { getClient, oneApp } from './client-access.ts'
import { type Operation, operation } from './framework/operation.ts'
import {
  begun,
  clientId,
  cursor,
  job,
  listOf,
  listQuery,
  moment,
  named,
  pageOf,
} from './framework/schemas.ts'

const DAYS = 30
const MOST_USERS = 50_000
const MOST_SHOWN = 100

const usage = named(
  'Usage',
  z.strictObject({
    users: z.int().meta({ description: `People who allow it; at most ${MOST_USERS} are counted.` }),
    days: z.array(
      z.strictObject({
        day: z.iso.date().meta({ description: 'In UTC.' }),
        tokens: z.int().meta({ description: 'Times it was given tokens.' }),
        refused: z.int().meta({ description: 'Requests in its name that were refused.' }),
      }),
    ),
  }),
)
const refusedRequest = named(
  'RefusedRequest',
  z.strictObject({
    id: z.string(),
    at: moment,
    attested: z.boolean().meta({ description: 'Whoever sent it proved to be the app.' }),
    endpoint: z.string(),
    error: z.string().meta({ description: 'What was answered.' }),
    kind: z.string(),
    title: z.string().meta({ description: 'What went wrong, in words.' }),
    advice: z.string().meta({ description: 'How to fix it.' }),
    expected: z.string(),
    came: z.string().meta({ description: 'Without what must not be seen.' }),
  }),
)
const unused = named(
  'UnusedClients',
  z.strictObject({
    count: z.int().meta({ description: `At most ${MOST_UNUSED} are counted.` }),
    clients: z
      .array(
        z.strictObject({
          id: clientId,
          name: z.string(),
          redirect_uris: z.array(z.string()),
          unused_since: moment,
        }),
      )
      .meta({ description: `${MOST_SHOWN} of them at most.` }),
  }),
)
const blockedClient = named(
  'BlockedClient',
  z.strictObject({ id: clientId, name: z.string(), deleted_at: moment }),
)
const unusedFor = z.strictObject({
  days: z
    .string()
    .regex(/^[1-9]\d{0,3}$/, 'must be a whole number from 1 to 3650, e.g. 30')
    .transform(Number)
    .refine((days) => days <= 3650, 'must be a whole number from 1 to 3650, e.g. 30')
    .meta({ description: 'Nobody used it for so many days, from 1 to 3650.', examples: ['30'] }),
})

/** Operations on the use of apps, and on those that go and stay away. */
export function insightOperations(): Operation[] {
  return [
    operation({
      id: 'getClientUsage',
      method: 'GET',
      path: '/clients/{client_id}/usage',
      tag: 'Apps',
      scope: 'clients:read',
      summary: 'Read how much an app is used',
      params: oneApp,
      success: { status: 200, description: `Its last ${DAYS} days, today last.`, schema: usage },
      async run({ db, params }) {
        const { id } = await getClient(db, params.client_id)
        const [users, days] = await Promise.all([countUsers(db, id, MOST_USERS), usageOfDays(db, id, DAYS)])
        return { body: { users, days } }
      },
    }),
    operation({
      id: 'listRefusedRequests',
      method: 'GET',
      path: '/clients/{client_id}/refused-requests',
      tag: 'Apps',
      scope: 'clients:read',
      summary: 'List the requests of an app that were refused, newest first, and how to fix them',
      params: oneApp,
      success: {
        status: 200,
        description: `At most ${MOST_KEPT}.`,
        schema: listOf('RefusedRequestList', refusedRequest),
      },
      async run({ db, params }) {
        const { id } = await getClient(db, params.client_id)
        return { body: (await listRejectedRequests(db, id)).map(refusedView) }
      },
    }),
    operation({
      id: 'getUnusedClients',
      method: 'GET',
      path: '/unused-clients',
      tag: 'Apps',
      scope: 'clients:read',
      summary: 'See which apps a clean-up would delete',
      description: 'Those that registered themselves, are not verified, and that nobody uses.',
      query: unusedFor,
      success: { status: 200, description: 'How many, and some of them.', schema: unused },
      async run({ db, query: { days } }) {
        const found = await findUnused(db, days)
        const clients = found.slice(0, MOST_SHOWN).map(({ id, name, redirect_uris, unused_since }) => {
          return { id, name, redirect_uris, unused_since }
        })
        return { body: { count: found.length, clients } }
      },
    }),
    operation({
      id: 'deleteUnusedClients',
      method: 'DELETE',
      path: '/unused-clients',
      tag: 'Apps',
      scope: 'clients:write',
      summary: 'Delete the apps that registered themselves and that nobody uses',
      description:
        'In the background. Each is looked at once more when its turn comes. Its job is read with `grants:read`.',
      query: unusedFor,
      success: { status: 202, description: 'It has begun.', schema: job, location: true },
      run: async ({ db, query: { days }, by }) => begun(await cleanUpApps(db, days, by)),
    }),
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
      params: oneApp,
      success: { status: 204, description: 'It may come back.' },
      async run({ db, params, by }) {
        const changed = await unblockDocument(db, params.client_id, by)
        if (!changed) throw new NotFound('There is no such app, or it may come back already.')
        return {}
      },
    }),
  ]
}

function refusedView({
  id,
  at,
  authenticated,
  endpoint,
  error,
  kind,
  expected,
  received,
}: RejectedRequestRow) {
  // A kind that a later version wrote: its words are not here.
  const { title, advice } = REJECTIONS[kind] ?? REJECTIONS.other
  return { id, at, attested: authenticated, endpoint, error, kind, title, advice, expected, came: received }
}
