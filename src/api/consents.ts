// Consents over the Admin API: listing them, and ending one, or all that match a filter by a job.
import { z } from 'zod'
import { pageOf } from '../base/page.ts'
import { findClient } from '../core/clients/store.ts'
import { endAccess, endAllAccess } from '../core/grants/revoke.ts'
import { type Access, searchAccess } from '../core/grants/search.ts'
import { findUser } from '../core/users/store.ts'
import type { Db } from '../db/pool.ts'
import { NotFound } from '../http/errors.ts'
import { type Operation, operation } from './framework/operation.ts'
import { invalid } from './framework/request.ts'
import {
  begun,
  clientId,
  job,
  listOf,
  listQuery,
  moment,
  named,
  uuid,
  uuidCursor,
} from './framework/schemas.ts'

const consent = named(
  'Consent',
  z.strictObject({
    id: uuid,
    user_id: uuid,
    user_name: z.string(),
    email: z.string(),
    client_id: clientId,
    client_name: z.string(),
    scopes: z.array(z.string()),
    created_at: moment,
    expires_at: moment.nullable().meta({ description: 'When it ends by itself.' }),
    devices: z.int(),
    last_used_at: moment.nullable(),
  }),
)
const filter = { user_id: uuid.optional(), client_id: clientId.optional() }
const consentParams = z.object({ consent_id: uuid })

/** Operations on consents. */
export const consentOperations: readonly Operation[] = [
  operation({
    id: 'listConsents',
    method: 'GET',
    path: '/consents',
    tag: 'Consents',
    scope: 'grants:read',
    summary: 'List who allowed which app what, newest first',
    description:
      'One of an app and an account, whatever devices the app is used on; each of those is a grant.',
    query: listQuery(filter, uuidCursor.optional()),
    success: { status: 200, description: 'A page of decisions.', schema: listOf('ConsentList', consent) },
    async run({ db, query: { limit, ...wanted } }) {
      const found = await searchAccess(db, { ...wanted, limit: limit + 1 })
      const { rows, next } = pageOf(found, limit, ({ cursor }) => cursor)
      return { body: rows.map(consentView), next }
    },
  }),
  operation({
    id: 'revokeConsents',
    method: 'DELETE',
    path: '/consents',
    tag: 'Consents',
    scope: 'grants:write',
    summary: 'End all access of an app, or to an account, or of that app to that account',
    description: 'In the background. One of the two has to be said.',
    query: z.strictObject(filter),
    success: { status: 202, description: 'It has begun.', schema: job, location: true },
    async run({ db, query, by }) {
      await checkFilter(db, query)
      return begun(await endAllAccess(db, query, by))
    },
  }),
  operation({
    id: 'getConsent',
    method: 'GET',
    path: '/consents/{consent_id}',
    tag: 'Consents',
    scope: 'grants:read',
    summary: 'Read one decision',
    params: consentParams,
    success: { status: 200, description: 'The decision.', schema: consent },
    async run({ db, params }) {
      const [found] = await searchAccess(db, { id: params.consent_id })
      if (!found) throw new NotFound('There is no such access, or it has ended.')
      return { body: consentView(found) }
    },
  }),
  operation({
    id: 'revokeConsent',
    method: 'DELETE',
    path: '/consents/{consent_id}',
    tag: 'Consents',
    scope: 'grants:write',
    summary: 'End the access of one app to one account, on every device',
    params: consentParams,
    success: { status: 204, description: 'Ended.' },
    async run({ db, params, by }) {
      const ended = await endAccess(db, params.consent_id, by)
      if (!ended) throw new NotFound('There is no such access, or it has ended.')
      return {}
    },
  }),
]

// Refuse an empty filter, which would end everything, and unknown ids: a mistyped filter must not look like one that matched little.
async function checkFilter(db: Db, { user_id, client_id }: { user_id?: string; client_id?: string }) {
  if (user_id === undefined && client_id === undefined) {
    throw invalid(400, 'Say whose access ends.', { user_id: 'say this, or client_id, or both' })
  }
  const [user, client] = await Promise.all([
    user_id === undefined ? undefined : findUser(db, user_id),
    client_id === undefined ? undefined : findClient(db, client_id),
  ])
  if (user_id !== undefined && !user) throw new NotFound('There is no such account.')
  if (client_id !== undefined && !client) throw new NotFound('There is no such app.')
}

function consentView(access: Access) {
  return Object.fromEntries(Object.keys(consent.shape).map((name) => [name, access[name as keyof Access]]))
}
