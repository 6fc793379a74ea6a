// Who the person is (OpenID Connect Core §2, §5.3): what the ID token and userinfo tell, and what they keep to themselves.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose'
import * as openid from 'openid-client'
import { SYSTEM } from '../../src/base/audit-events.ts'
import { digest } from '../../src/base/credentials.ts'
import { rotateKeys } from '../../src/core/keys/store.ts'
import { run, sql } from '../../src/db/pool.ts'
import { type App, type Person, type ServerFixture, startServerFixture } from '../support/flow.ts'
import { PATIENCE_MS, untilPasses } from '../support/patience.ts'

let server: ServerFixture
let app: App
let jamie: Person
beforeAll(async () => {
  server = await startServerFixture()
  app = await server.app()
  jamie = await server.person('Jamie')
})
afterAll(() => server.stop())

describe('the ID token', () => {
  test('names the person when the access token is for an API and cannot ask', async () => {
    const tokens = await app.connect(jamie, { scope: 'openid profile email photos.read' })

    expect(tokens.claims()).toEqual({
      iss: server.origin,
      aud: app.id,
      sub: jamie.id,
      name: 'Jamie',
      email: jamie.email,
      email_verified: true,
      nonce: expect.any(String),
      iat: expect.any(Number),
      exp: expect.any(Number),
      ...optional(tokens.claims()!, 'at_hash', 'auth_time', 'sid'),
    })
    expect(Math.abs(tokens.claims()!.exp - tokens.claims()!.iat - 600)).toBeLessThanOrEqual(1)
  })

  test('says the same whether or not anything of an API was allowed', async () => {
    const another = await server.app()
    const plain = await another.connect(jamie, { scope: 'openid profile email' })
    const unticked = await another.connect(
      jamie,
      { scope: 'openid profile email photos.read' },
      { scope: [] },
    )

    for (const tokens of [plain, unticked]) {
      expect(tokens.claims()).toMatchObject({ sub: jamie.id, name: 'Jamie', email: jamie.email })
      // Nothing of the API was allowed: the token is for userinfo, and says so.
      expect(tokens.scope).toBe('openid profile email')
      const answer = await fetch(`${server.origin}/userinfo`, {
        headers: { authorization: `Bearer ${tokens.access_token}` },
      })
      expect(answer.status).toBe(200)
    }
  })

  test('tells no more than the scopes', async () => {
    const { claims } = await app.connect(jamie, { scope: 'openid photos.read' })

    expect(claims()!.sub).toBe(jamie.id)
    expect(claims()).not.toHaveProperty('email')
    expect(claims()).not.toHaveProperty('name')
  })

  test('is not issued without the scope openid', async () => {
    const pending = await app.begin({ scope: 'photos.read', nonce: undefined })
    const code = (await jamie.authorize(pending.url)).searchParams.get('code')!
    const { body } = await app.post('/token', {
      grant_type: 'authorization_code',
      code,
      redirect_uri: app.redirectUri,
      code_verifier: pending.verifier,
    })
    expect(body.access_token).toMatch(/^vk_at_/)
    expect(body.id_token).toBeUndefined()
  })

  test('is signed with ES256 for a client that is registered so', async () => {
    const modern = await server.app({ id_token_signed_response_alg: 'ES256' })

    const { id_token } = await modern.connect(jamie)

    expect(decodeProtectedHeader(id_token!).alg).toBe('ES256')
    const keys = createRemoteJWKSet(new URL(`${server.origin}/jwks`), { timeoutDuration: PATIENCE_MS })
    await jwtVerify(id_token!, keys, { issuer: server.origin, audience: modern.id })
  })

  test('is signed by a published key, and still verifies after the keys were rotated', async () => {
    const { id_token } = await app.connect(jamie)
    const keys = createRemoteJWKSet(new URL(`${server.origin}/jwks`), { timeoutDuration: PATIENCE_MS })
    const { kid, alg } = decodeProtectedHeader(id_token!)
    expect(alg).toBe('RS256')

    await rotateKeys(server.db, server.secrets, SYSTEM)

    await jwtVerify(id_token!, keys, { issuer: server.origin, audience: app.id })
    const later = await until(
      () => app.connect(jamie),
      (tokens) => decodeProtectedHeader(tokens.id_token!).kid !== kid,
    )
    await jwtVerify(
      later.id_token!,
      createRemoteJWKSet(new URL(`${server.origin}/jwks`), { timeoutDuration: PATIENCE_MS }),
    )
  })

  test('comes anew with each refresh, for the same person and sign-in', async () => {
    const first = await app.connect(jamie)
    const second = await openid.refreshTokenGrant(await app.client(), first.refresh_token!)

    expect(second.claims()).toMatchObject({ sub: jamie.id, aud: app.id, email: jamie.email })
    expect(second.claims()!.auth_time).toBe(first.claims()!.auth_time)
  })
})

