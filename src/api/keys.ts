// The signing keys over the Admin API: reading about them, and rotating them now.
import { z } from 'zod'
import type { Secrets } from '../base/secrets.ts'
import { listKeys, rotateKeys, type SigningKey } from '../core/keys/store.ts'
import { type Operation, operation } from './framework/operation.ts'
import { listOf, moment, named } from './framework/schemas.ts'

const key = named(
  'SigningKey',
  z.strictObject({
    kid: z.string(),
    alg: z.enum(['ES256', 'RS256']),
    state: z.enum(['next', 'current', 'retired']),
    created_at: moment,
    activated_at: moment.nullable(),
    retired_at: moment.nullable(),
  }),
)
const keys = listOf('SigningKeyList', key)

/** Operations on signing keys. */
export function keyOperations({ secrets }: { secrets: Secrets }): Operation[] {
  return [
    operation({
      id: 'listKeys',
      method: 'GET',
      path: '/keys',
      tag: 'Signing keys',
      scope: 'keys:read',
      summary: 'List the signing keys that are published or were',
      success: { status: 200, description: 'All of them, without their private parts.', schema: keys },
      run: async ({ db }) => ({ body: (await listKeys(db)).map(keyView) }),
    }),
    operation({
      id: 'rotateKeys',
      method: 'POST',
      path: '/keys/rotation',
      tag: 'Signing keys',
      scope: 'keys:write',
      summary: 'Rotate the signing keys now',
      description: 'The next keys sign from now on; those that signed stay published for a week.',
      success: { status: 201, description: 'Rotated; all keys as they stand now.', schema: keys },
      run: async ({ db, by }) => ({ body: (await rotateKeys(db, secrets, by)).map(keyView) }),
    }),
  ]
}

function keyView({ kid, alg, state, created_at, activated_at, retired_at }: SigningKey) {
  return { kid, alg, state, created_at, activated_at, retired_at }
}
