// Introspection (RFC 7662): an app learns about its own tokens, an API about those meant for it, nobody about others.

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import * as openid from 'openid-client'
import { digest } from '../../src/base/credentials.ts'
import { run, sql } from '../../src/db/pool.ts'
import {
  type Api,
  type App,
  type Person,
  PHOTOS,
  type ServerFixture,
  startServerFixture,
} from '../support/flow.ts'
import { until } from '../support/patience.ts'

let server: ServerFixture & { photos: Api }
let calendar: Api
let app: App
let jamie: Person
beforeAll(async () => {
  server = await startServerFixture()
  calendar = await server.api({
    identifier: 'https://calendar.example',
    name: 'Calendar',
    scopes: [{ name: 'calendar.read', sentence: 'See your appointments' }],
  })
  app = await server.app({ scopes: ['openid', 'profile', 'email', 'photos.read', 'calendar.read'] })
  jamie = await server.person('Jamie')
})
afterAll(() => server.stop())

describe('who sees what', () => {
  test('an app sees its own access token', async () => {
    const { access_token } = await app.connect(jamie)

    const seen = await openid.tokenIntrospection(await app.client(), access_token)

    expect(seen).toEqual({
      active: true,
      sub: jamie.id,
      client_id: app.id,
      scope: 'openid profile email photos.read',
      aud: PHOTOS.identifier,
      iss: server.origin,
      iat: expect.any(Number),
      exp: expect.any(Number),
      token_type: 'Bearer',
    })
    expect(seen.iat).toBeLessThanOrEqual(Date.now() / 1000)
    expect(Math.abs(seen.exp! - seen.iat! - 600)).toBeLessThanOrEqual(1)
  })

  test('an app sees its own refresh token', async () => {
    const { refresh_token } = await app.connect(jamie)

    expect(await app.introspect(refresh_token!)).toMatchObject({
      active: true,
      client_id: app.id,
      sub: jamie.id,
    })
  })

  test('an API sees the access tokens meant for it and no others', async () => {
    const photos = await app.connect(jamie)
    const appointments = await app.connect(jamie, { scope: 'openid calendar.read' })
    const userinfo = await app.connect(jamie, { scope: 'openid email' })

    expect(await server.photos.introspect(photos.access_token)).toMatchObject({ active: true, sub: jamie.id })
    expect(await calendar.introspect(appointments.access_token)).toMatchObject({
      active: true,
      scope: 'calendar.read',
    })
    expect(await calendar.introspect(photos.access_token)).toEqual({ active: false })
    expect(await server.photos.introspect(appointments.access_token)).toEqual({ active: false })
    expect(await server.photos.introspect(userinfo.access_token)).toEqual({ active: false })
    expect(await server.photos.introspect(photos.refresh_token!)).toEqual({ active: false })
  })

  test('another app sees nothing', async () => {
    const curious = await server.app({ name: 'Curious' })
    const { access_token, refresh_token } = await app.connect(jamie)

    expect(await curious.introspect(access_token)).toEqual({ active: false })
    expect(await curious.introspect(refresh_token!)).toEqual({ active: false })
  })

  test('a public client sees its own tokens and no others', async () => {
    const spa = await server.app({ type: 'spa', name: 'In a page' })
    const own = await spa.connect(jamie)
    const other = await app.connect(jamie)

    expect((await spa.introspect(own.access_token)).active).toBe(true)
    expect(await spa.introspect(other.access_token)).toEqual({ active: false })
  })

  test('nobody without credentials sees anything', async () => {
    const { access_token } = await app.connect(jamie)
    const body = new URLSearchParams({ token: access_token })

    const nobody = await fetch(`${server.origin}/introspect`, { method: 'POST', body })
    const wrong = await fetch(`${server.origin}/introspect`, {
      method: 'POST',
      body,
      headers: { Authorization: `Basic ${Buffer.from(`${app.id}:wrong`).toString('base64')}` },
    })

    expect(nobody.status).toBe(400)
    expect(wrong.status).toBe(401)
    expect(await wrong.json()).toMatchObject({ error: 'invalid_client' })
  })

  test('a hint that is wrong changes nothing', async () => {
    const { access_token } = await app.connect(jamie)

    const { body } = await app.post('/introspect', { token: access_token, token_type_hint: 'refresh_token' })

    expect(body.active).toBe(true)
  })
})

describe('inactive is', () => {
  test('an access token that has expired', async () => {
    const { access_token } = await app.connect(jamie)
    await run(
      server.db,
      sql`update tokens set expires_at = now() - interval '1 second' where hash = ${digest(access_token)}`,
    )

    expect(await app.introspect(access_token)).toEqual({ active: false })
    expect(await server.photos.introspect(access_token)).toEqual({ active: false })
  })

  test('a refresh token that was used', async () => {
    const { refresh_token } = await app.connect(jamie)
    await app.refresh(refresh_token)

    expect(await app.introspect(refresh_token!)).toEqual({ active: false })
  })

  test('a code, whoever asks', async () => {
    const { code } = await app.code(jamie)

    expect(await app.introspect(code)).toEqual({ active: false })
    expect(await server.photos.introspect(code)).toEqual({ active: false })
  })

  test.each(['nonsense', 'vk_at_', `vk_at_${'A'.repeat(49)}`, 'eyJhbGciOiJub25lIn0.e30.', '__proto__'])(
    'what was never issued: %s',
    async (token) => {
      const answer = await app.post('/introspect', { token })

      expect(answer.body.active ?? answer.body.error).not.toBe(true)
      expect(answer.status).toBeLessThan(500)
    },
  )
})

test('an answer is not kept by caches', async () => {
  const answer = await app.post('/introspect', { token: 'x' })

  expect(answer.headers.get('cache-control')).toContain('no-store')
})

test('introspecting notes the last use of the device', async () => {
  const { access_token } = await app.connect(jamie)
  await run(
    server.db,
    sql`update grants set last_used_at = now() - interval '3 days' where user_id = ${jamie.id}`,
  )

  await server.photos.introspect(access_token)

  // Noted a few times a minute.
  await until(async () => (await jamie.account('/account/apps')).text.includes('last used just now'))
})
