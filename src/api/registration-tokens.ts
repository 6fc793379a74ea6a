// Initial access tokens (RFC 7591) over the Admin API.
import { z } from 'zod'
import {
  createRegistrationToken,
  findRegistrationToken,
  listRegistrationTokens,
  type RegistrationToken,
  revokeRegistrationToken,
} from '../core/registration/initial-access-tokens.ts'
import type { Db } from '../db/pool.ts'
import { NotFound } from '../http/errors.ts'
import * as json from './client-schemas.ts'
import { type Operation, operation } from './framework/operation.ts'
import { listQuery, pageOf, uuid, uuidCursor } from './framework/schemas.ts'

const oneToken = z.object({ token_id: uuid })

/** Operations on registration tokens. */
export function registrationTokenOperations(): Operation[] {
  return [
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
        secretMembers: ['token'],
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

async function getToken(db: Db, id: string): Promise<RegistrationToken> {
  const token = await findRegistrationToken(db, id)
  if (!token) throw new NotFound('There is no such registration token.')
  return token
}
