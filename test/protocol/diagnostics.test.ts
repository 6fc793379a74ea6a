// The error console of an app: each kind of wrong request over real HTTP, what the wire answers (as terse as ever), and what the
// page tells those who build the app. Never a credential or a person on that page or in its table.
import { createHash, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { textOf } from '../../demo/form.ts'
import { SYSTEM } from '../../src/base/audit-events.ts'
import type { ClientInput } from '../../src/core/clients/fields.ts'
import { resumeClient, suspendClient } from '../../src/core/clients/lifecycle.ts'
import { addNamedSecret, listSecrets, revokeSecret, rotateSecret } from '../../src/core/clients/secrets.ts'
import { revokeApp } from '../../src/core/grants/account-apps.ts'
import { setRole } from '../../src/core/users/roles.ts'
import { many, one, run, sql } from '../../src/db/pool.ts'
import {
  type Answer,
  type Api,
  App,
  type Page,
  type Person,
  type ServerFixture,
  startServerFixture,
} from '../support/flow.ts'
import { heard } from '../support/heard.ts'
import { untilPasses } from '../support/patience.ts'

let server: ServerFixture & { photos: Api }
let jamie: Person
let ada: Person

type Sent = Pick<Answer, 'status' | 'body'>

interface Case {
  app?: Partial<ClientInput>
  send(app: App): Promise<Sent>
  answer: { status: number; error: string; error_description?: string }
  /** What the page says. */
  says: string[]
}

const VERIFIER = 'v'.repeat(43)
const CHALLENGE = createHash('sha256').update(VERIFIER).digest('base64url')
const SECONDS_OFF = 7_200
const GRANT = { status: 400, error: 'invalid_grant', error_description: 'grant request is invalid' }
const CLIENT = { status: 401, error: 'invalid_client', error_description: 'client authentication failed' }

const CASES: Record<string, Case> = {
  'a redirect URI with one slash too many': {
    send: (app) => authorize(app, { redirect_uri: `${app.redirectUri}/` }),
    answer: { status: 400, error: 'page' },
    says: [
      'The redirect URI is not registered',
      'Expected https://printer.example/callback',
      'Came https://printer.example/callback/',
      'character by character',
    ],
  },
  'a redirect URI at /par': {
    send: (app) =>
      app.post('/par', {
        client_id: app.id,
        response_type: 'code',
        redirect_uri: 'http://printer.example/callback',
        code_challenge: CHALLENGE,
        code_challenge_method: 'S256',
        scope: 'openid',
      }),
    answer: { status: 400, error: 'invalid_request' },
    says: ['The redirect URI is not registered', '/par'],
  },
  'no PKCE challenge': {
    send: (app) => authorize(app, { code_challenge: undefined, code_challenge_method: undefined }),
    answer: {
      status: 303,
      error: 'invalid_request',
      error_description: 'Authorization Server policy requires PKCE to be used for this request',
    },
    says: ['PKCE is missing', 'Expected code_challenge and code_challenge_method=S256', 'Came neither'],
  },
  'PKCE method plain': {
    send: (app) => authorize(app, { code_challenge_method: 'plain' }),
    answer: {
      status: 303,
      error: 'invalid_request',
      error_description: 'not supported value of code_challenge_method',
    },
    says: ['The PKCE method is not S256', 'Expected S256', 'Came plain'],
  },
  'a PKCE challenge without a method': {
    send: (app) => authorize(app, { code_challenge_method: undefined }),
    answer: {
      status: 303,
      error: 'invalid_request',
      error_description: 'code_challenge_method must be provided',
    },
    says: ['The PKCE method is not S256', 'Came none, which means plain'],
  },
  'a PKCE challenge that is too short': {
    send: (app) => authorize(app, { code_challenge: 'abc' }),
    answer: { status: 303, error: 'invalid_request' },
    says: ['The PKCE value is malformed', 'code_challenge of 3 characters'],
  },
  'no PKCE verifier': {
    send: async (app) => redeem(app, { code_verifier: undefined }),
    answer: GRANT,
    says: ['The PKCE verifier is missing'],
  },
  'another PKCE verifier': {
    send: async (app) => redeem(app, { code_verifier: VERIFIER }),
    answer: GRANT,
    says: [
      'The PKCE verifier does not fit the challenge',
      'a verifier of 43 characters that hashes to something else',
    ],
  },
  'a PKCE challenge that was not hashed': {
    async send(app) {
      const { form } = await app.code(jamie, { code_challenge: VERIFIER })
      return app.post('/token', { ...form, code_verifier: VERIFIER })
    },
    answer: GRANT,
    says: [
      'The PKCE verifier does not fit the challenge',
      'the verifier itself was sent as the challenge: hash it',
    ],
  },
  'a scope that no API knows': {
    send: (app) => authorize(app, { scope: 'photos.raed' }),
    answer: { status: 303, error: 'invalid_scope', error_description: 'requested scope is not known' },
    says: ['No API here knows this scope', 'Came photos.raed', 'did you mean photos.read? any of: openid'],
  },
  'a scope that the app may not ask for': {
    app: { scopes: ['openid', 'photos.read'] },
    send: (app) => authorize(app, { scope: 'openid prints.order' }),
    answer: { status: 303, error: 'invalid_scope', error_description: 'requested scope is not allowed' },
    says: ['The app may not ask for this scope', 'Came prints.order', 'any of: openid photos.read'],
  },
  'more scopes at a refresh': {
    async send(app) {
      const { refresh_token } = await app.connect(jamie, { scope: 'openid photos.read' })
      return app.refresh(refresh_token, { scope: 'openid photos.read photos.share' })
    },
    answer: { status: 400, error: 'invalid_scope' },
    says: ['More was asked for than was allowed', 'Came photos.share'],
  },
  'an API that nobody registered': {
    send: (app) => authorize(app, { resource: 'https://fotos.example' }),
    answer: { status: 303, error: 'invalid_target' },
    says: ['No API here goes by this resource', 'Came https://fotos.example'],
  },
  'a resource that is no URI': {
    send: (app) => authorize(app, { resource: 'photos' }),
    answer: { status: 303, error: 'invalid_target' },
    says: ['The resource parameter is malformed', 'Came photos'],
  },
  'a grant type that the app may not use': {
    app: { type: 'service', scopes: ['photos.read'] },
    send: (app) => app.post('/token', { grant_type: 'refresh_token', refresh_token: 'x' }),
    answer: {
      status: 400,
      error: 'unauthorized_client',
      error_description: 'requested grant type is not allowed for this client',
    },
    says: ['The app may not use this grant type', 'Expected client_credentials', 'Came refresh_token'],
  },
  'a grant type that nobody may use': {
    send: (app) => app.post('/token', { grant_type: 'password', username: jamie.email, password: 'hunter2' }),
    answer: {
      status: 400,
      error: 'unsupported_grant_type',
      error_description: 'unsupported grant_type requested',
    },
    says: ['There is no such grant type here', 'grant_type=password'],
  },
  'response_type=token': {
    send: (app) => authorize(app, { response_type: 'token' }),
    answer: { status: 303, error: 'unsupported_response_type' },
    says: ['The response type cannot be used', 'Came token'],
  },
  'a secret of something else': {
    send: (app) => as(app, 'my-database-password').post('/token', { grant_type: 'client_credentials' }),
    answer: CLIENT,
    says: [
      'The client secret is wrong',
      'something that does not begin with vk_cs_ (20 characters)',
      'sender not proven',
    ],
  },
  'a secret that was cut off': {
    send: (app) => as(app, app.secret!.slice(0, -1)).post('/introspect', { token: 'x' }),
    answer: CLIENT,
    says: [
      'The client secret is wrong',
      '/introspect',
      'mistyped or cut off: 54 characters',
      'it begins like',
    ],
  },
  'a secret that was revoked': {
    async send(app) {
      const value = await addNamedSecret(server.db, app.id, 'web 2', SYSTEM)
      const [row] = await listSecrets(server.db, app.id)
      await revokeSecret(server.db, app.id, row!.id, SYSTEM)
      await heard(server)
      return as(app, value!).post('/revoke', { token: 'x' })
    },
    answer: CLIENT,
    says: ['The client secret was revoked', '(web 2), revoked', '/revoke'],
  },
  'a secret that has expired': {
    async send(app) {
      await rotateSecret(server.db, app.id, SYSTEM)
      await heard(server)
      return app.post('/token', { grant_type: 'client_credentials' })
    },
    answer: CLIENT,
    says: ['The client secret has expired', ', expired '],
  },
  'no secret at all': {
    send: (app) => as(app, undefined).post('/token', { grant_type: 'client_credentials' }),
    answer: CLIENT,
    says: [
      'The app did not authenticate in the way it is registered for',
      'Expected client_secret_basic or client_secret_post',
      'Came none',
    ],
  },
  'a secret of an app that has none': {
    app: { type: 'spa' },
    send: (app) => as(app, 'sesame').post('/token', { grant_type: 'refresh_token', refresh_token: 'x' }),
    answer: CLIENT,
    says: [
      'The app did not authenticate in the way it is registered for',
      'Expected none: client_id alone',
      'Came client_secret_basic',
    ],
  },
  'two ways to authenticate': {
    send: (app) =>
      app.post('/token', { grant_type: 'client_credentials', client_id: app.id, client_secret: app.secret! }),
    answer: { status: 400, error: 'invalid_request' },
    says: ['How the app authenticates could not be read', 'using one mechanism'],
  },
  'a code that never was': {
    send: (app) => redeem(app, { code: 'abc' }),
    answer: GRANT,
    says: ['There is no such code', 'Came 3 characters, mistyped or cut off'],
  },
  'a code that was used': {
    async send(app) {
      const { form } = await app.code(jamie)
      await app.post('/token', form)
      return app.post('/token', form)
    },
    answer: GRANT,
    says: ['The code was used already'],
  },
  'a code that has expired': {
    async send(app) {
      const { form, code } = await app.code(jamie)
      const hash = createHash('sha256').update(code).digest()
      await run(
        server.db,
        sql`update tokens set issued_at = issued_at - interval '90 seconds', expires_at = now() - interval '30 seconds'
            where hash = ${hash}`,
      )
      return app.post('/token', form)
    },
    answer: GRANT,
    says: ['The code has expired', 'Came after 9'],
  },
  'a code of another app': {
    async send(app) {
      const other = await server.app()
      const { form } = await other.code(jamie)
      return app.post('/token', form)
    },
    answer: GRANT,
    says: ['The code belongs to another app'],
  },
  'a code with another redirect URI': {
    app: { redirect_uris: ['https://printer.example/callback', 'https://printer.example/other'] },
    send: (app) => redeem(app, { redirect_uri: 'https://printer.example/other' }),
    answer: GRANT,
    says: [
      'The redirect URI is not the one the code was asked for with',
      'Expected https://printer.example/callback',
    ],
  },
  'a refresh token that was used': {
    async send(app) {
      const { refresh_token } = await app.connect(jamie)
      await app.refresh(refresh_token)
      return app.refresh(refresh_token)
    },
    answer: GRANT,
    says: ['The refresh token was used already'],
  },
  'a refresh token that has expired': {
    async send(app) {
      const { refresh_token } = await app.connect(jamie)
      const hash = createHash('sha256').update(refresh_token!).digest()
      await run(server.db, sql`update tokens set expires_at = now() - interval '1 day' where hash = ${hash}`)
      return app.refresh(refresh_token)
    },
    answer: GRANT,
    says: ['The refresh token has expired'],
  },
  'a refresh token whose access was removed': {
    async send(app) {
      const { refresh_token } = await app.connect(jamie)
      await revokeApp(server.db, jamie.id, app.id, SYSTEM)
      return app.refresh(refresh_token)
    },
    answer: GRANT,
    says: ['The access behind this refresh token was removed'],
  },
  'an access token whose access was removed': {
    async send(app) {
      const { access_token } = await app.connect(jamie, { scope: 'openid email' })
      await revokeApp(server.db, jamie.id, app.id, SYSTEM)
      return app.userinfo(access_token)
    },
    answer: { status: 401, error: 'invalid_token', error_description: 'invalid token provided' },
    says: ['The access behind this access token was removed', '/userinfo'],
  },
  'an access token for an API at userinfo': {
    async send(app) {
      const { access_token } = await app.connect(jamie, { scope: 'photos.read', nonce: undefined })
      return app.userinfo(access_token)
    },
    answer: {
      status: 403,
      error: 'insufficient_scope',
      error_description: 'access token missing openid scope',
    },
    says: ['This access token is for an API alone, not for userinfo', 'one for https://photos.example'],
  },
  'a DPoP proof of an hour ago': {
    async send(app) {
      const iat = Math.floor(Date.now() / 1000) - SECONDS_OFF
      return redeem(app, {}, { DPoP: await proof({ iat }) })
    },
    answer: {
      status: 400,
      error: 'invalid_dpop_proof',
      error_description: 'DPoP proof iat is not recent enough',
    },
    says: ['The clock of the app is off', 'seconds behind it'],
  },
  'a DPoP proof for another address': {
    send: async (app) => redeem(app, {}, { DPoP: await proof({ htu: 'https://printer.example/token' }) }),
    answer: { status: 400, error: 'invalid_dpop_proof', error_description: 'DPoP proof htu mismatch' },
    says: ['The DPoP proof is for another request', 'Came https://printer.example/token'],
  },
  'a DPoP proof that is nonsense': {
    send: async (app) => redeem(app, {}, { DPoP: 'nonsense' }),
    answer: { status: 400, error: 'invalid_dpop_proof', error_description: 'invalid DPoP key binding' },
    says: ['The DPoP proof is not valid'],
  },
  'a bound refresh token without its key': {
    app: { type: 'spa' },
    async send(app) {
      const { form } = await app.code(jamie)
      const { body } = await app.post('/token', form, { DPoP: await proof({}) })
      return app.refresh(body.refresh_token)
    },
    answer: GRANT,
    says: ['The DPoP proof is missing'],
  },
  'a pushed request that is over': {
    send: (app) => authorize(app, { request_uri: `urn:ietf:params:oauth:request_uri:${randomUUID()}` }),
    answer: { status: 303, error: 'invalid_request_uri' },
    says: ['The pushed request is over'],
  },
  'no redirect URI': {
    send: (app) => authorize(app, { redirect_uri: undefined }),
    answer: { status: 400, error: 'page' },
    says: ['A parameter is missing', 'redirect_uri'],
  },
  'a parameter twice': {
    async send(app) {
      const { url } = await app.begin()
      url.searchParams.append('scope', 'openid')
      return sendOff(url)
    },
    answer: { status: 303, error: 'invalid_request' },
    says: ['A parameter came twice', 'scope'],
  },
  'a prompt that is none': {
    send: (app) => authorize(app, { prompt: 'please' }),
    answer: {
      status: 303,
      error: 'invalid_request',
      error_description: 'unsupported prompt value requested',
    },
    says: ['A parameter cannot be used like this', 'Came prompt=please'],
  },
  'a suspended app': {
    async send(app) {
      await suspendClient(server.db, app.id, SYSTEM)
      await heard(server)
      const answer = await app.post('/token', { grant_type: 'client_credentials' })
      return answer
    },
    answer: CLIENT,
    says: ['The app is suspended'],
  },
  'a service that waits for approval': {
    app: { type: 'service', scopes: ['photos.read'] },
    async send(app) {
      await run(server.db, sql`update clients set state = 'pending' where id = ${app.id}`)
      await heard(server)
      return app.post('/token', { grant_type: 'client_credentials' })
    },
    answer: {
      status: 400,
      error: 'unauthorized_client',
      error_description: 'requested grant type is not allowed for this client',
    },
    says: ['The app waits for approval'],
  },
  'an app that waits for approval': {
    async send(app) {
      await run(server.db, sql`update clients set state = 'pending' where id = ${app.id}`)
      await heard(server)
      const robin = await server.person('Robin')
      const page = await robin.signIn(await robin.open((await app.begin()).url))
      return { status: page.status, body: { error: 'page' } }
    },
    answer: { status: 403, error: 'page' },
    says: ['The app waits for approval'],
  },
}

const sent = new Map<string, { app: App; answer: Sent }>()
let keys: Awaited<ReturnType<typeof generateKeyPair>>

beforeAll(async () => {
  server = await startServerFixture({ TRUSTED_PROXIES: '127.0.0.0/8,::1' })
  keys = await generateKeyPair('ES256', { extractable: true })
  jamie = await server.person('Jamie')
  ada = await server.person('Ada')
  await setRole(server.db, ada.id, 'admin', SYSTEM)
  await jamie.account()
  await ada.account('/admin')
  for (const [name, { app: input, send }] of Object.entries(CASES)) {
    const app = await owned(input)
    sent.set(name, { app, answer: await send(app) })
  }
})
afterAll(() => server.stop())

describe.each(Object.keys(CASES))('%s', (name) => {
  test('is answered as tersely as ever', () => {
    const { status, body } = sent.get(name)!.answer
    const { answer } = CASES[name]!

    const { status: _, ...wanted } = answer
    expect([status, body]).toEqual([answer.status, expect.objectContaining(wanted)])
    const told = ['error', 'error_description', 'scope', 'iss', 'state']
    expect(Object.keys(body).filter((key) => !told.includes(key))).toEqual([])
  })

  test('is explained to the owner, and to an administrator', async () => {
    const { app } = sent.get(name)!

    const page = await shown(app, CASES[name]!.says[0]!)

    const read = readOf(page)
    for (const text of CASES[name]!.says) expect(read).toContain(text)
    expect((await ada.open(`/admin/clients/${app.id}/errors`)).text).toContain(CASES[name]!.says[0])
    expect(page.html).not.toContain('style=')
  })
})

test('what people answer is no error of the app', async () => {
  const app = await owned()
  const pending = await app.begin()
  const robin = await server.person('Robin')
  const asked = await robin.signIn(await robin.open(pending.url))
  const refused = await robin.press(asked, 'Don’t allow')
  const silent = await robin.open((await app.begin({ prompt: 'none' })).url)
  expect(refused.away?.searchParams.get('error')).toBe('access_denied')
  expect(silent.away?.searchParams.get('error')).toBe('consent_required')

  await authorize(app, { scope: 'last' })
  await shown(app, 'No API here knows this scope')

  expect(await kinds(app)).toEqual(['scope_unknown'])
})

test('no credential, no person and no markup reaches the table or the page', async () => {
  const app = await owned()
  const { refresh_token, access_token } = await app.connect(jamie)
  const { code, form } = await app.code(jamie)
  const secrets = [refresh_token!, access_token, code, form.code_verifier, app.secret!]
  const values = [...secrets, jamie.email, jamie.id, '<script>alert(1)</script>', 'a\u202eb\u0007']
  for (const [i, value] of values.entries()) {
    const place = { 'X-Forwarded-For': `203.0.113.${i}` }
    await authorize(
      app,
      { redirect_uri: `https://printer.example/${encodeURI(value)}?code=${value}#${value}` },
      place,
    )
    await authorize(app, { scope: `${value}`, state: 'state-of-mine' }, place)
    await authorize(app, { resource: `https://photos.example/${value}`, nonce: 'nonce-of-mine' }, place)
    await as(app, `${value}!`).post('/token', { ...form }, place)
    await app.post('/token', { grant_type: value, client_assertion: value })
    await app.post('/token', { ...form, code: `${value}!`, code_verifier: value })
  }
  const page = await shown(app, 'There is no such code')
  await expectRows(app, values.length * 5)

  const rows = JSON.stringify(
    await many(server.db, sql`select * from client_refusals where client_id = ${app.id}`),
  )
  const html = (await jamie.open(`/developer/apps/${app.id}/errors`)).html
  for (const value of [...secrets.slice(0, 4), 'state-of-mine', 'nonce-of-mine', jamie.id]) {
    for (const text of [rows, html]) expect(text).not.toContain(value.slice(0, 14))
  }
  expect(rows).not.toContain(jamie.email)
  // The top bar names who is signed in, once.
  expect(html.split(jamie.email)).toHaveLength(2)
  expect(rows).not.toContain(app.secret!.slice(0, 13))
  expect(html).not.toContain('<script>')
  for (const char of ['\u202e', '\u0007']) expect(html).not.toContain(char)
  expect(page.status).toBe(200)
})

test('an app is shown to its owners and to administrators; to everybody else there is none', async () => {
  const app = await owned()
  const robin = await server.person('Robin')
  const other = await server.app()
  await robin.account()
  await run(server.db, sql`insert into client_owners (client_id, user_id) values (${other.id}, ${robin.id})`)

  for (const view of ['errors', 'usage']) {
    const pages = await Promise.all([
      jamie.open(`/developer/apps/${app.id}/${view}`),
      ada.open(`/admin/clients/${app.id}/${view}`),
      robin.open(`/developer/apps/${app.id}/${view}`),
      robin.open(`/admin/clients/${app.id}/${view}`),
      ada.open(`/developer/apps/${app.id}/${view}`),
      jamie.open(`/developer/apps/nothing/${view}`),
      jamie.open(`/developer/apps/${server.photos.id}/${view}`),
      ada.open(`/admin/clients/${server.photos.id}/${view}`),
    ])
    expect(pages.map(({ status }) => status)).toEqual([200, 200, 404, 404, 404, 404, 404, 404])
    expect(pages.slice(2).some(({ text }) => text.includes('Photo Printer'))).toBe(false)
    const elsewhere = jamie.elsewhere()
    const asked = await elsewhere.open(`/developer/apps/${app.id}/${view}`)
    expect(asked.title).toBe('Sign in · Valetkey')
    expect((await elsewhere.signIn(asked)).url.pathname).toBe(`/developer/apps/${app.id}/${view}`)
  }
})

describe('a stranger who knows the id', () => {
  test('pushes out nothing of the owner, and the table does not grow', async () => {
    const app = await owned()
    for (let i = 0; i < 30; i++) await app.post('/token', { grant_type: `mine-${i}` })
    for (let i = 0; i < 5; i++) await from('198.51.100.7', app, { scope: `my-own-${i}` })
    await expectRows(app, 35)

    for (let round = 0; round < 4; round++) {
      await Promise.all(
        Array.from({ length: 250 }, (_, i) =>
          from(`203.0.113.${i % 3}`, app, { scope: `theirs-${round}-${i}` }),
        ),
      )
      await from('203.0.113.1', app, { scope: `last-${round}` })
      await shown(app, `last-${round}`)
    }

    // What is too much goes in the statement behind the one that adds.
    await untilPasses(async () => expect((await kinds(app)).length).toBeLessThanOrEqual(200))
    const page = await jamie.open(`/developer/apps/${app.id}/errors`)
    const rows = await kinds(app)
    for (let i = 0; i < 30; i++) expect(page.text).toContain(`grant_type=mine-${i}`)
    for (let i = 0; i < 5; i++) expect(page.text).toContain(`my-own-${i}`)
    expect(rows.filter((kind) => kind === 'grant_type_unsupported')).toHaveLength(30)
  })

  test('fills the ring of an app with what is the newest, when there is nobody else', async () => {
    const app = await owned()
    for (let i = 0; i < 12; i++) {
      await Promise.all(
        Array.from({ length: 20 }, (_, j) => from('203.0.113.9', app, { scope: `s${i}-${j}` })),
      )
      await expectLast(app, `s${i}-`, 20)
    }

    // What is too much goes in the statement behind the one that adds.
    await untilPasses(async () => expect(await kinds(app)).toHaveLength(200))
    const page = await jamie.open(`/developer/apps/${app.id}/errors`)
    expect(page.text).toContain('s11-0')
    expect(page.text).not.toContain('s0-0')
  })

  test('makes no row with ids that nobody has', async () => {
    const before = await one<{ n: number }>(server.db, sql`select count(*)::int as n from client_refusals`)
    for (let i = 0; i < 20; i++) {
      const nobody = new App(server.origin, `nobody_${i}`, 'x', 'https://printer.example/callback')
      expect((await nobody.post('/token', { grant_type: 'client_credentials' })).status).toBe(401)
    }
    const app = await owned()
    await authorize(app, { scope: 'last' })
    await shown(app, 'No API here knows this scope')

    const after = await one<{ n: number }>(server.db, sql`select count(*)::int as n from client_refusals`)
    expect(after.n).toBe(before.n + 1)
  })
})

test('an app that was suspended by mistake works on, and its errors stay', async () => {
  const { app } = sent.get('a suspended app')!
  await resumeClient(server.db, app.id, SYSTEM)
  await heard(server)

  expect((await jamie.open(`/developer/apps/${app.id}/errors`)).text).toContain('The app is suspended')
})

test('a database that refuses the notes loses the notes, and nothing else', async () => {
  const app = await owned()
  await run(server.db, sql`alter table client_refusals rename to client_refusals_away`)
  const refused = await authorize(app, { scope: 'lost' })
  const works = await app.post('/token', { grant_type: 'client_credentials', scope: 'photos.read' })
  // Two writes' time: the first one has failed.
  await new Promise((resolve) => setTimeout(resolve, 2_100))
  await run(server.db, sql`alter table client_refusals_away rename to client_refusals`)

  await authorize(app, { scope: 'kept' })
  const page = await shown(app, 'kept')

  expect([refused.body.error, works.status]).toEqual(['invalid_scope', 200])
  expect(page.text).not.toContain('lost')
})

async function owned(input?: Partial<ClientInput>): Promise<App> {
  const app = await server.app(input)
  await run(server.db, sql`insert into client_owners (client_id, user_id) values (${app.id}, ${jamie.id})`)
  return app
}

/** The owner's page, once it says this. */
async function shown(app: App, text: string): Promise<Page> {
  return untilPasses(async () => {
    const page = await jamie.open(`/developer/apps/${app.id}/errors`)
    expect(page.text).toContain(text)
    return page
  })
}

/** What a person reads: marks part no words. */
function readOf(page: Page): string {
  return textOf(page.html.replaceAll(/<\/?mark>/g, ''))
}

/** Waits until so many rows say this. */
async function expectLast(app: App, text: string, count: number): Promise<void> {
  await untilPasses(async () => {
    const { n } = await one<{ n: number }>(
      server.db,
      sql`select count(*)::int as n from client_refusals where client_id = ${app.id} and strpos(came, ${text}) = 1`,
    )
    expect(n).toBe(count)
  })
}

async function expectRows(app: App, atLeast: number): Promise<void> {
  await untilPasses(async () => expect((await kinds(app)).length).toBeGreaterThanOrEqual(atLeast))
}

async function kinds(app: App): Promise<string[]> {
  const rows = await many<{ kind: string }>(
    server.db,
    sql`select kind from client_refusals where client_id = ${app.id} order by id`,
  )
  return rows.map(({ kind }) => kind)
}

/** The same app with another secret, or none. */
function as(app: App, secret: string | undefined): App {
  return new App(server.origin, app.id, secret, app.redirectUri)
}

async function authorize(
  app: App,
  params: Record<string, string | undefined>,
  headers?: Record<string, string>,
): Promise<Sent> {
  // Only sign-ins have a nonce.
  const signsIn = params.scope === undefined || params.scope.includes('openid')
  const { url } = await app.begin({ ...(signsIn ? {} : { nonce: undefined }), ...params })
  return sendOff(url, headers)
}

async function from(ip: string, app: App, params: Record<string, string>): Promise<void> {
  await authorize(app, params, { 'X-Forwarded-For': ip })
}

async function sendOff(url: URL, headers: Record<string, string> = {}): Promise<Sent> {
  const { status, headers: answered } = await fetch(url, {
    redirect: 'manual',
    headers: { Accept: 'text/html', ...headers },
  })
  const location = answered.get('location')
  if (!location) return { status, body: { error: 'page' } }
  const { searchParams, hash } = new URL(location)
  return { status, body: Object.fromEntries([...searchParams, ...new URLSearchParams(hash.slice(1))]) }
}

async function redeem(
  app: App,
  params: Record<string, string | undefined>,
  headers?: Record<string, string>,
): Promise<Answer> {
  const { form } = await app.code(jamie)
  const all = Object.entries({ ...form, ...params }).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  )
  return app.post('/token', Object.fromEntries(all), headers)
}

async function proof(claims: Record<string, unknown>): Promise<string> {
  const usual = {
    htm: 'POST',
    htu: `${server.origin}/token`,
    jti: randomUUID(),
    iat: Math.floor(Date.now() / 1000),
  }
  return new SignJWT({ ...usual, ...claims })
    .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk: await exportJWK(keys.publicKey) })
    .sign(keys.privateKey)
}
