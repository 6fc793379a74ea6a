// Who gets into the Admin API: every operation of the table against everybody who may not.
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose'
import { API_SCOPES } from '../../src/base/admin-api-scopes.ts'
import { SYSTEM } from '../../src/base/audit-events.ts'
import { digest } from '../../src/base/credentials.ts'
import { deleteClient, suspendClient } from '../../src/core/clients/lifecycle.ts'
import { setRole } from '../../src/core/users/roles.ts'
import { disableUser } from '../../src/core/users/store.ts'
import { run, sql } from '../../src/db/pool.ts'
import { administrator, adminRows } from '../pages/admin/admin-fixture.ts'
import type { App } from '../support/flow.ts'
import { ALL, type ApiFixture, operationsAt, startApiFixture, tokenFor, tokenOf } from './api-fixture.ts'

const operations = operationsAt()

let fixture: ApiFixture
let office: App
/** Tokens that are no good, or not for everything. */
const tokens: Record<string, string> = {}
let places: Record<string, string>
beforeAll(async () => {
  // An operator who names a scope of the API for strangers gives it to nobody all the same.
  fixture = await startApiFixture({
    DYNAMIC_REGISTRATION: 'open',
    DYNAMIC_REGISTRATION_SCOPES: 'openid,clients:read',
  })
  const { server } = fixture
  const { db } = server
  const service = (name: string, scopes: string[] = ALL) => server.app({ type: 'service', name, scopes })
  office = await server.app({ name: 'Office', scopes: ['openid', 'photos.read', ...ALL] })

  tokens['a token for another API'] = await tokenOf(await service('Elsewhere', ['photos.read']), [
    'photos.read',
  ])
  const former = await administrator(server, 'Former')
  tokens['a person who is no administrator any more'] = await tokenFor(office, former)
  await setRole(db, former.id, 'user', SYSTEM)
  tokens['a person who never was one'] = await tokenFor(office, await server.person('Jamie'))
  const gone = await administrator(server, 'Gone')
  tokens['a disabled administrator'] = await tokenFor(office, gone)
  await disableUser(db, gone.id, SYSTEM)
  const suspended = await service('Suspended')
  tokens['a suspended client'] = await tokenOf(suspended)
  await suspendClient(db, suspended.id, SYSTEM)
  const deleted = await service('Deleted')
  tokens['a deleted client'] = await tokenOf(deleted)
  await deleteClient(db, deleted.id, SYSTEM)
  const revoking = await service('Revoking')
  tokens['a revoked token'] = await tokenOf(revoking)
  await revoking.post('/revoke', { token: tokens['a revoked token'] })
  const late = await service('Late')
  tokens['an expired token'] = await tokenOf(late)
  await run(db, sql`update tokens set expires_at = now() - interval '1 second' where client_id = ${late.id}`)
  const removed = await administrator(server, 'Removed')
  tokens['an app whose access was removed'] = await tokenFor(office, removed)
  await run(db, sql`update grants set revoked_at = now() where user_id = ${removed.id}`)
  tokens['a mistyped token'] = `${fixture.token.slice(0, -1)}${fixture.token.endsWith('a') ? 'b' : 'a'}`
  tokens['a client secret'] = fixture.service.secret!
  tokens['a refresh token'] = (await office.connect(fixture.ada, { scope: 'openid' })).refresh_token!
  for (const scope of ALL) {
    const others = ALL.filter((each) => each !== scope)
    tokens[`all but ${scope}`] = await tokenOf(await service(`All but ${scope}`, others), others)
  }
  places = {
    client_id: office.id,
    user_id: fixture.ada.id,
    resource_id: Buffer.from('https://photos.example').toString('base64url'),
    scope_id: Buffer.from('photos.read').toString('base64url'),
    secret_id: randomUUID(),
    token_id: randomUUID(),
    grant_id: randomUUID(),
    job_id: randomUUID(),
    change_id: randomUUID(),
  }
})
afterAll(() => fixture.stop())

const UNAUTHORIZED = [
  'a token for another API',
  'a disabled administrator',
  'a suspended client',
  'a deleted client',
  'a revoked token',
  'an expired token',
  'an app whose access was removed',
  'a mistyped token',
  'a client secret',
  'a refresh token',
]
const FORBIDDEN = ['a person who is no administrator any more', 'a person who never was one']

