// Apps that register themselves (RFC 7591) and look after their registration (RFC 7592), over real HTTP, in each mode.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import * as openid from 'openid-client'
import { SYSTEM } from '../../src/base/audit-events.ts'
import { newCredential } from '../../src/base/credentials.ts'
import { suspendClient } from '../../src/core/clients/lifecycle.ts'
import { findClient } from '../../src/core/clients/store.ts'
import {
  createRegistrationToken,
  findRegistrationToken,
  type NewRegistrationToken,
  revokeRegistrationToken,
} from '../../src/core/registration/initial-access-tokens.ts'
import { one, run, sql } from '../../src/db/pool.ts'
import { administrator } from '../pages/admin/admin-fixture.ts'
import { App, type ServerFixture, startServerFixture } from '../support/flow.ts'
import { untilPasses } from '../support/patience.ts'
import { REDIRECT_CASES } from '../support/registration.ts'

const CALLBACK = 'https://printer.example/callback'
const PHOTO_PRINTER = { client_name: 'Photo Printer', redirect_uris: [CALLBACK] }
const ALL = ['openid', 'profile', 'email', 'photos.read']

let open: Awaited<ReturnType<typeof startServerFixture>>
let token: ServerFixture
beforeAll(async () => {
  open = await startServerFixture({
    DYNAMIC_REGISTRATION: 'open',
    DYNAMIC_REGISTRATION_SCOPES: ALL.join(','),
  })
  token = await startServerFixture({ DYNAMIC_REGISTRATION: 'token' })
})
afterAll(async () => {
  await open?.stop()
  await token?.stop()
})

describe('off', () => {
  test('there is no such address, and discovery names none', async () => {
    const server = await startServerFixture()
    try {
      for (const path of ['/register', '/register/c_1']) {
        for (const method of ['POST', 'GET', 'PUT', 'DELETE', 'OPTIONS']) {
          expect((await fetch(server.origin + path, { method })).status).toBe(404)
        }
      }
      const metadata = await (await fetch(`${server.origin}/.well-known/openid-configuration`)).json()
      expect(metadata).not.toHaveProperty('registration_endpoint')
    } finally {
      await server.stop()
    }
  })
})

