// The small rules of the protocol's side, each by itself: scopes in words, parting what is allowed, what Postgres can hold,
// and a registration in the provider's words.
import { describe, expect, test } from '@jest/globals'
import { openidWords } from '../../src/base/openid-scopes.ts'
import type { Registration } from '../../src/core/clients/cache.ts'
import { type ClientMetadata, mapFields, standardOf } from '../../src/core/clients/fields.ts'
import { DatabaseUnavailable } from '../../src/db/errors.ts'
import { providerMetadata } from '../../src/protocol/rules/clients.ts'
import { all, split } from '../../src/protocol/rules/grants.ts'
import { storable, throughStorage } from '../../src/protocol/storage/errors.ts'

describe('OpenID scopes in words', () => {
  test.each([
    [['openid'], ['Know who you are', 'That it is you again, but not your name or email address']],
    [
      ['openid', 'profile'],
      ['Know who you are', 'Your name'],
    ],
    [
      ['openid', 'email'],
      ['Know who you are', 'Your email address'],
    ],
    [
      ['profile', 'email'],
      ['Know who you are', 'Your name and email address'],
    ],
  ])('%j', (scopes, [sentence, detail]) => {
    expect(openidWords(new Set(scopes))).toEqual([{ sentence, detail }])
  })

  test('staying connected is said by itself', () => {
    expect(openidWords(new Set(['openid', 'offline_access'])).map(({ sentence }) => sentence)).toEqual([
      'Know who you are',
      'Stay connected',
    ])
    expect(openidWords(new Set(['photos.read']))).toEqual([])
  })
})

describe('parting what is asked', () => {
  const asked = {
    openid: { scope: 'openid email' },
    resources: { 'https://a.example': 'a.read a.write', 'https://b.example': 'b.read' },
  }

  test('what is not allowed is kept as rejected, API by API', () => {
    expect(split(asked, new Set(['openid', 'a.read']))).toEqual({
      openid: { scope: 'openid email' },
      resources: { 'https://a.example': 'a.read' },
      rejected: { resources: { 'https://a.example': 'a.write', 'https://b.example': 'b.read' } },
    })
  })

  test('nothing is rejected when all is allowed, and nothing is added', () => {
    const allowed = new Set([...all(asked), 'c.read'])

    expect(split(asked, allowed)).toEqual(asked)
  })

  test('all of it, whatever it belongs to', () => {
    expect(all(asked)).toEqual(['openid', 'email', 'a.read', 'a.write', 'b.read'])
    expect(all({ resources: {} })).toEqual([])
  })
})

describe('what Postgres can hold', () => {
  test.each(['plain', 'ünïcødé 🗝️', '\\u0000', '\\\\u0000', 'a\\', '\u2028', '\u0001', '"', ''])(
    '%j passes',
    (text) => {
      expect(JSON.parse(storable({ text }))).toEqual({ text })
    },
  )

  test.each(['\0', 'a\0', '\\\0', '\ud800', '\udfff', 'a\ud83d', '\\\ud800'])('%j is refused', (text) => {
    for (const payload of [{ text }, { deep: [{ text }] }, { [text]: 1 }]) {
      expect(() => storable(payload)).toThrow(expect.objectContaining({ error: 'invalid_request' }))
    }
  })
})

test('a database that is away is said in the words of the protocol, and everything else as it is', async () => {
  const away = throughStorage(() => Promise.reject(new DatabaseUnavailable('gone')))
  const other = throughStorage(() => Promise.reject(new TypeError('a bug')))

  await expect(away).rejects.toMatchObject({ status: 503, error: 'temporarily_unavailable', expose: true })
  await expect(other).rejects.toThrow(TypeError)
})

describe('a registration in the provider’s words', () => {
  const registration: Registration = {
    ...(mapFields((_, name) => standardOf(name)) as Omit<ClientMetadata, 'type'>),
    id: 'c_1',
    name: 'App',
    type: 'web',
    redirect_uris: ['https://app.example/callback'],
    scopes: ['openid', 'email', 'photos.read'],
    registered_by: 'admin',
    state: 'active',
    state_reason: '',
    version: 1,
    last_used_at: null,
    verified_at: null,
    verification_fell_at: null,
    resource: null,
    created_at: new Date(),
    suspended_at: null,
    secrets: [],
    grant_types: null,
    branding_changed_at: null,
  }

  test.each([
    ['web', ['authorization_code', 'refresh_token', 'client_credentials'], ['code'], 'client_secret_basic'],
    ['spa', ['authorization_code', 'refresh_token'], ['code'], 'none'],
    ['native', ['authorization_code', 'refresh_token'], ['code'], 'none'],
    ['service', ['client_credentials'], [], 'client_secret_basic'],
    ['resource_server', [], [], 'client_secret_basic'],
  ] as const)('%s', (type, grant_types, response_types, token_endpoint_auth_method) => {
    const metadata = providerMetadata({ ...registration, type })

    expect(metadata).toMatchObject({ grant_types, response_types, token_endpoint_auth_method })
    expect('client_secret' in metadata).toBe(token_endpoint_auth_method !== 'none')
    expect(metadata.application_type).toBe(type === 'native' ? 'native' : 'web')
  })

  test('parts the scopes of OpenID from those of APIs', () => {
    expect(providerMetadata(registration)).toMatchObject({
      scope: 'openid email',
      resource_scopes: ['photos.read'],
    })
  })

  test('holds no secret, nor a digest of one', () => {
    const secrets = [{ id: 'x', hash: Buffer.alloc(32, 7), expires_at: null }]

    const text = JSON.stringify(providerMetadata({ ...registration, secrets }))

    expect(text).not.toContain(Buffer.alloc(32, 7).toString('hex'))
    expect(text).not.toContain('7,7,7')
  })
})