describe.each(operations.map(({ method, path, scope }) => ({ method, path, scope })))(
  '$method $path',
  ({ method, path, scope }) => {
    const ask = (token: string | undefined, headers: Record<string, string> = {}) =>
      fixture.call(
        method,
        path.replace(/\{(\w+)\}/g, (_, name: string) => places[name]!),
        { token, headers },
      )

    test('wants a token, and says which; a cookie is none', async () => {
      const before = await adminRows(fixture.server)
      await fixture.ada.account('/admin')
      const cookie = `_session=${fixture.ada.cookie('_session')}`

      const asked: Record<string, string>[] = [{}, { Cookie: cookie }, { Origin: fixture.server.origin }]
      for (const headers of asked) {
        const { status, headers: told } = await ask(undefined, headers)
        expect(status).toBe(401)
        expect(told.get('www-authenticate')).toBe(
          `Bearer scope="${scope}", DPoP algs="ES256 EdDSA RS256 PS256"`,
        )
        expect(told.get('access-control-allow-origin')).toBeNull()
      }
      expect((await ask(undefined, { Authorization: 'Basic YTpi' })).status).toBe(401)
      expect(await adminRows(fixture.server)).toBe(before)
    })

    test('refuses whoever may not', async () => {
      const before = await adminRows(fixture.server)

      for (const who of UNAUTHORIZED) {
        const { status, body, headers } = await ask(tokens[who])
        expect([who, status, body.code]).toEqual([who, 401, 'invalid_token'])
        expect(headers.get('www-authenticate')).toContain('error="invalid_token"')
      }
      for (const who of FORBIDDEN) {
        const { status, body } = await ask(tokens[who])
        expect([who, status, body.code]).toEqual([who, 403, 'not_administrator'])
      }
      const { status, body, headers } = await ask(tokens[`all but ${scope}`])
      expect([status, body.code]).toEqual([403, 'insufficient_scope'])
      expect(headers.get('www-authenticate')).toContain(`error="insufficient_scope"`)
      expect(headers.get('www-authenticate')).toContain(`scope="${scope}"`)
      expect(await adminRows(fixture.server)).toBe(before)
    })
  },
)

test('an administrator’s token works, and acts as the administrator', async () => {
  const token = await tokenFor(office, fixture.ada)

  expect((await fixture.call('GET', '/users', { token })).status).toBe(200)
  const app = await fixture.server.app()
  await fixture.call('PUT', `/clients/${app.id}/verification`, { token, headers: { 'If-Match': '"1"' } })

  const [event] = await fixture.server.events({ type: 'client.verified', client_id: app.id })
  expect(event).toMatchObject({ actor_type: 'user', actor_id: fixture.ada.id })
})

test('the consent page says what it is about, and ticks nothing in advance', async () => {
  const other = await administrator(fixture.server, 'Other')
  const pending = await office.begin({ scope: 'openid users:write' })
  const page = await other.signIn(await other.open(pending.url))

  expect(page.text).toContain('Disable accounts, sign people out, change who administers')
  expect(page.html).toMatch(/<input(?=[^>]*value="users:write")(?![^>]*checked)[^>]*>/)
})

describe('a token hands out no power that it does not hold', () => {
  let lesser: string
  beforeAll(async () => {
    const scopes = ['clients:read', 'clients:write', 'users:write']
    const service = await fixture.server.app({ type: 'service', name: 'Lesser', scopes })
    lesser = await tokenOf(service, scopes)
  })

  test('not to a new app', async () => {
    const body = { name: 'Trojan', type: 'service', scopes: ['keys:write'] }
    const refused = await fixture.call('POST', '/clients', { token: lesser, body })

    expect([refused.status, refused.body.code]).toEqual([403, 'insufficient_scope'])
    expect(refused.headers.get('www-authenticate')).toContain('scope="keys:write"')
    const own = { ...body, scopes: ['users:write'] }
    expect((await fixture.call('POST', '/clients', { token: lesser, body: own })).status).toBe(201)
  })

  test('not to an app that is there, nor by taking a stronger one over', async () => {
    const weak = await fixture.server.app({ type: 'service', name: 'Weak', scopes: [] })
    const before = await adminRows(fixture.server)
    const path = `/clients/${office.id}`
    const tried = [
      await fixture.call('PATCH', `/clients/${weak.id}`, {
        token: lesser,
        body: { scopes: ['audit:read'] },
        headers: { 'If-Match': '*' },
      }),
      await fixture.call('PATCH', path, {
        token: lesser,
        body: { redirect_uris: ['https://evil.example/callback'] },
        headers: { 'If-Match': '*' },
      }),
      await fixture.call('POST', `${path}/secrets`, { token: lesser, body: { name: 'mine' } }),
      await fixture.call('POST', `${path}/secret-rotation`, { token: lesser, body: {} }),
    ]

    expect(tried.map(({ status }) => status)).toEqual([403, 403, 403, 403])
    expect(await adminRows(fixture.server)).toBe(before)
  })

  test('not by making an administrator', async () => {
    const mallory = await fixture.server.person('Mallory')
    const refused = await fixture.call('PUT', `/users/${mallory.id}/role`, {
      token: lesser,
      body: { role: 'admin' },
    })

    expect(refused.status).toBe(403)
    expect((await fixture.call('GET', `/users/${mallory.id}`)).body.role).toBe('user')
  })
})