describe('open', () => {
  test('openid-client registers an app, and it signs somebody in', async () => {
    const registered = await openid.dynamicClientRegistration(
      new URL(open.origin),
      { ...PHOTO_PRINTER, grant_types: ['authorization_code', 'refresh_token'], scope: ALL.join(' ') },
      undefined,
      { execute: [openid.allowInsecureRequests] },
    )
    const { client_id, client_secret } = registered.clientMetadata()
    const alice = await open.person('Alice')
    const app = new App(open.origin, client_id, client_secret as string, CALLBACK)

    const tokens = await app.connect(alice)

    expect(tokens.claims()).toMatchObject({ name: 'Alice', aud: client_id })
    expect((await app.refresh(tokens.refresh_token)).status).toBe(200)
    expect(registered.serverMetadata().registration_endpoint).toBe(`${open.origin}/register`)
  })

  test('the answer says what it is registered as, with credentials that are shown this once', async () => {
    const { status, headers, body } = await register(open, {
      ...PHOTO_PRINTER,
      client_uri: 'https://printer.example/',
      logo_uri: 'https://printer.example/logo.png',
      tos_uri: 'https://printer.example/terms',
      policy_uri: 'https://printer.example/privacy',
      contacts: ['someone@printer.example'],
      software_id: 'x',
      software_version: '1',
      post_logout_redirect_uris: ['https://printer.example/bye'],
      token_endpoint_auth_method: 'client_secret_post',
      id_token_signed_response_alg: 'ES256',
      scope: 'openid photos.read',
    })

    expect(status).toBe(201)
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.get('access-control-allow-origin')).toBe('*')
    expect(body).toEqual({
      client_id: expect.stringMatching(/^c_/),
      client_id_issued_at: expect.any(Number),
      client_secret: expect.stringMatching(/^vk_cs_/),
      client_secret_expires_at: 0,
      registration_access_token: expect.stringMatching(/^vk_ra_/),
      registration_client_uri: `${open.origin}/register/${body.client_id}`,
      client_name: 'Photo Printer',
      application_type: 'web',
      redirect_uris: [CALLBACK],
      post_logout_redirect_uris: ['https://printer.example/bye'],
      token_endpoint_auth_method: 'client_secret_post',
      grant_types: ['authorization_code'],
      response_types: ['code'],
      scope: 'openid photos.read',
      id_token_signed_response_alg: 'ES256',
      client_uri: 'https://printer.example/',
      logo_uri: 'https://printer.example/logo.png',
      tos_uri: 'https://printer.example/terms',
      policy_uri: 'https://printer.example/privacy',
      contacts: ['someone@printer.example'],
    })
    expect(Math.abs(body.client_id_issued_at - Date.now() / 1000)).toBeLessThan(60)
    const dump = JSON.stringify(await everyRow(open, body.client_id))
    expect(dump).not.toContain(body.client_secret)
    expect(dump).not.toContain(body.registration_access_token)
  })

  test.each([
    ['nothing but an address is a web app', { redirect_uris: [CALLBACK] }, 'web', 'client_secret_basic'],
    ['no secret on https is a page', { token_endpoint_auth_method: 'none' }, 'spa', 'none'],
    ['application_type native is one', { application_type: 'native' }, 'native', 'none'],
    [
      'no secret on loopback is on a device',
      { token_endpoint_auth_method: 'none', redirect_uris: ['http://127.0.0.1:9999/cb'] },
      'native',
      'none',
    ],
    [
      'unless it says otherwise',
      {
        token_endpoint_auth_method: 'none',
        application_type: 'web',
        redirect_uris: ['http://localhost:9999/cb'],
      },
      'spa',
      'none',
    ],
    [
      'null is as good as nothing',
      { application_type: null, grant_types: null },
      'web',
      'client_secret_basic',
    ],
  ])('%s', async (_, more, type, method) => {
    const { body, status } = await register(open, { ...PHOTO_PRINTER, ...more })

    expect([status, body.token_endpoint_auth_method]).toEqual([201, method])
    expect('client_secret' in body).toBe(method !== 'none')
    expect((await findClient(open.db, body.client_id))?.type).toBe(type)
  })

  test('without a name it goes by its host', async () => {
    const { body } = await register(open, { redirect_uris: [CALLBACK] })

    expect(body.client_name).toBe('printer.example')
  })

  test.each([
    ['without a scope it may ask for what there is for such apps', undefined, ALL.join(' ')],
    ['a scope that it may not have is left out', 'openid prints.order', 'openid'],
    ['so is one that nobody knows', 'openid groups openid', 'openid'],
    ['with none of its scopes left, it is as if it had named none', 'groups prints.order', ALL.join(' ')],
  ])('%s, and the answer says so', async (_, scope, kept) => {
    const { status, body } = await register(open, { ...PHOTO_PRINTER, scope })

    expect([status, body.scope]).toEqual([201, kept])
  })

  test.each([
    { backchannel_logout_uri: 'https://app.example/out' },
    { default_max_age: 300 },
    { require_auth_time: true },
    { dpop_bound_access_tokens: true },
    { require_pushed_authorization_requests: true },
    { subject_type: 'pairwise' },
    { userinfo_signed_response_alg: 'RS256' },
    { id_token_encrypted_response_alg: 'RSA-OAEP' },
    { tls_client_certificate_bound_access_tokens: true },
  ])('what the app would count on, and cannot have, is refused: %j', async (member) => {
    const { status, body } = await register(open, { ...PHOTO_PRINTER, ...member })

    expect([status, body.error]).toEqual([400, 'invalid_client_metadata'])
    expect(body.error_description).toMatch(
      new RegExp(`^${Object.keys(member)[0]}: .*(leave it out|e\\.g\\.)`),
    )
  })

  test('what asks for nothing, or does no harm, is left out', async () => {
    const { status, body } = await register(open, {
      ...PHOTO_PRINTER,
      require_auth_time: false,
      dpop_bound_access_tokens: false,
      subject_type: 'public',
      userinfo_signed_response_alg: 'none',
      jwks_uri: 'https://app.example/jwks',
      initiate_login_uri: 'https://app.example/login',
      software_id: 'abc',
    })

    expect(status).toBe(201)
    for (const member of ['jwks_uri', 'initiate_login_uri', 'software_id', 'subject_type'])
      expect(body).not.toHaveProperty(member)
  })

  test('one redirect URI that cannot be had does not take the others along', async () => {
    const redirect_uris = ['http://127.0.0.1/callback', 'cursor://anysphere.cursor-mcp/callback']
    const app = { client_name: 'Editor', token_endpoint_auth_method: 'none' }

    const kept = await register(open, { ...app, redirect_uris })
    const none = await register(open, { ...app, redirect_uris: redirect_uris.slice(1) })

    expect([kept.status, kept.body.redirect_uris]).toEqual([201, redirect_uris.slice(0, 1)])
    expect([none.status, none.body.error]).toEqual([400, 'invalid_redirect_uri'])
  })

  test('what cannot be had is left out, and said by leaving it out', async () => {
    const { body } = await register(open, {
      ...PHOTO_PRINTER,
      grant_types: [
        'authorization_code',
        'implicit',
        'client_credentials',
        'urn:ietf:params:oauth:grant-type:device_code',
      ],
      response_types: ['code', 'token'],
    })

    expect(body).toMatchObject({ grant_types: ['authorization_code'], response_types: ['code'] })
    const app = new App(open.origin, body.client_id, body.client_secret, CALLBACK)
    const asked = await app.post('/token', { grant_type: 'client_credentials', scope: 'photos.read' })
    expect([asked.status, asked.body.error_description]).toEqual([
      400,
      'requested grant type is not allowed for this client',
    ])
  })

  test('without the grant type refresh_token it gets no refresh token', async () => {
    const { body } = await register(open, PHOTO_PRINTER)
    const app = new App(open.origin, body.client_id, body.client_secret, CALLBACK)

    expect(await app.connect(await open.person('Bob'))).not.toHaveProperty('refresh_token')
  })

  test('it is marked on the consent page, by the host people are sent to, and in the list of apps', async () => {
    const { body } = await register(open, {
      ...PHOTO_PRINTER,
      client_uri: 'https://bank.example/',
      logo_uri: 'https://bank.example/logo.png',
      redirect_uris: ['https://bank.example/cb', CALLBACK],
    })
    const app = new App(open.origin, body.client_id, body.client_secret, CALLBACK)
    const alice = await open.person('Alice')
    const pending = await app.begin()

    const consent = await alice.signIn(await alice.open(pending.url))

    expect(consent.text).toContain('Registered itself')
    expect(consent.text).toContain('printer.example')
    expect(consent.text).toContain('nobody at Valetkey has checked who is behind it')
    // A logo of somebody else, and a web page of somebody else, would say who it is not.
    expect(consent.html).not.toContain('bank.example')
    await alice.press(consent, 'Allow')
    const apps = await alice.account('/account/apps')
    expect(apps.text).toContain('Registered itself')
    expect(apps.text).toContain('printer.example')
    expect(apps.html).not.toContain('bank.example')
  })

  test('administrators read whom to ask about it; people who use it do not, and the record does not keep it', async () => {
    const contacts = ['ann@printer.example', 'bea@printer.example']
    const { body } = await register(open, { ...PHOTO_PRINTER, contacts: [contacts[0], ...contacts] })
    const [alice, ada] = [await open.person('Alice'), await administrator(open, 'Ada')]
    const app = new App(open.origin, body.client_id, body.client_secret, CALLBACK)

    const consent = await alice.signIn(await alice.open((await app.begin()).url))
    const page = await ada.account(`/admin/clients/${body.client_id}`)
    const { body: changed } = await manage(open, body, 'PUT', {
      ...PHOTO_PRINTER,
      client_id: body.client_id,
      contacts: ['cleo@printer.example'],
    })

    expect(body.contacts).toEqual(contacts)
    expect(page.text).toMatch(/Contacts\s+ann@printer\.example\s+bea@printer\.example/)
    expect(consent.title).toContain('wants access')
    expect(consent.html).not.toContain('@printer.example')
    expect(changed.contacts).toEqual(['cleo@printer.example'])
    const events = await open.events({ client_id: body.client_id })
    expect(events[0]).toMatchObject({ type: 'client.changed', data: { fields: ['contacts'], changes: [] } })
    expect(JSON.stringify(events)).not.toContain('@printer.example')
  })

  test('it is on record, by itself', async () => {
    const { body } = await register(open, PHOTO_PRINTER)

    const [event] = await open.events({ client_id: body.client_id })
    expect(event).toMatchObject({
      type: 'client.registered',
      actor_type: 'client',
      actor_id: body.client_id,
      data: { client_type: 'web', host: 'printer.example', state: 'active' },
    })
    expect(event!.ip).toMatch(/127\.0\.0\.1|::1/)
  })
})

