// What the server says about itself (OpenID Connect Discovery, RFC 8414), and that it is true.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { type ServerFixture, startServerFixture } from '../support/flow.ts'
import { untilPasses } from '../support/patience.ts'

let server: ServerFixture
let metadata: Record<string, unknown>
beforeAll(async () => {
  server = await startServerFixture()
  metadata = await json('/.well-known/openid-configuration')
})
afterAll(() => server.stop())

test('the metadata stands under both addresses, and is the same', async () => {
  expect(await json('/.well-known/oauth-authorization-server')).toEqual(metadata)
})

test('the metadata claims what there is, and nothing else', () => {
  const at = (path: string) => `${server.origin}${path}`
  expect(metadata).toMatchObject({
    issuer: server.origin,
    authorization_endpoint: at('/auth'),
    token_endpoint: at('/token'),
    userinfo_endpoint: at('/userinfo'),
    introspection_endpoint: at('/introspect'),
    revocation_endpoint: at('/revoke'),
    pushed_authorization_request_endpoint: at('/par'),
    device_authorization_endpoint: at('/device_authorization'),
    end_session_endpoint: at('/session/end'),
    jwks_uri: at('/jwks'),
    response_types_supported: ['code'],
    code_challenge_methods_supported: ['S256'],
    subject_types_supported: ['public'],
    authorization_response_iss_parameter_supported: true,
    request_uri_parameter_supported: false,
    claims_parameter_supported: false,
  })
  expect((metadata.grant_types_supported as string[]).sort()).toEqual([
    'authorization_code',
    'client_credentials',
    'refresh_token',
    'urn:ietf:params:oauth:grant-type:device_code',
  ])
  expect(metadata.response_modes_supported).toEqual(expect.arrayContaining(['query', 'form_post']))
  expect((metadata.id_token_signing_alg_values_supported as string[]).sort()).toEqual(['ES256', 'RS256'])
  expect(metadata.dpop_signing_alg_values_supported).toEqual(expect.arrayContaining(['ES256']))
  expect(metadata.token_endpoint_auth_methods_supported).toEqual([
    'client_secret_basic',
    'client_secret_post',
    'none',
  ])
  expect(metadata.claims_supported).toEqual(
    expect.arrayContaining(['sub', 'name', 'email', 'email_verified']),
  )
  for (const absent of ['registration_endpoint', 'backchannel_authentication_endpoint']) {
    expect(metadata).not.toHaveProperty(absent)
  }
})

test('it names the scopes of the APIs, and of a new one at once', async () => {
  expect(metadata.scopes_supported).toEqual(
    expect.arrayContaining(['openid', 'profile', 'email', 'offline_access', 'photos.read', 'prints.order']),
  )

  await server.api({
    identifier: 'https://notes.example',
    name: 'Notes',
    scopes: [{ name: 'notes.read', sentence: 'Read your notes' }],
  })

  await untilPasses(async () => {
    const scopes = (await json('/.well-known/openid-configuration')).scopes_supported as string[]
    expect(scopes).toContain('notes.read')
  })
})

test('every address it names answers', async () => {
  for (const [name, value] of Object.entries(metadata)) {
    if (!/_(endpoint|uri)$/.test(name)) continue

    const answer = await fetch(value as string, { redirect: 'manual' })

    expect([name, answer.status]).not.toEqual([name, 404])
    expect(answer.status).toBeLessThan(500)
  }
})

test('the keys are public: ES256 and RS256, the current ones first and the next ones already there', async () => {
  const { keys } = (await json('/jwks')) as { keys: Record<string, unknown>[] }

  expect(keys.map(({ alg }) => alg).sort()).toEqual(['ES256', 'ES256', 'RS256', 'RS256'])
  expect(new Set(keys.map(({ kid }) => kid)).size).toBe(4)
  for (const key of keys) {
    expect(key.use).toBe('sig')
    for (const part of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']) expect(key).not.toHaveProperty(part)
  }
})

test('pages of other origins may read it', async () => {
  const answer = await fetch(`${server.origin}/.well-known/openid-configuration`, {
    headers: { Origin: 'https://spa.example' },
  })

  expect(answer.headers.get('access-control-allow-origin')).toMatch(/^(\*|https:\/\/spa\.example)$/)
})

test('a page of a public client may redeem codes, a page of anybody else may not read the answer', async () => {
  const spa = await server.app({ type: 'spa', redirect_uris: ['https://spa.example/callback'] })
  const allowed = async (Origin: string) => {
    const answer = await spa.post('/token', { grant_type: 'refresh_token', refresh_token: 'x' }, { Origin })
    return answer.headers.get('access-control-allow-origin')
  }

  expect(await allowed('https://spa.example')).toBe('https://spa.example')
  expect(await allowed('https://evil.example')).toBeNull()
})

test('a browser that asks first whether a page may call is told so, wherever pages call', async () => {
  for (const [path, method] of [
    ['/token', 'POST'],
    ['/revoke', 'POST'],
    ['/userinfo', 'GET'],
    ['/jwks', 'GET'],
  ]) {
    const answer = await fetch(`${server.origin}${path}`, {
      method: 'OPTIONS',
      headers: {
        Origin: 'https://spa.example',
        'Access-Control-Request-Method': method!,
        'Access-Control-Request-Headers': 'authorization',
      },
    })

    expect([path, answer.status]).toEqual([path, 204])
    expect(answer.headers.get('access-control-allow-origin')).toBe('https://spa.example')
    expect(answer.headers.get('access-control-allow-headers')).toBe('authorization')
    expect(answer.headers.get('access-control-allow-credentials')).toBeNull()
  }
})

async function json(path: string): Promise<Record<string, unknown>> {
  const answer = await fetch(`${server.origin}${path}`)
  expect(answer.status).toBe(200)
  return (await answer.json()) as Record<string, unknown>
}