describe('the scopes of the API are for apps that administrators register', () => {
  test('a registration token cannot carry them', async () => {
    const { status, body } = await fixture.call('POST', '/registration-tokens', {
      body: { scopes: ['openid', 'users:read'] },
    })

    expect(status).toBe(422)
    expect(body.errors.scopes).toMatch(/for apps that an administrator registers/)
  })

  test('an app that registers itself does not get them', async () => {
    const answer = await fetch(`${fixture.server.origin}/register`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({
        redirect_uris: ['https://stranger.example/callback'],
        scope: 'openid clients:read',
      }),
    })

    expect(answer.status).toBe(201)
    expect(await answer.json()).toMatchObject({ scope: 'openid' })
  })

  test('an app that a developer registered, or that registered itself, cannot be given them', async () => {
    for (const registrar of ['developer', 'itself']) {
      const app = await fixture.server.app()
      await run(fixture.server.db, sql`update clients set registered_by = ${registrar} where id = ${app.id}`)
      const { status, body } = await fixture.call('PATCH', `/clients/${app.id}`, {
        body: { scopes: ['openid', 'clients:read'] },
        headers: { 'If-Match': '*' },
      })

      expect(status).toBe(422)
      expect(body.errors.scopes).toMatch(/for apps that an administrator registers/)
    }
  })

  test('whatever its row says, such an app gets no token for the API', async () => {
    const app = await fixture.server.app({ type: 'service', scopes: ['users:read'] })
    await run(fixture.server.db, sql`update clients set registered_by = 'developer' where id = ${app.id}`)
    const form = { grant_type: 'client_credentials', scope: 'users:read' }
    let answer = await app.post('/token', form)
    // The announcement of the change may be under way.
    for (let i = 0; answer.status === 200 && i < 50; i++) answer = await app.post('/token', form)

    expect(answer.body.error).toBe('invalid_scope')
  })

  test('the database holds no scope of an operator under their names', async () => {
    for (const { name } of API_SCOPES) {
      await expect(
        run(
          fixture.server.db,
          sql`insert into resource_scopes (name, resource, sentence)
              values (${name}, 'https://photos.example', 'Anything')`,
        ),
      ).rejects.toThrow(/resource_scopes_not_built_in/)
    }
  })
})

describe('a token that is bound to a key (RFC 9449)', () => {
  type Keys = Awaited<ReturnType<typeof generateKeyPair>>
  let mine: Keys
  let bound: string
  const proof = async (claims: object, { publicKey, privateKey }: Keys = mine, path = '/users') =>
    new SignJWT({
      htm: 'GET',
      htu: `${fixture.server.origin}/api/v1${path}`,
      jti: randomUUID(),
      iat: Math.floor(Date.now() / 1000),
      ath: digest(bound).toString('base64url'),
      ...claims,
    })
      .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk: await exportJWK(publicKey) })
      .sign(privateKey)
  const ask = (scheme: string, token: string, DPoP?: string) =>
    fixture.call('GET', '/users', {
      token: undefined,
      headers: { Authorization: `${scheme} ${token}`, ...(DPoP && { DPoP }) },
    })
  beforeAll(async () => {
    mine = await generateKeyPair('ES256', { extractable: true })
    bound = 'of the token endpoint'
    const claims = { htm: 'POST', htu: `${fixture.server.origin}/token`, ath: undefined }
    const form = { grant_type: 'client_credentials', scope: 'users:read' }
    const { body } = await fixture.service.post('/token', form, { DPoP: await proof(claims) })
    expect(body.token_type).toBe('DPoP')
    bound = body.access_token
  })

  test('is good with a proof of that key, once', async () => {
    const jwt = await proof({})

    expect((await ask('DPoP', bound, jwt)).status).toBe(200)
    expect((await ask('DPoP', bound, jwt)).status).toBe(401)
    expect(await calculateJwkThumbprint(await exportJWK(mine.publicKey))).toMatch(/^[\w-]{43}$/)
  })

  test.each<[string, () => Promise<{ status: number }>]>([
    ['without a proof', () => ask('DPoP', bound)],
    ['as a bearer token', () => ask('Bearer', bound)],
    ['as a bearer token with a proof', async () => ask('Bearer', bound, await proof({}))],
    [
      'with a proof of another key',
      async () => ask('DPoP', bound, await proof({}, await generateKeyPair('ES256', { extractable: true }))),
    ],
    ['with a proof for another address', async () => ask('DPoP', bound, await proof({}, mine, '/clients'))],
    ['with a proof for another method', async () => ask('DPoP', bound, await proof({ htm: 'POST' }))],
    [
      'with a proof for another token',
      async () => ask('DPoP', bound, await proof({ ath: digest('x').toString('base64url') })),
    ],
    [
      'with an old proof',
      async () => ask('DPoP', bound, await proof({ iat: Math.floor(Date.now() / 1000) - 3600 })),
    ],
    ['with nonsense', () => ask('DPoP', bound, 'a.b.c')],
  ])('is not %s', async (_, attempt) => {
    expect((await attempt()).status).toBe(401)
  })

  test('a bearer token is none either', async () => {
    expect(
      (await ask('DPoP', fixture.token, await proof({ ath: digest(fixture.token).toString('base64url') })))
        .status,
    ).toBe(401)
  })
})