describe('userinfo', () => {
  test('tells what was allowed', async () => {
    const tokens = await app.connect(jamie, { scope: 'openid profile email' })

    expect(await openid.fetchUserInfo(await app.client(), tokens.access_token, jamie.id)).toEqual({
      sub: jamie.id,
      name: 'Jamie',
      email: jamie.email,
      email_verified: true,
    })
  })

  test('tells no more than the scopes', async () => {
    const { access_token } = await app.connect(jamie, { scope: 'openid email' })

    const { body } = await app.userinfo(access_token)

    expect(body).toEqual({ sub: jamie.id, email: jamie.email, email_verified: true })
  })

  test('takes the token by POST, too', async () => {
    const { access_token } = await app.connect(jamie, { scope: 'openid email' })

    const answer = await fetch(`${server.origin}/userinfo`, {
      method: 'POST',
      body: new URLSearchParams({ access_token }),
    })

    expect(answer.status).toBe(200)
    expect(await answer.json()).toMatchObject({ sub: jamie.id })
  })

  test('refuses a token without openid', async () => {
    const { access_token } = await app.connect(jamie, { scope: 'photos.read', nonce: undefined })

    const answer = await app.userinfo(access_token)

    expect(answer.status).toBe(403)
    expect(answer.body.error).toBe('insufficient_scope')
  })

  test.each([
    ['no token', undefined, 401, /^Bearer realm="[^"]+", DPoP /],
    ['a made-up token', `vk_at_${'A'.repeat(49)}`, 401, /^Bearer .*error="invalid_token"/],
    ['a token in another scheme', 'Basic abc', 400, /^Bearer .*error="invalid_request"/],
  ])('refuses %s and says what it wants', async (_, token, status, challenge) => {
    const headers = token ? { Authorization: token.includes(' ') ? token : `Bearer ${token}` } : undefined

    const answer = await fetch(`${server.origin}/userinfo`, { headers })

    expect(answer.status).toBe(status)
    expect(answer.headers.get('www-authenticate')).toMatch(challenge)
  })

  test('refuses a token that has expired', async () => {
    const { access_token } = await app.connect(jamie, { scope: 'openid email' })
    await run(
      server.db,
      sql`update tokens set expires_at = now() - interval '10 seconds' where hash = ${digest(access_token)}`,
    )

    expect((await app.userinfo(access_token)).status).toBe(401)
  })

  test('refuses a refresh token and a code', async () => {
    const { refresh_token } = await app.connect(jamie, { scope: 'openid email' })
    const { code } = await app.code(jamie, { scope: 'openid email' })

    expect((await app.userinfo(refresh_token!)).status).toBe(401)
    expect((await app.userinfo(code)).status).toBe(401)
  })

  test('knows the new name at once', async () => {
    const robin = await server.person('Robin')
    const { access_token } = await app.connect(robin, { scope: 'openid profile' })
    const profile = await robin.account()

    await robin.press(profile, 'Save name', { name: 'Robin Redbreast' })

    expect((await app.userinfo(access_token)).body.name).toBe('Robin Redbreast')
  })
})

// Which of these are there is the provider's choice; a test names what may be.
function optional(claims: object, ...names: string[]): object {
  return Object.fromEntries(Object.entries(claims).filter(([name]) => names.includes(name)))
}

async function until<T>(act: () => Promise<T>, holds: (result: T) => boolean): Promise<T> {
  return untilPasses(async () => {
    const result = await act()
    if (!holds(result)) throw new Error('it never came to hold')
    return result
  })
}