describe('open, with approval', () => {
  let server: ServerFixture
  beforeAll(async () => {
    server = await startServerFixture({ DYNAMIC_REGISTRATION: 'open', DYNAMIC_REGISTRATION_APPROVAL: 'true' })
  })
  afterAll(() => server?.stop())

  test('nobody can use it before it is approved, and a page says so', async () => {
    const { body } = await register(server, { ...PHOTO_PRINTER, scope: 'openid profile' })
    const app = new App(server.origin, body.client_id, body.client_secret, CALLBACK)
    const alice = await server.person('Alice')

    const page = await alice.open((await app.begin({ scope: 'openid profile' })).url)

    expect(page.status).toBe(403)
    expect(page.title).toContain('Photo Printer cannot be used yet')
    await run(server.db, sql`update clients set state = 'active' where id = ${body.client_id}`)
    const approved = await untilApproved(() => app.connect(alice, { scope: 'openid profile' }))
    expect(approved.claims()).toMatchObject({ sub: alice.id })
  })

  test('an approved one that shows itself differently waits again; who allowed it is not sent on silently', async () => {
    const { body } = await register(server, { ...PHOTO_PRINTER, scope: 'openid' })
    await run(server.db, sql`update clients set state = 'active' where id = ${body.client_id}`)
    const app = new App(server.origin, body.client_id, body.client_secret, CALLBACK)
    const alice = await server.person('Alice')
    await untilApproved(() => app.connect(alice, { scope: 'openid' }))

    const changed = await manage(server, body, 'PUT', {
      client_id: body.client_id,
      client_name: 'Photo Printer',
      redirect_uris: [CALLBACK, 'https://evil.example/callback'],
    })

    expect(changed.status).toBe(200)
    expect((await findClient(server.db, body.client_id))?.state).toBe('pending')
    const evil = new App(server.origin, body.client_id, body.client_secret, 'https://evil.example/callback')
    const page = await untilApproved(async () => {
      const seen = await alice.open((await evil.begin({ scope: 'openid' })).url)
      if (seen.status !== 403) throw new Error(`${seen.status} ${seen.away}`)
      return seen
    })
    expect(page.away).toBeUndefined()
  })

  test('a rejected one is unknown, and cannot come back by changing itself', async () => {
    const { body } = await register(server, PHOTO_PRINTER)
    await run(server.db, sql`update clients set state = 'rejected' where id = ${body.client_id}`)

    const changed = await manage(server, body, 'PUT', { client_id: body.client_id, ...PHOTO_PRINTER })

    expect([changed.status, changed.body.error]).toEqual([403, 'access_denied'])
    const app = new App(server.origin, body.client_id, body.client_secret, CALLBACK)
    expect((await app.post('/token', { grant_type: 'refresh_token', refresh_token: 'x' })).status).toBe(401)
  })
})

