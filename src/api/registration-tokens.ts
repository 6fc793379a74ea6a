// Initial access tokens (RFC 7591) over the Admin API.
import { z } from 'zod'
import { pageOf } from '../base/page.ts'
import {
  createRegistrationToken,
  findRegistrationToken,
  listRegistrationTokens,
  MOST,
  type RegistrationToken,
  revokeRegistrationToken,
  tokenState,
} from '../core/registration/initial-access-tokens.ts'
import type { Db } from '../db/pool.ts'
import { NotFound } from '../http/errors.ts'
import { type Operation, operation } from './framework/operation.ts'
import { listOf, listQuery, moment, named, pick, shownOnce, uuid, uuidCursor } from './framework/schemas.ts'

const newToken = named(
  'NewRegistrationToken',
  z.strictObject({
    name: z.string().max(100, 'has more than 100 characters').default(''),
    scopes: z
      .array(z.string())
      .max(100, 'has more than 100 entries')
      .meta({ description: 'What apps registered with it may ask for.' }),
    client_credentials: z.boolean().default(false),
    max_uses: z.int().min(1).max(MOST.uses).default(1),
    days: z.int().min(1).max(MOST.days).default(7),
  }),
)

const tokenFields = {
  id: uuid,
  prefix: z.string(),
  name: z.string(),
  state: z.enum(['live', 'revoked', 'used up', 'expired']),
  scopes: z.array(z.string()),
  client_credentials: z.boolean(),
  max_uses: z.int(),
  uses: z.int(),
  created_at: moment,
  expires_at: moment,
  last_used_at: moment.nullable(),
  revoked_at: moment.nullable(),
}

const token = named('RegistrationToken', z.strictObject(tokenFields))

const tokenList = listOf('RegistrationTokenList', token)

const madeToken = named('MadeRegistrationToken', z.strictObject({ ...tokenFields, token: shownOnce }))

const oneToken = z.object({ token_id: uuid })

/** Operations on registration tokens. */
export const registrationTokenOperations: readonly Operation[] = [
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
      schema: tokenList,
    },
    async run({ db, query: { limit, after } }) {
      const found = await listRegistrationTokens(db, { limit: limit + 1, after })
      const { rows, next } = pageOf(found, limit, ({ cursor }) => cursor)
      return { body: rows.map(tokenView), next }
    },
  }),
  operation({
    id: 'createRegistrationToken',
    method: 'POST',
    path: '/registration-tokens',
    tag: 'Registration tokens',
    scope: 'clients:write',
    summary: 'Make a token with which apps register themselves',
    body: newToken,
    success: {
      status: 201,
      description: 'Made; its value is shown this once.',
      schema: madeToken,
      secretMembers: ['token'],
      location: true,
    },
    async run({ db, body, by }) {
      const { max_uses: maxUses, ...rest } = body
      const { token, value } = await createRegistrationToken(db, { ...rest, maxUses }, by)
      return {
        body: { ...tokenView(token), token: value },
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
    success: { status: 200, description: 'The token, without its value.', schema: token },
    run: async ({ db, params }) => ({ body: tokenView(await getToken(db, params.token_id)) }),
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

async function getToken(db: Db, id: string): Promise<RegistrationToken> {
  const token = await findRegistrationToken(db, id)
  if (!token) throw new NotFound('There is no such registration token.')
  return token
}

function tokenView(row: RegistrationToken) {
  return { ...pick(row, Object.keys(tokenFields)), state: tokenState(row) }
}
