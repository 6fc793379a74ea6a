// What administrators decide about apps, over the Admin API: approving, rejecting, verifying, suspending them, ending their access.
import { resumeClient, suspendClient } from '../../core/clients/lifecycle.ts'
import { approveClient, rejectClient, unverifyClient, verifyClient } from '../../core/clients/review.ts'
import { getClient } from '../../core/clients/store.ts'
import { endAllAccess } from '../../core/grants/revoke.ts'
import type { Db } from '../../db/pool.ts'
import { type Input, type Operation, operation } from '../framework/operation.ts'
import { begun, job } from '../framework/schemas.ts'
import { CLIENT_ANSWER, changeClient, clientParams, reason } from './access.ts'

/** Operations on decisions about apps. */
export const decisionOperations: readonly Operation[] = [
  decision(
    'PUT',
    'approval',
    'approveClient',
    'Approve an app that waits or was rejected',
    approveClient,
    'seen',
  ),
  decision(
    'PUT',
    'verification',
    'verifyClient',
    'Say that somebody knows who is behind it',
    verifyClient,
    'seen',
  ),
  decision('DELETE', 'verification', 'unverifyClient', 'Take that back', unverifyClient),
  decision('PUT', 'suspension', 'suspendClient', 'Suspend: every token of it is dead at once', suspendClient),
  decision('DELETE', 'suspension', 'resumeClient', 'Let a suspended app work again', resumeClient),
  operation({
    id: 'rejectClient',
    method: 'PUT',
    path: '/clients/{client_id}/rejection',
    tag: 'Apps',
    scope: 'clients:write',
    summary: 'Reject an app that waits',
    description: 'An app that does not wait stays as it is.',
    params: clientParams,
    body: reason,
    ifMatch: 'optional',
    success: CLIENT_ANSWER,
    run: (input) => changeClient(input, (t, { id }) => rejectClient(t, id, input.body.reason, input.by)),
  }),
  operation({
    id: 'revokeClientConsents',
    method: 'DELETE',
    path: '/clients/{client_id}/consents',
    tag: 'Apps',
    scope: 'grants:write',
    summary: 'End all access of an app',
    description: 'In the background: everybody who uses it has to allow it again.',
    params: clientParams,
    success: { status: 202, description: 'It has begun.', schema: job, location: true },
    async run({ db, params, by }) {
      const { id } = await getClient(db, params.client_id)
      return begun(await endAllAccess(db, { client_id: id }, by))
    },
  }),
]

/** A decision without a body. Repeating it changes nothing. */
function decision(
  method: 'PUT' | 'DELETE',
  name: string,
  id: string,
  summary: string,
  decide: (t: Db, id: string, by: Input<unknown, unknown, unknown>['by']) => Promise<boolean>,
  ifMatch: Operation['ifMatch'] = 'optional',
): Operation {
  return operation({
    id,
    method,
    path: `/clients/{client_id}/${name}`,
    tag: 'Apps',
    scope: 'clients:write',
    summary,
    params: clientParams,
    ifMatch,
    success: CLIENT_ANSWER,
    run: (input) => changeClient(input, (t, client) => decide(t, client.id, input.by)),
  })
}
