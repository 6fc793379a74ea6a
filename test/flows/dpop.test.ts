// DPoP (RFC 9449): tokens that only the holder of a key can use.
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose'
import * as openid from 'openid-client'
import { digest } from '../../src/base/credentials.ts'
import { type Api, type App, type Person, type ServerFixture, startServerFixture } from '../support/flow.ts'

type Keys = Awaited<ReturnType<typeof generateKeyPair>>

let server: ServerFixture & { photos: Api }
let spa: App
let web: App
let jamie: Person
let keys: Keys
let stranger: Keys
beforeAll(async () => {
  server = await startServerFixture()
  spa = await server.app({ type: 'spa', name: 'In a page' })
  web = await server.app()
  jamie = await server.person('Jamie')
  keys = await generateKeyPair('ES256', { extractable: true })
  stranger = await generateKeyPair('ES256', { extractable: true })
})
afterAll(() => server.stop())

test('openid-client gets tokens bound to its key, uses them and renews them', async () => {
  const pair = await openid.randomDPoPKeyPair()
  const DPoP = openid.getDPoPHandle(await spa.client(), pair)
  const pending = await spa.begin({ scope: 'openid email' })
  const tokens = await spa.finish(await jamie.authorize(pending.url), pending, { DPoP })

  expect(tokens.token_type).toBe('dpop')
  const told = await openid.fetchUserInfo(await spa.client(), tokens.access_token, jamie.id, { DPoP })
  expect(told.email).toBe(jamie.email)
  const renewed = await openid.refreshTokenGrant(await spa.client(), tokens.refresh_token!, undefined, {
    DPoP,
  })
  expect(renewed.token_type).toBe('dpop')
})

test('the API learns which key a token is bound to', async () => {
  const { access_token } = await redeem(spa)

  const jkt = await calculateJwkThumbprint(await exportJWK(keys.publicKey))
  expect(await server.photos.introspect(access_token)).toMatchObject({
    active: true,
    token_type: 'DPoP',
    cnf: { jkt },
  })
})

test('a bound access token is refused without its key', async () => {
  const { access_token } = await redeem(spa, 'openid email')
  const at = { htm: 'GET', htu: `${server.origin}/userinfo`, ath: digest(access_token).toString('base64url') }
  const ask = async (headers: Record<string, string>) =>
    (await fetch(`${server.origin}/userinfo`, { headers })).status

  expect(await ask({ Authorization: `DPoP ${access_token}`, DPoP: await proof(at) })).toBe(200)
  expect(await ask({ Authorization: `Bearer ${access_token}` })).toBe(401)
  expect(await ask({ Authorization: `DPoP ${access_token}` })).toBe(400)
  expect(await ask({ Authorization: `DPoP ${access_token}`, DPoP: await proof(at, stranger) })).toBe(401)
  expect(await ask({ Authorization: `DPoP ${access_token}`, DPoP: await proof({ ...at, ath: 'x' }) })).toBe(
    401,
  )
})

test('a public client’s refresh token is bound to the key, too', async () => {
  const { refresh_token } = await redeem(spa)

  const without = await spa.refresh(refresh_token)
  const withAnother = await refreshWith(spa, refresh_token, await proof({}, stranger))

  expect(without.body.error).toBe('invalid_grant')
  expect(withAnother.body.error).toBe('invalid_grant')
  const right = await refreshWith(spa, refresh_token, await proof({}))
  expect(right.status).toBe(200)
  expect(right.body.token_type).toBe('DPoP')
})

test('a confidential client, whose secret binds the refresh token, may change its key', async () => {
  const { refresh_token } = await redeem(web)

  const answer = await refreshWith(web, refresh_token, await proof({}, stranger))

  expect(answer.status).toBe(200)
  const jkt = await calculateJwkThumbprint(await exportJWK(stranger.publicKey))
  expect((await server.photos.introspect(answer.body.access_token)).cnf).toEqual({ jkt })
})

test('a proof is good for one use, and the code is not lost by showing it again', async () => {
  const used = await proof({})
  const first = await spa.code(jamie)
  expect((await spa.post('/token', first.form, { DPoP: used })).status).toBe(200)
  const second = await spa.code(jamie)

  const replay = await spa.post('/token', second.form, { DPoP: used })

  expect(replay.status).toBe(400)
  expect(replay.body.error).toMatch(/^invalid_(grant|dpop_proof|request)$/)
  expect((await spa.post('/token', second.form, { DPoP: await proof({}) })).status).toBe(200)
})

test.each([
  ['for another address', { htu: 'https://elsewhere.example/token' }, {}],
  ['for another method', { htm: 'GET' }, {}],
  ['from an hour ago', { iat: Math.floor(Date.now() / 1000) - 3600 }, {}],
  ['of another type', {}, { typ: 'jwt' }],
  ['without an id', { jti: undefined }, {}],
  ['that is nonsense', 'nonsense', {}],
])('a proof %s is refused, and the code stays good', async (_, claims, header) => {
  const { form } = await spa.code(jamie)
  const DPoP = typeof claims === 'string' ? claims : await proof(claims, keys, header)

  const refused = await spa.post('/token', form, { DPoP })

  expect(refused.status).toBe(400)
  expect(refused.body.error).toBe('invalid_dpop_proof')
  expect((await spa.post('/token', form)).status).toBe(200)
})

test('a code that was asked for with a key (dpop_jkt) is good for that key alone', async () => {
  const dpop_jkt = await calculateJwkThumbprint(await exportJWK(keys.publicKey))
  const { form } = await spa.code(jamie, { dpop_jkt })

  const without = await spa.post('/token', form)
  const withAnother = await spa.post('/token', form, { DPoP: await proof({}, stranger) })

  expect(without.body.error).toBe('invalid_grant')
  expect(withAnother.body.error).toBe('invalid_grant')
})

test('client credentials may be bound, too', async () => {
  const service = await server.app({ type: 'service', name: 'Nightly', scopes: ['photos.read'] })

  const { body } = await service.post(
    '/token',
    { grant_type: 'client_credentials', scope: 'photos.read' },
    { DPoP: await proof({}) },
  )

  expect(body.token_type).toBe('DPoP')
  expect((await server.photos.introspect(body.access_token)).cnf.jkt).toHaveLength(43)
})

async function redeem(app: App, scope?: string): Promise<{ access_token: string; refresh_token: string }> {
  const { form } = await app.code(jamie, scope ? { scope } : {})
  const { status, body } = await app.post('/token', form, { DPoP: await proof({}) })
  expect(status).toBe(200)
  return body
}

function refreshWith(app: App, refresh_token: string, DPoP: string) {
  return app.post('/token', { grant_type: 'refresh_token', refresh_token }, { DPoP })
}

/** A proof for the token endpoint, unless the claims say otherwise. */
async function proof(
  claims: Record<string, unknown>,
  { publicKey, privateKey }: Keys = keys,
  header: Record<string, unknown> = {},
): Promise<string> {
  return new SignJWT({
    htm: 'POST',
    htu: `${server.origin}/token`,
    jti: randomUUID(),
    iat: Math.floor(Date.now() / 1000),
    ...claims,
  })
    .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk: await exportJWK(publicKey), ...header })
    .sign(privateKey)
}