describe('token', () => {
  test('a token of the operator is needed; what is wrong with it is not said', async () => {
    const without = await register(token, PHOTO_PRINTER)
    expect(without.status).toBe(401)
    expect(without.headers.get('www-authenticate')).toBe('Bearer')

    const { value: revoked, token: dead } = await newToken({})
    await revokeRegistrationToken(token.db, dead.id, SYSTEM)
    const { value: old, token: expired } = await newToken({})
    await run(token.db, sql`update registration_tokens set expires_at = now() where id = ${expired.id}`)
    const wrong = ['x', newCredential('initial_access'), newCredential('registration_access'), revoked, old]
    for (const value of wrong) {
      const { status, headers, body } = await register(token, PHOTO_PRINTER, value)
      expect([status, body.error]).toEqual([401, 'invalid_token'])
      expect(headers.get('www-authenticate')).toMatch(/^Bearer error="invalid_token"/)
      expect(headers.get('access-control-allow-origin')).toBe('*')
    }
    const basic = await fetch(`${token.origin}/register`, {
      method: 'POST',
      headers: { Authorization: 'Basic eDp5', 'Content-Type': 'application/json' },
      body: JSON.stringify(PHOTO_PRINTER),
    })
    expect(basic.status).toBe(401)
  })

  test('openid-client registers with it, for its scopes, as often as it says', async () => {
    const { value, token: made } = await newToken({ maxUses: 2, scopes: ['openid', 'prints.order'] })
    const registration = () =>
      openid.dynamicClientRegistration(new URL(token.origin), PHOTO_PRINTER, undefined, {
        initialAccessToken: value,
        execute: [openid.allowInsecureRequests],
      })

    const first = await registration()
    // What is refused uses nothing up.
    expect((await register(token, { redirect_uris: ['http://evil.example/'] }, value)).status).toBe(400)
    await registration()

    expect(first.clientMetadata().scope).toBe('openid prints.order')
    await expect(registration()).rejects.toMatchObject({ status: 401 })
    expect(await findRegistrationToken(token.db, made.id)).toMatchObject({ uses: 2, max_uses: 2 })
    const used = await token.events({ type: 'registration_token.used' })
    expect(used.filter(({ data }) => data.token_id === made.id)).toHaveLength(2)
  })

  test('acting without a person needs a token that says so', async () => {
    const service = { client_name: 'Nightly', grant_types: ['client_credentials'] }
    const plain = await newToken({ scopes: ['photos.read'] })
    const able = await newToken({ scopes: ['openid', 'photos.read'], client_credentials: true })

    const refused = await register(token, service, plain.value)
    const { status, body } = await register(token, service, able.value)

    expect([refused.status, refused.body.error]).toEqual([400, 'invalid_client_metadata'])
    expect([status, body.scope, body.response_types]).toEqual([201, 'photos.read', []])
    const app = new App(token.origin, body.client_id, body.client_secret, '')
    const answer = await app.post('/token', { grant_type: 'client_credentials', scope: 'photos.read' })
    expect(answer.status).toBe(200)
  })

  test('a token that was revoked leaves what was registered with it, and its limits', async () => {
    const { value, token: made } = await newToken({ scopes: ['openid', 'photos.read'] })
    const { body } = await register(token, PHOTO_PRINTER, value)
    await revokeRegistrationToken(token.db, made.id, SYSTEM)

    const kept = await manage(token, body, 'PUT', { client_id: body.client_id, ...PHOTO_PRINTER })
    const more = { client_id: body.client_id, ...PHOTO_PRINTER, scope: 'openid prints.order' }

    expect(kept.body.scope).toBe('openid photos.read')
    expect((await manage(token, body, 'PUT', more)).body.scope).toBe('openid')
  })
})

