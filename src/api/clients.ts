// Apps, their secrets and registration tokens over the Admin API: what the console can do, by the same store functions.
import { z } from 'zod'
import { approveClient, rejectClient, unverifyClient, verifyClient } from '../core/clients/review.ts'
import { searchClients } from '../core/clients/search.ts'
import { addNamedSecret, listSecrets, revokeSecret, rotateSecret } from '../core/clients/secrets.ts'
import {
  createClient,
  deleteClient,
  isConfidential,
  resumeClient,
  suspendClient,
} from '../core/clients/store.ts'
import { updateClient } from '../core/clients/update.ts'
import { endAllAccess } from '../core/grants/revoke.ts'
import {
  createRegistrationToken,
  findRegistrationToken,
  listRegistrationTokens,
  type RegistrationToken,
  revokeRegistrationToken,
} from '../core/registration/initial-access-tokens.ts'
import type { Db } from '../db/pool.ts'
import { NotFound } from '../http/errors.ts'
import {
  change,
  getClient,
  locked,
  type OfClient,
  oneApp as one,
  reason,
  SHOWN,
  shown,
} from './client-access.ts'
import * as json from './client-schemas.ts'
import { type Answer, type Input, type Operation, operation } from './operation.ts'
import { begun, job, listQuery, pageOf, uuid, uuidCursor } from './schemas.ts'

const oneSecret = one.extend({ secret_id: uuid })
const oneToken = z.object({ token_id: uuid })
const DAY_MS = 86_400_000
const MADE_SECRET = {
  status: 201,
  description: 'Made; the secret is shown this once.',
  schema: json.madeSecret,
  once: ['client_secret'],
} as const

/** Operations on apps and registration tokens. */
export function clientOperations(): Operation[] {
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
        once: ['client_secret'],
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
    ...[
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
    ],
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

    operation({
      id: 'listSecrets',
      method: 'GET',
      path: '/clients/{client_id}/secrets',
      tag: 'Secrets',
      scope: 'clients:read',
      summary: 'List the secrets of an app that are valid now',
      description: 'Without their values, which nobody knows.',
      params: one,
      success: { status: 200, description: 'All of them.', schema: json.secretList },
      async run({ db, params }) {
        const { id } = await getClient(db, params.client_id)
        return { body: (await listSecrets(db, id)).map(json.secretView) }
      },
    }),
    operation({
      id: 'addSecret',
      method: 'POST',
      path: '/clients/{client_id}/secrets',
      tag: 'Secrets',
      scope: 'clients:write',
      summary: 'Give an app one more secret',
      description: 'Those it has go on.',
      params: one,
      body: json.secretName,
      success: MADE_SECRET,
      run: (input) => newSecret(input, (t, id) => addNamedSecret(t, id, input.body.name, input.by)),
    }),
    operation({
      id: 'rotateSecret',
      method: 'POST',
      path: '/clients/{client_id}/secret-rotation',
      tag: 'Secrets',
      scope: 'clients:write',
      summary: 'Give an app a new secret in the place of all it has',
      params: one,
      body: json.rotation,
      success: MADE_SECRET,
      run: (input) =>
        newSecret(input, (t, id) =>
          rotateSecret(t, id, input.by, { overlapSeconds: input.body.overlap_seconds }),
        ),
    }),
    operation({
      id: 'revokeSecret',
      method: 'DELETE',
      path: '/clients/{client_id}/secrets/{secret_id}',
      tag: 'Secrets',
      scope: 'clients:write',
      summary: 'Revoke one secret',
      params: oneSecret,
      success: { status: 204, description: 'Revoked.' },
      run: (input) =>
        locked(input, async (t, { id }) => {
          const revoked = await revokeSecret(t, id, input.params.secret_id, input.by)
          if (!revoked) throw new NotFound('There is no such secret, or it has ended.')
          return {}
        }),
    }),

    operation({
      id: 'listRegistrationTokens',
      method: 'GET',
      path: '/registration-tokens',
      tag: 'Registration tokens',
      scope: 'clients:read',
      summary: 'List the tokens with which apps register themselves, oldest first',
      query: listQuery({}, uuidCursor.optional()),
      success: {
        status: 200,
        description: 'A page of tokens, without their values.',
        schema: json.tokenList,
      },
      async run({ db, query: { limit, after } }) {
        const found = await listRegistrationTokens(db, { limit: limit + 1, after })
        const { rows, next } = pageOf(found, limit, ({ cursor }) => cursor)
        return { body: rows.map(json.tokenView), next }
      },
    }),
    operation({
      id: 'createRegistrationToken',
      method: 'POST',
      path: '/registration-tokens',
      tag: 'Registration tokens',
      scope: 'clients:write',
      summary: 'Make a token with which apps register themselves',
      body: json.newToken,
      success: {
        status: 201,
        description: 'Made; its value is shown this once.',
        schema: json.madeToken,
        once: ['token'],
        location: true,
      },
      async run({ db, body, by }) {
        const { max_uses: maxUses, ...rest } = body
        const { token, value } = await createRegistrationToken(db, { ...rest, maxUses }, by)
        return {
          body: { ...json.tokenView(token), token: value },
          location: `/registration-tokens/${token.id}`,
        }
      },
    }),
    operation({
      id: 'getRegistrationToken',
      method: 'GET',
      path: '/registration-tokens/{token_id}',
      tag: 'Registration tokens',
      scope: 'clients:read',
      summary: 'Read a registration token',
      params: oneToken,
      success: { status: 200, description: 'The token, without its value.', schema: json.token },
      run: async ({ db, params }) => ({ body: json.tokenView(await getToken(db, params.token_id)) }),
    }),
    operation({
      id: 'revokeRegistrationToken',
      method: 'DELETE',
      path: '/registration-tokens/{token_id}',
      tag: 'Registration tokens',
      scope: 'clients:write',
      summary: 'Revoke a registration token',
      description: 'What was registered with it stays.',
      params: oneToken,
      success: { status: 204, description: 'It lets nobody in any more.' },
      async run({ db, params, by }) {
        const { id } = await getToken(db, params.token_id)
        await revokeRegistrationToken(db, id, by)
        return {}
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

function newSecret(
  input: OfClient,
  make: (t: Db, id: string) => Promise<string | undefined>,
): Promise<Answer> {
  return locked(input, async (t, { id, type }) => {
    if (!isConfidential(type)) throw new NotFound('This kind of app keeps no secret.')
    const secret = await make(t, id)
    if (secret === undefined) throw new NotFound('There is no such app.')
    return { body: { client_id: id, client_secret: secret } }
  })
}

async function getToken(db: Db, id: string): Promise<RegistrationToken> {
  const token = await findRegistrationToken(db, id)
  if (!token) throw new NotFound('There is no such registration token.')
  return token
}
