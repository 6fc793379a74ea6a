// Client credentials (RFC 6749 §4.4) with and without naming the API (RFC 8707), and the grants that there are not.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import * as openid from 'openid-client'
import { one, sql } from '../../src/db/pool.ts'
import { type Api, type App, PHOTOS, type ServerFixture, startServerFixture } from '../support/flow.ts'

let server: ServerFixture & { photos: Api }
let service: App
beforeAll(async () => {
  server = await startServerFixture()
  service = await server.app({ type: 'service', name: 'Nightly', scopes: ['photos.read', 'photos.share'] })
})
afterAll(() => server.stop())

test('a service gets a token for the API whose scope it names, and the API sees it', async () => {
  const tokens = await openid.clientCredentialsGrant(await service.client(), { scope: 'photos.read' })

  expect(tokens).toMatchObject({ token_type: 'bearer', expires_in: 600, scope: 'photos.read' })
  expect(tokens.access_token).toMatch(/^vk_at_cc_[\w-]{49}$/)
  expect(tokens.refresh_token).toBeUndefined()
  expect(await server.photos.introspect(tokens.access_token)).toEqual({
    active: true,
    client_id: service.id,
    scope: 'photos.read',
    aud: PHOTOS.identifier,
    iss: server.origin,
    iat: expect.any(Number),
    exp: expect.any(Number),
    token_type: 'Bearer',
  })
})

test('a service that names the API gets the same', async () => {
  const tokens = await openid.clientCredentialsGrant(await service.client(), {
    scope: 'photos.read photos.share',
    resource: PHOTOS.identifier,
  })

  expect((await server.photos.introspect(tokens.access_token)).aud).toBe(PHOTOS.identifier)
  expect(tokens.scope).toBe('photos.read photos.share')
})

test('a web app may act for itself, too, and a token of its own belongs to no user', async () => {
  const app = await server.app()

  const { body } = await app.post('/token', { grant_type: 'client_credentials', scope: 'photos.read' })

  expect((await server.photos.introspect(body.access_token)).sub).toBeUndefined()
  expect((await app.userinfo(body.access_token)).status).toBe(401)
})

test.each([
  ['a scope it may not have', { scope: 'prints.order' }, 'invalid_scope'],
  ['a scope that is registered nowhere', { scope: 'photos.burn' }, 'invalid_scope'],
  ['an API that is registered nowhere', { resource: 'https://elsewhere.example' }, 'invalid_target'],
  ['a scope of a person', { scope: 'openid' }, 'invalid_scope'],
])('%s is refused', async (_, form, error) => {
  const before = await tokens()

  const answer = await service.post('/token', {
    grant_type: 'client_credentials',
    ...(form as Record<string, string>),
  })

  expect(answer.status).toBe(400)
  expect(answer.body.error).toBe(error)
  expect(await tokens()).toBe(before)
})

test.each(['spa', 'native'] as const)('a %s app, which keeps no secret, may not', async (type) => {
  const app = await server.app({ type })

  const answer = await app.post('/token', { grant_type: 'client_credentials', scope: 'photos.read' })

  expect(answer.status).toBe(400)
  expect(answer.body.error).toBe('unauthorized_client')
})

test('a client without any OpenID scope may not ask who a person is', async () => {
  const app = await server.app({ scopes: ['photos.read'] })
  const jamie = await server.person('Jamie')

  for (const scope of ['openid', 'profile photos.read', 'email']) {
    const { away } = await jamie.open((await app.begin({ scope, nonce: undefined })).url)

    expect(away!.searchParams.get('error')).toBe('invalid_scope')
  }
  const plain = await jamie.authorize((await app.begin({ scope: 'photos.read', nonce: undefined })).url)
  expect(plain.searchParams.get('code')).toMatch(/^vk_ac_/)
})

test('a wrong secret is refused', async () => {
  const Authorization = `Basic ${Buffer.from(`${service.id}:vk_cs_wrong`).toString('base64')}`

  const answer = await service.post('/token', { grant_type: 'client_credentials' }, { Authorization })

  expect(answer.status).toBe(401)
  expect(answer.body.error).toBe('invalid_client')
})

test('the credentials of an API get no token of any kind', async () => {
  for (const grant_type of ['client_credentials', 'refresh_token', 'authorization_code']) {
    const answer = await server.photos.post('/token', {
      grant_type,
      scope: 'photos.read',
      code: 'x',
      refresh_token: 'x',
    })

    expect(answer.status).toBe(400)
    expect(answer.body.error).toBe('unauthorized_client')
    expect(answer.body.error_description).toContain('not allowed for this client')
  }
})

describe('what there is not', () => {
  test.each([
    'password',
    'implicit',
    'urn:ietf:params:oauth:grant-type:token-exchange',
    'urn:ietf:params:oauth:grant-type:jwt-bearer',
  ])('grant type %s', async (grant_type) => {
    const app = await server.app()

    const answer = await app.post('/token', {
      grant_type,
      username: 'jamie',
      password: 'x',
      assertion: 'x',
    })

    expect(answer.status).toBe(400)
    expect(answer.body.error).toBe('unsupported_grant_type')
  })

  test.each(['token', 'id_token', 'id_token token', 'code id_token', 'code token', 'none'])(
    'response type %s for an app',
    async (response_type) => {
      const app = await server.app()
      const jamie = await server.person('Jamie')

      const { away } = await jamie.open((await app.begin({ response_type })).url)

      expect(away!.origin).toBe('https://printer.example')
      const answer = new URLSearchParams(away!.hash.slice(1) || away!.search)
      expect(answer.get('error')).toMatch(/^(unsupported_response_type|invalid_request|unauthorized_client)$/)
      expect([...answer.keys()].filter((name) => /token|code/.test(name))).toEqual([])
    },
  )
})

async function tokens(): Promise<number> {
  const { count } = await one<{ count: number }>(server.db, sql`select count(*)::int as count from tokens`)
  return count
}
