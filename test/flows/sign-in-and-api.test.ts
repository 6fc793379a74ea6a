// Signing in and an API in one request: one access token opens /userinfo and that API, says all that was granted, and is worth nothing
// anywhere else. Libraries that know nothing of resource indicators expect exactly this.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { decodeJwt } from 'jose'
import * as openid from 'openid-client'
import {
  type Api,
  type App,
  type Person,
  PHOTOS,
  type ServerFixture,
  startServerFixture,
} from '../support/flow.ts'

const NOTES = {
  identifier: 'https://notes.example',
  name: 'Notes',
  scopes: [{ name: 'notes.read', sentence: 'Read your notes' }],
  token_format: 'jwt' as const,
}

let server: ServerFixture & { photos: Api }
let notes: Api
let app: App
let jamie: Person
beforeAll(async () => {
  server = await startServerFixture()
  notes = await server.api(NOTES)
  app = await server.app({
    scopes: ['openid', 'profile', 'email', 'photos.read', 'photos.share', 'notes.read'],
  })
  jamie = await server.person('Jamie')
})
afterAll(() => server.stop())

const SCOPE = 'openid profile email photos.read'

describe('a token for an API, of a sign-in', () => {
  test('has every scope that was granted, and opens userinfo', async () => {
    const tokens = await app.connect(jamie, { scope: SCOPE })

    expect(tokens.scope).toBe(SCOPE)
    expect(await app.userinfo(tokens.access_token)).toMatchObject({
      status: 200,
      body: { sub: jamie.id, name: 'Jamie', email: jamie.email },
    })
  })

  test('shows its API the scopes of that API, and the app all of them', async () => {
    const { access_token } = await app.connect(jamie, { scope: SCOPE })

    expect(await server.photos.introspect(access_token)).toMatchObject({
      active: true,
      aud: PHOTOS.identifier,
      scope: 'photos.read',
    })
    expect(await app.introspect(access_token)).toMatchObject({ active: true, scope: SCOPE })
  })

  test('is not active at an API that was not asked for', async () => {
    const { access_token } = await app.connect(jamie, { scope: SCOPE })

    expect(await notes.introspect(access_token)).toEqual({ active: false })
  })

  test('opens userinfo after a refresh, too', async () => {
    const { refresh_token } = await app.connect(jamie, { scope: SCOPE })

    const { body } = await app.refresh(refresh_token!)

    expect(body.scope).toBe(SCOPE)
    expect(await app.userinfo(body.access_token)).toMatchObject({ status: 200, body: { email: jamie.email } })
  })

  test('tells userinfo no more than was asked for', async () => {
    const { access_token } = await app.connect(jamie, { scope: 'openid photos.read' })

    expect((await app.userinfo(access_token)).body).toEqual({ sub: jamie.id })
  })

  test('without openid does not open userinfo', async () => {
    const { access_token, scope } = await app.connect(jamie, { scope: 'photos.read', nonce: undefined })

    expect(scope).toBe('photos.read')
    expect(await app.userinfo(access_token)).toMatchObject({
      status: 403,
      body: { error: 'insufficient_scope' },
    })
  })

  test('is closed everywhere once the person removed the app', async () => {
    const robin = await server.person('Robin')
    const { access_token } = await app.connect(robin, { scope: SCOPE })

    await robin.press(await robin.account(`/account/apps/${app.id}/remove`), 'Remove access')

    expect((await app.userinfo(access_token)).status).toBe(401)
    expect(await server.photos.introspect(access_token)).toEqual({ active: false })
  })
})