describe('every redirect URI is held to the rules', () => {
  test.each(REDIRECT_CASES)('%j of a %s app is right, or not: %s', async (uri, type, problem) => {
    const { value } = await newToken({})
    const members = {
      redirect_uris: [uri],
      application_type: type === 'native' ? 'native' : 'web',
      token_endpoint_auth_method: type === 'web' ? 'client_secret_basic' : 'none',
    }

    const { status, body } = await register(token, members, value)

    if (problem === undefined) {
      expect([status, body.redirect_uris]).toEqual([201, [uri]])
      return
    }
    expect([status, body.error]).toEqual([400, 'invalid_redirect_uri'])
    expect(body.error_description).toMatch(problem)
    expect(body.error_description).toMatch(/, e\.g\. (https|http|com\.)/)
    // RFC 6749 §5.2: what an error_description may hold.
    expect(body.error_description).toMatch(/^[\x20\x21\x23-\x5b\x5d-\x7e]+$/)
  })
})

describe('what is refused', () => {
  test.each([
    ['no redirect URI', { redirect_uris: [] }, 'invalid_redirect_uri', /is empty, e\.g\. https/],
    ['a text for a list', { redirect_uris: CALLBACK }, 'invalid_redirect_uri', /must be a list/],
    ['a number in a list', { redirect_uris: [1] }, 'invalid_redirect_uri', /must be a list/],
    ['too many', { redirect_uris: Array(21).fill(CALLBACK) }, 'invalid_redirect_uri', /more than 20/],
    [
      'a javascript: logo',
      { logo_uri: 'javascript:alert(1)' },
      'invalid_client_metadata',
      /logo_uri: .*not an https/,
    ],
    ['a data: logo', { logo_uri: 'data:image/svg+xml,<svg/>' }, 'invalid_client_metadata', /logo_uri/],
    ['an http page', { client_uri: 'http://app.example/' }, 'invalid_client_metadata', /client_uri/],
    ['NUL in an address', { tos_uri: 'https://app.example/\0' }, 'invalid_client_metadata', /tos_uri/],
    ['a line feed in one', { policy_uri: 'https://app.example/\n' }, 'invalid_client_metadata', /policy_uri/],
    ['user information', { client_uri: 'https://:pw@app.example/' }, 'invalid_client_metadata', /client_uri/],
    [
      'a text for contacts',
      { contacts: 'a@app.example' },
      'invalid_client_metadata',
      /contacts: must be a list/,
    ],
    [
      'too many contacts',
      { contacts: Array.from({ length: 11 }, (_, i) => `a${i}@app.example`) },
      'invalid_client_metadata',
      /contacts: has more than 10 entries/,
    ],
    [
      'a contact that is no address',
      { contacts: ['a@app.example', 'https://app.example/contact'] },
      'invalid_client_metadata',
      /contacts: 'https:.* is not an email address, e\.g\. /,
    ],
    [
      'a contact that turns text around',
      { contacts: ['a\u202e@app.example'] },
      'invalid_client_metadata',
      /contacts: /,
    ],
    [
      'a long contact',
      { contacts: [`a@${'a.'.repeat(160)}example`] },
      'invalid_client_metadata',
      /contacts: .*is not an email address/,
    ],
    [
      'a name that turns text around',
      { client_name: 'App \u202egpj' },
      'invalid_client_metadata',
      /client_name/,
    ],
    ['NUL in a name', { client_name: 'App\0' }, 'invalid_client_metadata', /client_name/],
    ['half a surrogate', { client_name: 'App\ud800' }, 'invalid_client_metadata', /client_name/],
    ['a long name', { client_name: 'a'.repeat(81) }, 'invalid_client_metadata', /80 characters/],
    ['a name of white space', { client_name: '  ' }, 'invalid_client_metadata', /client_name/],
    [
      'a key of its own',
      { token_endpoint_auth_method: 'private_key_jwt' },
      'invalid_client_metadata',
      /must be one of/,
    ],
    [
      'a native app with a secret',
      { application_type: 'native', token_endpoint_auth_method: 'client_secret_post' },
      'invalid_client_metadata',
      /must be none/,
    ],
    ['the implicit grant alone', { grant_types: ['implicit'] }, 'invalid_client_metadata', /grant_types/],
    ['refreshing alone', { grant_types: ['refresh_token'] }, 'invalid_client_metadata', /grant_types/],
    ['acting for itself', { grant_types: ['client_credentials'] }, 'invalid_client_metadata', /grant_types/],
    ['response_type token', { response_types: ['token'] }, 'invalid_client_metadata', /response_types/],
    [
      'an ID token without a signature',
      { id_token_signed_response_alg: 'none' },
      'invalid_client_metadata',
      /must be one of/,
    ],
    ['scopes as a list', { scope: ['openid'] }, 'invalid_client_metadata', /scope: must be text/],
  ])('%s', async (_, members, error, words) => {
    const { value } = await newToken({})
    const { status, body, headers } = await register(token, { ...PHOTO_PRINTER, ...members }, value)

    expect([status, body.error]).toEqual([400, error])
    expect(body.error_description).toMatch(words)
    expect(body.error_description).toMatch(/^[\x20\x21\x23-\x5b\x5d-\x7e]+$/)
    expect(headers.get('cache-control')).toBe('no-store')
  })

  test.each([
    ['no JSON', '{"client_name":', 400, 'invalid_client_metadata'],
    ['a list', '[]', 400, 'invalid_client_metadata'],
    ['a text', '"x"', 400, 'invalid_client_metadata'],
    ['nothing', '', 400, 'invalid_redirect_uri'],
    ['half a megabyte', JSON.stringify({ client_name: 'a'.repeat(500_000) }), 413, 'invalid_client_metadata'],
    [
      'a deep nest',
      `{"redirect_uris":${'['.repeat(20_000)}${']'.repeat(20_000)}}`,
      400,
      'invalid_redirect_uri',
    ],
  ])('a body that is %s', async (_, body, expected, error) => {
    const { value } = await newToken({})
    const answer = await raw(
      token,
      { Authorization: `Bearer ${value}`, 'Content-Type': 'application/json' },
      body,
    )

    expect([answer.status, answer.body.error]).toEqual([expected, error])
  })

  test('another kind of body, or a packed one', async () => {
    const { value } = await newToken({})
    const Authorization = `Bearer ${value}`

    const form = await raw(
      token,
      { Authorization, 'Content-Type': 'text/plain' },
      JSON.stringify(PHOTO_PRINTER),
    )
    const packed = await raw(
      token,
      { Authorization, 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' },
      JSON.stringify(PHOTO_PRINTER),
    )

    expect([form.status, packed.status]).toEqual([415, 415])
  })

  test('a stranger is refused before the body is read', async () => {
    const { status } = await raw(token, { 'Content-Type': 'application/json' }, '{')

    expect(status).toBe(401)
  })
})

describe('its own registration', () => {
  test('is read, without its secret', async () => {
    const { body } = await register(open, PHOTO_PRINTER)

    const shown = await manage(open, body, 'GET')

    const { client_secret: _once, client_secret_expires_at: _with, ...rest } = body
    expect([shown.status, shown.body]).toEqual([200, rest])
    expect(shown.headers.get('cache-control')).toBe('no-store')
  })

  test('is replaced as a whole: what is left out is gone', async () => {
    const { body } = await register(open, {
      ...PHOTO_PRINTER,
      client_uri: 'https://printer.example/',
      scope: 'openid',
    })

    const { status, body: changed } = await manage(open, body, 'PUT', {
      client_id: body.client_id,
      client_secret: body.client_secret,
      client_name: 'Photo Printer 2',
      redirect_uris: [CALLBACK, 'https://printer.example/second'],
      token_endpoint_auth_method: 'client_secret_post',
      grant_types: ['authorization_code', 'refresh_token'],
    })

    expect(status).toBe(200)
    expect(changed).toMatchObject({
      client_id: body.client_id,
      client_name: 'Photo Printer 2',
      redirect_uris: [CALLBACK, 'https://printer.example/second'],
      token_endpoint_auth_method: 'client_secret_post',
      grant_types: ['authorization_code', 'refresh_token'],
      scope: ALL.join(' '),
      registration_access_token: body.registration_access_token,
    })
    expect(changed).not.toHaveProperty('client_uri')
    expect(changed).not.toHaveProperty('client_secret')
    expect((await manage(open, body, 'GET')).body).toEqual(changed)
    const [event] = await open.events({ client_id: body.client_id })
    expect(event).toMatchObject({
      type: 'client.changed',
      actor_type: 'client',
      data: { fields: expect.arrayContaining(['name', 'redirect_uris', 'homepage_uri', 'grant_types']) },
    })
  })

  test('cannot become another kind of app, choose a secret or an id', async () => {
    const { body } = await register(open, PHOTO_PRINTER)
    const { client_id } = body
    const put = (members: object) => manage(open, body, 'PUT', { client_id, ...PHOTO_PRINTER, ...members })

    for (const members of [
      { token_endpoint_auth_method: 'none' },
      { client_secret: 'chosen' },
      { client_secret: 5 },
      { client_id: 'c_other' },
      { client_id: undefined },
      { redirect_uris: ['http://evil.example/'] },
    ]) {
      const { status, body: refusal } = await put(members)
      expect([members, status]).toEqual([members, 400])
      expect(refusal.error).toMatch(/^invalid_(client_metadata|redirect_uri)$/)
    }
    expect((await manage(open, body, 'GET')).body.redirect_uris).toEqual([CALLBACK])
  })

  test('is deleted at its wish: its tokens and its registration access token are dead', async () => {
    const { body } = await register(open, PHOTO_PRINTER)
    const app = new App(open.origin, body.client_id, body.client_secret, CALLBACK)
    const { access_token } = await app.connect(await open.person('Alice'))
    expect(await open.photos.introspect(access_token)).toMatchObject({ active: true })

    const deleted = await manage(open, body, 'DELETE')

    expect([deleted.status, deleted.body]).toEqual([204, ''])
    expect((await manage(open, body, 'GET')).status).toBe(401)
    expect(await open.photos.introspect(access_token)).toEqual({ active: false })
    expect((await open.events({ client_id: body.client_id }))[0]).toMatchObject({
      type: 'client.deleted',
      actor_type: 'client',
      actor_id: body.client_id,
    })
  })

  test('is nobody else’s: other tokens, other apps and apps of the operator all look alike', async () => {
    const [one, two] = [await register(open, PHOTO_PRINTER), await register(open, PHOTO_PRINTER)]
    const ours = await open.app()
    const tokens = [
      two.body.registration_access_token,
      newCredential('registration_access'),
      one.body.client_secret,
      'x',
    ]

    for (const method of ['GET', 'PUT', 'DELETE']) {
      for (const registration_access_token of tokens) {
        for (const client_id of [one.body.client_id, ours.id, 'c_none', 'a%20b']) {
          const to = { client_id, registration_access_token }
          const { status, headers, body } = await manage(open, to, method, { client_id, ...PHOTO_PRINTER })
          expect([status, body.error]).toEqual([401, 'invalid_token'])
          expect(headers.get('www-authenticate')).toMatch(/^Bearer error="invalid_token"/)
        }
      }
    }
    const without = await fetch(`${open.origin}/register/${one.body.client_id}`)
    expect([without.status, without.headers.get('www-authenticate')]).toEqual([401, 'Bearer'])
    expect((await manage(open, one.body, 'GET')).status).toBe(200)
  })

  test('of a suspended app, or one that the operator made an own one, stays as it is', async () => {
    const [one, two] = [await register(open, PHOTO_PRINTER), await register(open, PHOTO_PRINTER)]
    await suspendClient(open.db, one.body.client_id, SYSTEM)
    await run(open.db, sql`update clients set first_party = true where id = ${two.body.client_id}`)

    for (const { body } of [one, two]) {
      const members = { client_id: body.client_id, redirect_uris: ['https://evil.example/'] }
      const { status, body: refusal } = await manage(open, body, 'PUT', members)
      expect([status, refusal.error]).toEqual([403, 'access_denied'])
      expect((await findClient(open.db, body.client_id))?.redirect_uris).toEqual([CALLBACK])
    }
  })
})

describe('an app that shows itself differently', () => {
  test('is asked about again, with what it was; the badge that it had is gone', async () => {
    const { body } = await register(open, PHOTO_PRINTER)
    await run(open.db, sql`update clients set verified_at = now() where id = ${body.client_id}`)
    const app = new App(open.origin, body.client_id, body.client_secret, CALLBACK)
    const alice = await open.person('Alice')
    await app.connect(alice)
    const again = await alice.open((await app.begin()).url)
    expect(again.away?.searchParams.get('code')).toBeTruthy()

    await manage(open, body, 'PUT', {
      client_id: body.client_id,
      client_name: 'Your Bank',
      redirect_uris: ['https://bank.example/cb', CALLBACK],
    })

    const silent = await untilApproved(async () => {
      const page = await alice.open((await app.begin({ prompt: 'none' })).url)
      if (page.status !== 400) throw new Error(`${page.status} ${page.away}`)
      return page
    })
    expect(silent.html).toContain('error=consent_required')
    const pending = await app.begin()
    const consent = await alice.open(pending.url)
    expect(consent.title).toContain('Your Bank wants access')
    expect(consent.text).toContain(
      'This app has changed since you allowed it. It was Photo Printer at printer.example',
    )
    expect(consent.text).toContain('Registered itself')
    const allowed = await alice.press(consent, 'Allow')
    expect(allowed.away?.searchParams.get('code')).toBeTruthy()
    expect((await alice.open((await app.begin()).url)).away?.searchParams.get('code')).toBeTruthy()
  })

  test('while somebody is deciding is shown again before anything is allowed', async () => {
    const { body } = await register(open, PHOTO_PRINTER)
    const app = new App(open.origin, body.client_id, body.client_secret, CALLBACK)
    const alice = await open.person('Alice')
    const page = await alice.signIn(await alice.open((await app.begin()).url))

    await manage(open, body, 'PUT', { client_id: body.client_id, ...PHOTO_PRINTER, client_name: 'Your Bank' })

    const answer = await untilApproved(async () => {
      const seen = await alice.open(page.url)
      if (!seen.title.includes('Your Bank')) throw new Error(seen.title)
      return alice.press(page, 'Allow')
    })
    expect(answer.status).toBe(422)
    expect(answer.text).toContain('has changed in the meantime')
  })

  test('a port on this machine is no difference, nor is another path', async () => {
    const native = { application_type: 'native', redirect_uris: ['http://127.0.0.1:4000/cb'] }
    const { body } = await register(open, { ...PHOTO_PRINTER, ...native })

    await manage(open, body, 'PUT', {
      client_id: body.client_id,
      ...PHOTO_PRINTER,
      ...native,
      redirect_uris: ['http://127.0.0.1:5000/other'],
    })

    const row = await one<{ looks_changed_at: Date | null }>(
      open.db,
      sql`select looks_changed_at from client_registrations where client_id = ${body.client_id}`,
    )
    expect(row.looks_changed_at).toBeNull()
  })
})

test('pages of other origins may register and look after it, and are told which methods there are', async () => {
  const preflight = await fetch(`${open.origin}/register`, {
    method: 'OPTIONS',
    headers: { Origin: 'https://app.example', 'Access-Control-Request-Method': 'POST' },
  })
  const own = await fetch(`${open.origin}/register/c_1`, { method: 'OPTIONS' })
  const wrong = await fetch(`${open.origin}/register`)

  expect(preflight.status).toBe(204)
  expect(preflight.headers.get('access-control-allow-origin')).toBe('*')
  expect(preflight.headers.get('access-control-allow-methods')).toBe('POST')
  expect(preflight.headers.get('access-control-allow-headers')).toMatch(/Authorization/)
  expect(own.headers.get('access-control-allow-methods')).toBe('GET, PUT, DELETE')
  expect(wrong.status).toBe(405)
  expect(wrong.headers.get('allow')).toContain('POST')
})

interface Made {
  client_id: string
  registration_access_token: string
}

// Each from an address of its own: the limit has a test of its own.
let addresses = 1

function register(server: ServerFixture, members: object, initial?: string) {
  return raw(
    server,
    {
      'Content-Type': 'application/json',
      ...(initial && { Authorization: `Bearer ${initial}` }),
    },
    JSON.stringify(members),
  )
}

async function raw(server: ServerFixture, headers: Record<string, string>, body: string) {
  // The limit per address is the subject of the attacks.
  if (addresses++ % 15 === 0) await run(server.db, sql`delete from rate_limits`)
  const answer = await fetch(`${server.origin}/register`, { method: 'POST', headers, body })
  return read(answer)
}

async function manage(server: ServerFixture, to: Made, method: string, members?: object) {
  const answer = await fetch(`${server.origin}/register/${to.client_id}`, {
    method,
    headers: {
      Authorization: `Bearer ${to.registration_access_token}`,
      ...(method === 'PUT' && { 'Content-Type': 'application/json' }),
    },
    body: method === 'PUT' ? JSON.stringify(members) : undefined,
  })
  return read(answer)
}

async function read(answer: Response) {
  const text = await answer.text()
  // biome-ignore lint/suspicious/noExplicitAny: a test asserts what it expects of it
  const body: any = answer.headers.get('content-type')?.includes('json') ? JSON.parse(text) : text
  return { status: answer.status, headers: answer.headers, body }
}

function newToken(given: Partial<NewRegistrationToken>) {
  return createRegistrationToken(token.db, { scopes: ['openid'], maxUses: 5, days: 1, ...given }, SYSTEM)
}

async function everyRow(server: ServerFixture, id: string): Promise<unknown> {
  return one(
    server.db,
    sql`select to_json(c) as client, to_json(r) as registration, json_agg(s) as secrets, json_agg(a) as audit
        from clients c
        join client_registrations r on r.client_id = c.id
        join client_secrets s on s.client_id = c.id
        join audit_events a on a.client_id = c.id
        where c.id = ${id} group by c.*, r.*`,
  )
}

/** Changes are announced to the nodes; they take effect within moments. */
const untilApproved = untilPasses
