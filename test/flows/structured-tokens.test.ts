// Access tokens that an API reads by itself (RFC 9068): what is in them, who may ask about them, and what ends when.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { createRemoteJWKSet, decodeJwt, exportJWK, generateKeyPair, jwtVerify, SignJWT } from 'jose'
import * as openid from 'openid-client'
import { SYSTEM } from '../../src/base/audit-events.ts'
import { suspendClient } from '../../src/core/clients/lifecycle.ts'
import { rotateKeys } from '../../src/core/keys/store.ts'
import { changeResource } from '../../src/core/resources/update.ts'
import { run, sql } from '../../src/db/pool.ts'
import {
  type Api,
  type App,
  type Person,
  PHOTOS,
  type ServerFixture,
  startServerFixture,
} from '../support/flow.ts'
import { heard } from '../support/heard.ts'
import { PATIENCE_MS } from '../support/patience.ts'

const NOTES = {
  identifier: 'https://notes.example',
  name: 'Notes',
  scopes: [{ name: 'notes.read', sentence: 'Read your notes' }],
  token_format: 'jwt',
} as const

let server: ServerFixture & { photos: Api }
let notes: Api
let app: App
let jamie: Person
beforeAll(async () => {
  server = await startServerFixture()
  notes = await server.api({ ...NOTES, scopes: [...NOTES.scopes] })
  app = await server.app({ scopes: ['openid', 'email', 'photos.read', 'notes.read'] })
  jamie = await server.person('Jamie')
})
afterAll(() => server.stop())

const SCOPE = { scope: 'openid notes.read' }
const connect = () => app.connect(jamie, SCOPE)
const verify = (token: string, audience: string = NOTES.identifier) =>
  jwtVerify(token, createRemoteJWKSet(new URL(`${server.origin}/jwks`), { timeoutDuration: PATIENCE_MS }), {
    issuer: server.origin,
    audience,
    typ: 'at+jwt',
  })

describe('the token', () => {
  test('says what RFC 9068 §2.2 wants, and verifies with the published keys', async () => {
    const { access_token, expires_in } = await connect()

    const { payload, protectedHeader } = await verify(access_token)
    expect(protectedHeader).toEqual({ alg: 'RS256', typ: 'at+jwt', kid: expect.any(String) })
    expect(payload).toEqual({
      iss: server.origin,
      aud: NOTES.identifier,
      sub: jamie.id,
      client_id: app.id,
      scope: 'notes.read',
      jti: expect.any(String),
      iat: expect.any(Number),
      exp: payload.iat! + 600,
    })
    expect(expires_in).toBeGreaterThan(500)
  })

  test('of a service names the service', async () => {
    const service = await server.app({ type: 'service', name: 'Nightly', scopes: ['notes.read'] })

    const { access_token } = await openid.clientCredentialsGrant(await service.client(), {
      scope: 'notes.read',
    })

    expect((await verify(access_token)).payload).toMatchObject({ sub: service.id, client_id: service.id })
    expect(await notes.introspect(access_token)).toMatchObject({ active: true, client_id: service.id })
  })

  test('is opaque for other APIs, and for none', async () => {
    expect((await app.connect(jamie, { scope: 'openid photos.read' })).access_token).toMatch(/^vk_at_/)
    expect((await app.connect(jamie, { scope: 'openid email' })).access_token).toMatch(/^vk_at_/)
  })

  test('its jti is worth nothing by itself', async () => {
    const { access_token } = await connect()
    const { jti } = decodeJwt(access_token)

    expect(await notes.introspect(jti!)).toEqual({ active: false })
    expect((await app.userinfo(jti!)).status).toBe(401)
  })

  test('ends when the decision of the person ends', async () => {
    const tokens = await connect()
    await run(
      server.db,
      sql`update grants set ends_at = now() + interval '90 seconds'
          where client_id = ${app.id} and revoked_at is null`,
    )

    const { body } = await app.refresh(tokens.refresh_token)

    expect(body.expires_in).toBeLessThanOrEqual(90)
    const { exp, iat } = decodeJwt(body.access_token)
    expect(exp! - iat!).toBeLessThanOrEqual(90)
    await run(server.db, sql`update grants set ends_at = null where client_id = ${app.id}`)
  })

  test('with DPoP is bound to the key', async () => {
    const config = await app.client()
    const DPoP = openid.getDPoPHandle(config, await openid.randomDPoPKeyPair())
    const pending = await app.begin(SCOPE)

    const tokens = await app.finish(await jamie.authorize(pending.url), pending, { DPoP })

    const { cnf } = decodeJwt(tokens.access_token) as { cnf: { jkt: string } }
    expect(cnf.jkt).toMatch(/^[\w-]{43}$/)
    expect(await notes.introspect(tokens.access_token)).toMatchObject({ token_type: 'DPoP', cnf })
  })
})