describe('a JWT for an API, of a sign-in', () => {
  test('says its API the scopes of that API only, and opens userinfo', async () => {
    const { access_token, scope } = await app.connect(jamie, { scope: 'openid email notes.read' })

    expect(scope).toBe('openid email notes.read')
    expect(decodeJwt(access_token)).toMatchObject({ aud: NOTES.identifier, scope: 'notes.read' })
    expect(await notes.introspect(access_token)).toMatchObject({ active: true, scope: 'notes.read' })
    expect(await app.introspect(access_token)).toMatchObject({
      active: true,
      scope: 'openid email notes.read',
    })
    expect(await app.userinfo(access_token)).toMatchObject({ status: 200, body: { email: jamie.email } })
  })

  test('with a broken signature, or of a service, opens nothing', async () => {
    const { access_token } = await app.connect(jamie, { scope: 'openid notes.read' })
    const service = await server.app({ type: 'service', name: 'Nightly', scopes: ['notes.read'] })
    const own = await service.post('/token', { grant_type: 'client_credentials', scope: 'notes.read' })

    expect((await app.userinfo(`${access_token.slice(0, -8)}AAAAAAAA`)).status).toBe(401)
    expect((await app.userinfo(own.body.access_token)).status).toBe(401)
  })

  test('bound to a key opens userinfo with a proof of that key only', async () => {
    const config = await app.client()
    const DPoP = openid.getDPoPHandle(config, await openid.randomDPoPKeyPair())
    const other = openid.getDPoPHandle(config, await openid.randomDPoPKeyPair())
    const pending = await app.begin({ scope: 'openid notes.read' })
    const { access_token } = await app.finish(await jamie.authorize(pending.url), pending, { DPoP })

    expect(await openid.fetchUserInfo(config, access_token, jamie.id, { DPoP })).toEqual({ sub: jamie.id })
    expect((await app.userinfo(access_token)).status).toBe(401)
    await expect(openid.fetchUserInfo(config, access_token, jamie.id, { DPoP: other })).rejects.toThrow()
  })
})

describe('asking for less', () => {
  test('a refresh for openid alone gives a token for userinfo alone', async () => {
    const { refresh_token } = await app.connect(jamie, { scope: SCOPE })

    const { status, body } = await app.refresh(refresh_token!, { scope: 'openid' })

    expect(status).toBe(200)
    expect(body.scope).toBe('openid')
    expect((await app.userinfo(body.access_token)).body).toEqual({ sub: jamie.id })
    expect(await server.photos.introspect(body.access_token)).toEqual({ active: false })
  })

  test('a refresh for the API alone does not open userinfo', async () => {
    const { refresh_token } = await app.connect(jamie, { scope: SCOPE })

    const { body } = await app.refresh(refresh_token!, { scope: 'photos.read' })

    expect(body.scope).toBe('photos.read')
    expect((await app.userinfo(body.access_token)).status).toBe(403)
    expect(await server.photos.introspect(body.access_token)).toMatchObject({
      active: true,
      scope: 'photos.read',
    })
  })

  test('a sign-in that names the API and none of its scopes gets a token for userinfo alone', async () => {
    const { form } = await app.code(jamie, { scope: 'openid', resource: PHOTOS.identifier })

    const { status, body } = await app.post('/token', { ...form, resource: PHOTOS.identifier })

    expect(status).toBe(200)
    expect(body.scope).toBe('openid')
    expect((await app.userinfo(body.access_token)).status).toBe(200)
    expect(await server.photos.introspect(body.access_token)).toEqual({ active: false })
  })

  test('nor does an earlier decision for more widen what this sign-in asks for', async () => {
    await app.connect(jamie, { scope: SCOPE })

    const tokens = await app.connect(jamie, { scope: 'openid', resource: PHOTOS.identifier })

    expect(tokens.scope).toBe('openid')
    expect(await server.photos.introspect(tokens.access_token)).toEqual({ active: false })
  })

  test('without anything left there is no token, and the refresh token stays good', async () => {
    const { refresh_token } = await app.connect(jamie, { scope: 'photos.read notes.read', nonce: undefined })

    const { status, body } = await app.refresh(refresh_token!, {
      scope: 'notes.read',
      resource: PHOTOS.identifier,
    })

    expect(status).toBe(400)
    expect(body.error).toBe('invalid_scope')
    expect((await app.refresh(refresh_token!, { resource: PHOTOS.identifier })).body.scope).toBe(
      'photos.read',
    )
  })
})
