// Apps over the Admin API: finding, registering, reading, changing and deleting them.
import { pageOf } from '../../base/page.ts'
import { createClient } from '../../core/clients/create.ts'
import { deleteClient } from '../../core/clients/lifecycle.ts'
import { searchClients } from '../../core/clients/search.ts'
import { getClient } from '../../core/clients/store.ts'
import { updateClient } from '../../core/clients/update.ts'
import { type Operation, operation } from '../framework/operation.ts'
import { CLIENT_ANSWER, changeClient, clientAnswer, clientParams, withClient } from './access.ts'
import * as schemas from './schemas.ts'

const DAY_MS = 86_400_000

/** Operations on registrations of apps. */
export const clientOperations: readonly Operation[] = [
  operation({
    id: 'listClients',
    method: 'GET',
    path: '/clients',
    tag: 'Apps',
    scope: 'clients:read',
    summary: 'Find apps, newest first',
    query: schemas.clientQuery,
    success: { status: 200, description: 'A page of apps.', schema: schemas.clientList },
    async run({ db, query }) {
      const { q: text, unused_days, limit, ...filter } = query
      const unused_since = unused_days === undefined ? undefined : new Date(Date.now() - unused_days * DAY_MS)
      const found = await searchClients(db, { ...filter, text, unused_since, limit: limit + 1 })
      const { rows, next } = pageOf(found, limit, ({ cursor }) => cursor)
      return { body: rows.map(schemas.summaryView), next }
    },
  }),
  operation({
    id: 'createClient',
    method: 'POST',
    path: '/clients',
    tag: 'Apps',
    scope: 'clients:write',
    summary: 'Register an app',
    description: 'It may be used at once. Scopes of this API can be given by a token that holds them itself.',
    body: schemas.newClient,
    success: {
      status: 201,
      description: 'Registered; its secret is shown this once.',
      schema: schemas.madeClient,
      secretMembers: ['client_secret'],
      etag: true,
      location: true,
    },
    async run({ db, body, by }) {
      const { client, secret } = await createClient(db, body, by)
      const made = await clientAnswer(db, client)
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
    params: clientParams,
    success: { ...CLIENT_ANSWER, description: 'The app.' },
    run: async ({ db, params }) => clientAnswer(db, await getClient(db, params.client_id)),
  }),
  operation({
    id: 'changeClient',
    method: 'PATCH',
    path: '/clients/{client_id}',
    tag: 'Apps',
    scope: 'clients:write',
    summary: 'Change an app',
    description: 'Its kind cannot be changed: it decides what the app can keep secret.',
    params: clientParams,
    body: schemas.clientChange,
    ifMatch: 'required',
    success: CLIENT_ANSWER,
    run: (input) =>
      changeClient(input, (t, client) => updateClient(t, client.id, input.body, input.by, client.version)),
  }),
  operation({
    id: 'deleteClient',
    method: 'DELETE',
    path: '/clients/{client_id}',
    tag: 'Apps',
    scope: 'clients:write',
    summary: 'Delete an app',
    description: 'Its tokens are dead at once. Nothing brings it back.',
    params: clientParams,
    ifMatch: 'optional',
    success: { status: 204, description: 'Deleted.' },
    run: (input) =>
      withClient(input, async (t, client) => {
        await deleteClient(t, client.id, input.by)
        return {}
      }),
  }),
]
