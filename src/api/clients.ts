// Apps over the Admin API: what the console can do, by the same store functions.
import { approveClient, rejectClient, unverifyClient, verifyClient } from '../core/clients/review.ts'
import { searchClients } from '../core/clients/search.ts'
import { createClient, deleteClient, resumeClient, suspendClient } from '../core/clients/store.ts'
import { updateClient } from '../core/clients/update.ts'
import { endAllAccess } from '../core/grants/revoke.ts'
import type { Db } from '../db/pool.ts'
import { change, getClient, locked, oneApp as one, reason, SHOWN, shown } from './client-access.ts'
import * as json from './client-schemas.ts'
import { type Input, type Operation, operation } from './framework/operation.ts'
import { begun, job, pageOf } from './framework/schemas.ts'

const DAY_MS = 86_400_000

/** Operations on apps. */
export function clientOperations(): Operation[] {
  return [...registrationOperations(), ...decisionOperations()]
}

function registrationOperations(): Operation[] {
  return [
    operation({
      id: 'listClients',
      method: 'GET',
      path: '/clients',
      tag: 'Apps',
      scope: 'clients:read',
      summary: 'Find apps, newest first',
      query: json.clientQuery,
      success: { status: 200, description: 'A page of apps.', schema: json.clientList },
      async run({ db, query }) {
        const { q: text, unused_days, limit, ...filter } = query
        const unused_since =
          unused_days === undefined ? undefined : new Date(Date.now() - unused_days * DAY_MS)
        const found = await searchClients(db, { ...filter, text, unused_since, limit: limit + 1 })
        const { rows, next } = pageOf(found, limit, ({ cursor }) => cursor)
        return { body: rows.map(json.summaryView), next }
      },
    }),
    operation({
      id: 'createClient',
      method: 'POST',
      path: '/clients',
      tag: 'Apps',
      scope: 'clients:write',
      summary: 'Register an app',
      description:
        'It may be used at once. Scopes of this API can be given by a token that holds them itself.',
      body: json.newClient,
      success: {
        status: 201,
        description: 'Registered; its secret is shown this once.',
        schema: json.madeClient,
        secretMembers: ['client_secret'],
        etag: true,
        location: true,
      },
      async run({ db, body, by }) {
        const { client, secret } = await createClient(db, body, by)
        const made = await shown(db, client)
        const location = `/clients/${client.id}`
        return { ...made, body: { ...made.body, client_secret: secret ?? null }, location }
      },
    }),
    operation({
      id: 'getClient',
      method: 'GET',
      path: '/clients/{client_id}',
      tag: 'Apps',
      scope: 'clients:read',
      summary: 'Read an app',
      params: one,
      success: { ...SHOWN, description: 'The app.' },
      run: async ({ db, params }) => shown(db, await getClient(db, params.client_id)),
    }),
    operation({
      id: 'changeClient',
      method: 'PATCH',
      path: '/clients/{client_id}',
      tag: 'Apps',
      scope: 'clients:write',
      summary: 'Change an app',
      description: 'Its kind cannot be changed: it decides what the app can keep secret.',
      params: one,
      body: json.clientChange,
      ifMatch: 'required',
      success: SHOWN,
      run: (input) =>
        change(input, (t, client) => updateClient(t, client.id, input.body, input.by, client.version)),
    }),
    operation({
      id: 'deleteClient',
      method: 'DELETE',
      path: '/clients/{client_id}',
      tag: 'Apps',
      scope: 'clients:write',
      summary: 'Delete an app',
      description: 'Its tokens are dead at once. Nothing brings it back.',
      params: one,
      ifMatch: 'optional',
      success: { status: 204, description: 'Deleted.' },
      run: (input) =>
        locked(input, async (t, client) => {
          await deleteClient(t, client.id, input.by)
          return {}
        }),
    }),
  ]
}

function decisionOperations(): Operation[] {
  return [
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
    decision(
      'PUT',
      'suspension',
      'suspendClient',
      'Suspend: every token of it is dead at once',
      suspendClient,
    ),
    decision('DELETE', 'suspension', 'resumeClient', 'Let a suspended app work again', resumeClient),
    operation({
      id: 'rejectClient',
      method: 'PUT',
      path: '/clients/{client_id}/rejection',
      tag: 'Apps',
      scope: 'clients:write',
      summary: 'Reject an app that waits',
      description: 'An app that does not wait stays as it is.',
      params: one,
      body: reason,
      ifMatch: 'optional',
      success: SHOWN,
      run: (input) => change(input, (t, { id }) => rejectClient(t, id, input.body.reason, input.by)),
    }),
    operation({
      id: 'revokeClientConsents',
      method: 'DELETE',
      path: '/clients/{client_id}/consents',
      tag: 'Apps',
      scope: 'grants:write',
      summary: 'End all access of an app',
      description: 'In the background: everybody who uses it has to allow it again.',
      params: one,
      success: { status: 202, description: 'It has begun.', schema: job, location: true },
      async run({ db, params, by }) {
        const { id } = await getClient(db, params.client_id)
        return begun(await endAllAccess(db, { client_id: id }, by))
      },
    }),
  ]
}

/** Something that is decided without a word, and stands afterwards whether it stood before or not. */
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
    params: one,
    ifMatch,
    success: SHOWN,
    run: (input) => change(input, (t, client) => decide(t, client.id, input.by)),
  })
}
