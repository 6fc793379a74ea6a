// How apps fare, over the Admin API: how much one is used, and which of its requests were rejected and why.
import { z } from 'zod'
import { countUsers } from '../../core/clients/search.ts'
import { getClient } from '../../core/clients/store.ts'
import { usageOfDays } from '../../core/clients/usage.ts'
import { REJECTIONS } from '../../core/diagnostics/messages.ts'
import { listRejectedRequests, MOST_KEPT, type RejectedRequestRow } from '../../core/diagnostics/store.ts'
import { type Operation, operation } from '../framework/operation.ts'
import { listOf, moment, named } from '../framework/schemas.ts'
import { clientParams } from './access.ts'

const DAYS = 30
const MOST_USERS = 50_000

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

/** Operations on the use of apps. */
export const usageOperations: readonly Operation[] = [
  operation({
    id: 'getClientUsage',
    method: 'GET',
    path: '/clients/{client_id}/usage',
    tag: 'Apps',
    scope: 'clients:read',
    summary: 'Read how much an app is used',
    params: clientParams,
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
    params: clientParams,
    success: {
      status: 200,
      description: `At most ${MOST_KEPT}.`,
      schema: listOf('RefusedRequestList', refusedRequest),
    },
    async run({ db, params }) {
      const { id } = await getClient(db, params.client_id)
      return { body: (await listRejectedRequests(db, id)).map(rejectedRequestView) }
    },
  }),
]

function rejectedRequestView({
  id,
  at,
  authenticated,
  endpoint,
  error,
  kind,
  expected,
  received,
}: RejectedRequestRow) {
  // A later version may have written a kind that this one has no message for.
  const { title, advice } = REJECTIONS[kind] ?? REJECTIONS.other
  return { id, at, attested: authenticated, endpoint, error, kind, title, advice, expected, came: received }
}