describe('asking about it', () => {
  test('its API and its app are told what they would be of an opaque one', async () => {
    const { access_token } = await connect()
    const { jti, iat, exp } = decodeJwt(access_token)

    const told = {
      active: true,
      sub: jamie.id,
      client_id: app.id,
      scope: 'notes.read',
      aud: NOTES.identifier,
      iss: server.origin,
      token_type: 'Bearer',
      jti,
      iat,
      exp,
    }
    expect(await notes.introspect(access_token)).toEqual(told)
    expect(await app.introspect(access_token)).toEqual({ ...told, scope: 'openid notes.read' })
  })

  test('nobody else is told anything, nor is anybody without credentials', async () => {
    const { access_token } = await connect()
    const other = await server.app({ name: 'Other' })

    expect(await server.photos.introspect(access_token)).toEqual({ active: false })
    expect(await other.introspect(access_token)).toEqual({ active: false })
    const wrong = await fetch(`${server.origin}/introspect`, {
      method: 'POST',
      headers: { Authorization: `Basic ${Buffer.from(`${notes.id}:wrong`).toString('base64')}` },
      body: new URLSearchParams({ token: access_token }),
    })
    expect(wrong.status).toBe(401)
  })

  test('a forged one, and an ID token, are not active', async () => {
    const { access_token, id_token } = await connect()
    const { privateKey, publicKey } = await generateKeyPair('RS256')
    const forged = await new SignJWT(decodeJwt(access_token))
      .setProtectedHeader({ alg: 'RS256', typ: 'at+jwt', jwk: await exportJWK(publicKey) })
      .sign(privateKey)
    const [head, body] = access_token.split('.')

    expect(await notes.introspect(forged)).toEqual({ active: false })
    expect(await notes.introspect(`${head}.${body}.`)).toEqual({ active: false })
    expect(await app.introspect(id_token!)).toEqual({ active: false })
  })

  test('a key that was retired still counts', async () => {
    const { access_token } = await connect()

    await rotateKeys(server.db, server.secrets, SYSTEM)
    await heard(server)

    expect(await notes.introspect(access_token)).toMatchObject({ active: true })
    expect((await verify(access_token)).payload.sub).toBe(jamie.id)
  })
})

describe('what ends it', () => {
  test('the person removes the app: inactive at once, though its signature still verifies', async () => {
    const mallory = await server.person('Mallory')
    const { access_token } = await app.connect(mallory, SCOPE)
    expect(await notes.introspect(access_token)).toMatchObject({ active: true })

    await mallory.press(await mallory.account(`/account/apps/${app.id}/remove`), 'Remove access')

    expect(await notes.introspect(access_token)).toEqual({ active: false })
    expect((await verify(access_token)).payload.sub).toBe(mallory.id)
  })

  test('the app revokes it, and only its own; its refresh token goes on', async () => {
    const tokens = await connect()
    const other = await server.app({ name: 'Another' })

    expect((await other.post('/revoke', { token: tokens.access_token })).status).toBe(200)
    expect(await notes.introspect(tokens.access_token)).toMatchObject({ active: true })
    const revoked = await app.post('/revoke', { token: tokens.access_token })

    expect(revoked).toMatchObject({ status: 200, body: '' })
    expect(await notes.introspect(tokens.access_token)).toEqual({ active: false })
    expect((await app.refresh(tokens.refresh_token)).status).toBe(200)
  })

  test('the app is suspended', async () => {
    const service = await server.app({ type: 'service', name: 'Daily', scopes: ['notes.read'] })
    const { body } = await service.post('/token', { grant_type: 'client_credentials', scope: 'notes.read' })

    await suspendClient(server.db, service.id, SYSTEM)

    expect(await notes.introspect(body.access_token)).toEqual({ active: false })
  })
})

test('an API decides how long its tokens live, from the next one on', async () => {
  await changeResource(server.db, NOTES.identifier, { token_seconds: 120 }, SYSTEM)
  await changeResource(server.db, PHOTOS.identifier, { token_seconds: 1200 }, SYSTEM)
  await heard(server)
  const { access_token } = await connect()
  const photos = await app.connect(jamie, { scope: 'openid photos.read' })

  const { exp, iat } = decodeJwt(access_token)
  expect(exp! - iat!).toBe(120)
  expect(photos.expires_in).toBeGreaterThan(1000)
})

test('where all tokens live for longer, a JWT does not unless its API says so', async () => {
  const patient = await startServerFixture({ ACCESS_TOKEN_TTL_SECONDS: '7200' })
  try {
    await patient.api({ ...NOTES, scopes: [...NOTES.scopes] })
    await heard(server)
    const service = await patient.app({ type: 'service', scopes: ['notes.read', 'photos.read'] })
    const ask = (scope: string) => service.post('/token', { grant_type: 'client_credentials', scope })

    expect((await ask('notes.read')).body.expires_in).toBe(600)
    expect((await ask('photos.read')).body.expires_in).toBe(7200)
  } finally {
    await patient.stop()
  }
})
