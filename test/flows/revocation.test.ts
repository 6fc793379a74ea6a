// Revocation by the client (RFC 7009): an access token goes alone, a refresh token takes its grant along.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import * as openid from 'openid-client'
import { one, sql } from '../../src/db/pool.ts'
import { type App, type Person, type ServerFixture, startServerFixture } from '../support/flow.ts'

let server: ServerFixture
let app: App
let jamie: Person
beforeAll(async () => {
  server = await startServerFixture()
  app = await server.app()
  jamie = await server.person('Jamie')
})
afterAll(() => server.stop())

test('an access token is revoked alone; its siblings and the refresh token live', async () => {
  const tokens = await app.connect(jamie)

  await openid.tokenRevocation(await app.client(), tokens.access_token)

  expect(await app.introspect(tokens.access_token)).toEqual({ active: false })
  const renewed = await app.refresh(tokens.refresh_token)
  expect(renewed.status).toBe(200)
  expect((await app.introspect(renewed.body.access_token)).active).toBe(true)
})

test('a refresh token takes its whole grant along, and the account says so', async () => {
  const tokens = await app.connect(jamie)

  const answer = await app.post('/revoke', { token: tokens.refresh_token! })

  expect(answer.status).toBe(200)
  expect(answer.body).toBe('')
  expect(await app.introspect(tokens.access_token)).toEqual({ active: false })
  expect((await app.refresh(tokens.refresh_token)).body.error).toBe('invalid_grant')
  const grant = await one<{ revoked_reason: string }>(
    server.db,
    sql`select revoked_reason from grants where user_id = ${jamie.id} and revoked_at is not null
        order by revoked_at desc limit 1`,
  )
  expect(grant.revoked_reason).toBe('revoked_by_client')
  const [event] = await server.events({ type: 'grant.revoked', user_id: jamie.id })
  expect(event).toMatchObject({
    actor_type: 'client',
    actor_id: app.id,
    data: { reason: 'revoked_by_client' },
  })
})

test('what was revoked by the app is allowed still: signing in again asks nothing', async () => {
  const { refresh_token } = await app.connect(jamie)
  await app.post('/revoke', { token: refresh_token! })

  const { away } = await jamie.open((await app.begin()).url)

  expect(away!.searchParams.get('code')).toMatch(/^vk_ac_/)
})

test('a hint that is wrong changes nothing', async () => {
  const tokens = await app.connect(jamie)

  const answer = await app.post('/revoke', { token: tokens.access_token, token_type_hint: 'refresh_token' })

  expect(answer.status).toBe(200)
  expect(await app.introspect(tokens.access_token)).toEqual({ active: false })
  expect((await app.introspect(tokens.refresh_token!)).active).toBe(true)
})

test.each(['web', 'spa'] as const)(
  'the tokens of another client are not touched by a %s app',
  async (type) => {
    const thief = await server.app({ type, name: 'Thief' })
    const tokens = await app.connect(jamie)

    for (const token of [tokens.access_token, tokens.refresh_token!]) {
      expect((await thief.post('/revoke', { token })).status).toBe(200)
    }

    expect((await app.introspect(tokens.access_token)).active).toBe(true)
    expect((await app.introspect(tokens.refresh_token!)).active).toBe(true)
  },
)

test.each(['vk_at_unknown', `vk_rt_${'A'.repeat(49)}`, 'nonsense'])(
  'an unknown token (%s) is answered with 200',
  async (token) => {
    const answer = await app.post('/revoke', { token })

    expect(answer.status).toBe(200)
  },
)

test('revoking twice is fine', async () => {
  const { refresh_token } = await app.connect(jamie)

  expect((await app.post('/revoke', { token: refresh_token! })).status).toBe(200)
  expect((await app.post('/revoke', { token: refresh_token! })).status).toBe(200)
})

test('a public client revokes its own tokens', async () => {
  const spa = await server.app({ type: 'spa', name: 'In a page' })
  const tokens = await spa.connect(jamie)

  await spa.post('/revoke', { token: tokens.refresh_token! })

  expect(await spa.introspect(tokens.access_token)).toEqual({ active: false })
})

test('a token of client credentials is revoked, too', async () => {
  const service = await server.app({ type: 'service', name: 'Nightly', scopes: ['photos.read'] })
  const { body } = await service.post('/token', { grant_type: 'client_credentials', scope: 'photos.read' })

  await service.post('/revoke', { token: body.access_token })

  expect(await service.introspect(body.access_token)).toEqual({ active: false })
})

test('a code is not revoked here', async () => {
  const { code, form } = await app.code(jamie)

  expect((await app.post('/revoke', { token: code })).status).toBe(200)

  expect((await app.post('/token', form)).status).toBe(200)
})

test('without a token or without a client the request is refused', async () => {
  expect((await app.post('/revoke', {})).body.error).toBe('invalid_request')
  const stranger = await fetch(`${server.origin}/revoke`, {
    method: 'POST',
    body: new URLSearchParams({ token: 'x' }),
  })
  expect(stranger.status).toBe(400)
})
