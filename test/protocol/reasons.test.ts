// Reasons that no request over the wire can have yet: what the library would say is put to the table itself.
import { expect, test } from '@jest/globals'
import type { Context } from 'koa'
import { errors } from 'oidc-provider'
import type { ResourceDirectory } from '../../src/core/resources/cache.ts'
import { reasonOf } from '../../src/protocol/diagnostics/rules.ts'

const nothing = {
  find: async () => undefined,
  findScope: async () => undefined,
} as unknown as ResourceDirectory

/** A request as the protocol leaves it. */
function request(body: Record<string, string>, headers: Record<string, string> = {}): Context {
  const get = (name: string) => headers[name] ?? ''
  return { get, query: {}, state: {}, oidc: { body, params: body, entities: {} } } as unknown as Context
}

function jwt(claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  return `${part({ alg: 'ES256' })}.${part(claims)}.c2lnbmF0dXJl`
}

test('an assertion that is over says by how many seconds', async () => {
  const client_assertion = jwt({ sub: 'app', exp: Math.floor(Date.now() / 1000) - 95 })
  const error = new errors.InvalidClientAuth('"exp" claim timestamp check failed')

  const reason = await reasonOf(request({ client_assertion }), error, nothing)

  expect(reason).toMatchObject({ kind: 'clock_skew', expected: 'the time of this server' })
  expect(reason.received).toMatch(/^exp is 9[56] seconds behind it$/)
})

test('a proof from the future, too', async () => {
  const dpop = jwt({ iat: Math.floor(Date.now() / 1000) + 600 })
  const error = new errors.InvalidDpopProof('DPoP proof iat is not recent enough')

  const reason = await reasonOf(request({}, { dpop }), error, nothing)

  expect(reason.received).toMatch(/^iat is (599|600) seconds ahead of it$/)
})

test.each([
  [new errors.SlowDown(), 'rate_limited'],
  [new errors.InvalidGrant('DPoP proof JWT not provided'), 'dpop_missing'],
  [new errors.InvalidToken('associated account not found'), 'access_token_revoked'],
  [new errors.CustomOIDCProviderError('brand_new', 'words of a later version'), 'other'],
])('%s is %s', async (error, kind) => {
  expect(await reasonOf(request({}), error, nothing)).toMatchObject({ kind })
})

test.each([
  '',
  'nonsense',
  'a.b.c',
  `a.${Buffer.from('[1]').toString('base64url')}.c`,
  `a.${Buffer.from('null').toString('base64url')}.c`,
])('a proof that is no JWT (%j) is not a problem of ours', async (dpop) => {
  const error = new errors.InvalidDpopProof('DPoP proof htm mismatch')

  expect((await reasonOf(request({}, { dpop }), error, nothing)).kind).toBe('dpop_target')
})
