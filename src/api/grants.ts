// Grants over the Admin API: one for each app and device. A consent (consents.ts) has several.
import { z } from 'zod'
import { SHORT_ID } from '../base/ids.ts'
import { pageOf } from '../base/page.ts'
import { endGrant } from '../core/grants/revoke.ts'
import { type GrantRow, listGrants, scopesOf } from '../core/grants/store.ts'
import { NotFound } from '../http/errors.ts'
import { type Operation, operation } from './framework/operation.ts'
import { clientId, cursor, listOf, listQuery, moment, named, uuid } from './framework/schemas.ts'

// The ids of grants are made in core/grants/store.ts.
const grantId = z.string().regex(new RegExp(`^${SHORT_ID}$`))

const grant = named(
  'Grant',
  z.strictObject({
    id: grantId.meta({ description: 'As in the audit log and on the command line.' }),
    consent_id: uuid,
    user_id: uuid,
    email: z.string(),
    client_id: clientId,
    client_name: z.string(),
    scopes: z.array(z.string()),
    device: z.string().meta({ description: 'What the browser or device called itself.' }),
    created_at: moment,
    last_used_at: moment,
    expires_at: moment.nullable().meta({ description: 'When the person wanted it to end.' }),
    revoked_at: moment.nullable(),
  }),
)
const grantParams = z.object({ grant_id: grantId })

/** Operations on grants. */
export const grantOperations: readonly Operation[] = [
  operation({
    id: 'listGrants',
    method: 'GET',
    path: '/grants',
    tag: 'Grants',
    scope: 'grants:read',
    summary: 'List the devices on which apps have access, oldest first',
    description: 'Those that were revoked stay in the list for a while.',
    query: listQuery({ user_id: uuid.optional(), client_id: clientId.optional() }, cursor.optional()),
    success: { status: 200, description: 'A page of grants.', schema: listOf('GrantList', grant) },
    async run({ db, query: { limit, ...wanted } }) {
      const found = await listGrants(db, { ...wanted, limit: limit + 1 })
      const { rows, next } = pageOf(found, limit, ({ cursor }) => cursor)
      return { body: rows.map(grantView), next }
    },
  }),
  operation({
    id: 'getGrant',
    method: 'GET',
    path: '/grants/{grant_id}',
    tag: 'Grants',
    scope: 'grants:read',
    summary: 'Read one grant',
    params: grantParams,
    success: { status: 200, description: 'The grant.', schema: grant },
    async run({ db, params }) {
      const [found] = await listGrants(db, { id: params.grant_id, limit: 1 })
      if (!found) throw new NotFound('There is no such grant.')
      return { body: grantView(found) }
    },
  }),
  operation({
    id: 'revokeGrant',
    method: 'DELETE',
    path: '/grants/{grant_id}',
    tag: 'Grants',
    scope: 'grants:write',
    summary: 'End the access of an app on one device',
    description:
      'Every token of it ends. On other devices, and with what the person decided, nothing changes.',
    params: grantParams,
    success: { status: 204, description: 'Ended.' },
    async run({ db, params, by }) {
      const ended = await endGrant(db, params.grant_id, by)
      if (!ended) throw new NotFound('There is no such grant, or it has ended.')
      return {}
    },
  }),
]

function grantView({ scopes, ends_at, ...grant }: GrantRow) {
  return {
    id: grant.id,
    consent_id: grant.consent_id,
    user_id: grant.user_id,
    email: grant.email,
    client_id: grant.client_id,
    client_name: grant.client_name,
    scopes: scopesOf(scopes),
    device: grant.device,
    created_at: grant.created_at,
    last_used_at: grant.last_used_at,
    expires_at: ends_at,
    revoked_at: grant.revoked_at,
  }
}
