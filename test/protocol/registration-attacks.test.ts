// What somebody does at the open door who wants more than is given: two processes, many requests at once, members that are
// ours to set, text that wants to be markup, and addresses that want to be fetched.
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { SYSTEM } from '../../src/base/audit-events.ts'
import { createRegistrationToken } from '../../src/core/registration/initial-access-tokens.ts'
import { one, run, sql } from '../../src/db/pool.ts'
import {
  atOnce,
  authUrl,
  Browser,
  formWith,
  populate,
  type Reply,
  send,
  startTwo,
  tally,
} from '../support/attack.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { until } from '../support/patience.ts'

let database: TestDatabase
let nodes: Awaited<ReturnType<typeof startTwo>>
let world: Awaited<ReturnType<typeof populate>>
let trap: Server
let trapped = 0
beforeAll(async () => {
  database = await createTestDatabase()
  world = await populate(database.db)
  nodes = await startTwo(database.url, {
    DYNAMIC_REGISTRATION: 'open',
    TRUSTED_PROXIES: '127.0.0.1,::1',
    SWEEP_INTERVAL_SECONDS: '0',
  })
  trap = createServer((_request, response) => {
    trapped++
    response.end()
  }).listen(0, '127.0.0.1')
  await once(trap, 'listening')
})
afterAll(async () => {
  trap?.close()
  await nodes?.stop()
  await database?.drop()
})

const CALLBACK = 'https://printer.example/callback'
const MEMBERS = { client_name: 'Photo Printer', redirect_uris: [CALLBACK] }

test('of many registrations at once at two processes, a token lets in exactly as many as it says', async () => {
  const limit = 7
  const { value, token } = await createRegistrationToken(
    database.db,
    { scopes: ['openid'], maxUses: limit, days: 1 },
    SYSTEM,
  )
  const before = await clients()

  const replies = await atOnce(30, both(), (node) => register(node, MEMBERS, { token: value }))

  expect(tally(replies)).toEqual({ 201: limit, 401: 30 - limit })
  expect(await clients()).toBe(before + limit)
  const { uses } = await one<{ uses: number }>(
    database.db,
    sql`select uses from registration_tokens where id = ${token.id}`,
  )
  expect(uses).toBe(limit)
  expect((await register(nodes.one.origin, MEMBERS, { token: value })).status).toBe(401)
})

test('an address may register so often an hour, at all nodes together; a network of IPv6 is one address', async () => {
  const from = (ip: (i: number) => string) =>
    atOnce(30, both(), (node, i) => register(node, MEMBERS, { ip: ip(i) }))

  const same = await from(() => '198.51.100.7')
  const network = await from((i) => `2001:db8:1:2::${i}`)
  const other = await register(nodes.two.origin, MEMBERS, { ip: '198.51.100.8' })

  expect(tally(same)).toEqual({ 201: 20, 429: 10 })
  expect(tally(network)).toEqual({ 201: 20, 429: 10 })
  expect(other.status).toBe(201)
  const limited = same.find(({ status }) => status === 429)!
  expect(Number(limited.headers.get('retry-after'))).toBeGreaterThan(3000)
  expect(limited.headers.get('access-control-allow-origin')).toBe('*')
  expect(JSON.parse(limited.text)).toEqual({
    error: 'too_many_requests',
    error_description: expect.stringMatching(/^Too many registrations .* Try again in \d+ minutes\.$/),
  })
})

test('an address may change so much an hour, however many registrations it has', async () => {
  const headers = { 'content-type': 'application/json', 'x-forwarded-for': '198.51.100.20' }
  const made = await atOnce(3, both(), (node) => register(node, MEMBERS, { ip: '198.51.100.20' }))
  const apps = made.map(({ text }) => JSON.parse(text))
  const change = (node: string, i: number) => {
    const { client_id, registration_access_token } = apps[i % 3]
    const body = JSON.stringify({ ...MEMBERS, client_id, client_name: `Printer ${i}` })
    const authorization = `Bearer ${registration_access_token}`
    return send('PUT', node, `/register/${client_id}`, { headers: { ...headers, authorization }, body })
  }

  const replies = await atOnce(130, both(), change)

  expect(tally(replies)).toEqual({ 200: 120, 429: 10 })
})

test('what is refused counts as well', async () => {
  const replies = await atOnce(25, both(), (node) => register(node, {}, { ip: '198.51.100.9' }))

  expect(tally(replies)).toEqual({ 400: 20, 429: 5 })
})

test('members that are ours to set do nothing, by whatever name, at registering and at changing', async () => {
  const ours = {
    id: 'c_mine',
    client_id: 'c_mine',
    client_secret: 'chosen',
    type: 'resource_server',
    resource: 'https://photos.example',
    first_party: true,
    pkce_required: false,
    verified: true,
    verified_at: '2020-01-01',
    state: 'active',
    registered_by: 'admin',
    registered_at: 0,
    scopes: ['photos.read'],
    allowed_scopes: ['photos.read'],
    allowed_client_credentials: true,
    token_id: null,
    suspended_at: null,
    version: 100,
    secrets: [],
    constructor: { prototype: { first_party: true } },
  }
  const json = JSON.stringify({ ...MEMBERS, ...ours })
  const poisoned = await register(nodes.one.origin, json.replace(/}$/, ',"__proto__":{"first_party":true}}'))
  expect(poisoned.status).toBe(400)
  const { status, text } = await register(nodes.one.origin, json)
  const made = JSON.parse(text)

  expect(status).toBe(201)
  expect(made.client_id).not.toBe('c_mine')
  expect(made.client_secret).toMatch(/^vk_cs_/)
  const changed = await send('PUT', nodes.two.origin, `/register/${made.client_id}`, {
    headers: {
      authorization: `Bearer ${made.registration_access_token}`,
      'content-type': 'application/json',
    },
    body: json.replaceAll('c_mine', made.client_id).replace('"client_secret":"chosen",', ''),
  })
  expect(changed.status).toBe(200)
  const row = await one(
    database.db,
    sql`select type, first_party, pkce_required, verified_at, state, registered_by, scopes, resource, version,
               allowed_scopes, allowed_client_credentials, grant_types
        from clients join client_registrations on client_id = id where id = ${made.client_id}`,
  )
  expect(row).toEqual({
    type: 'web',
    first_party: false,
    pkce_required: true,
    verified_at: null,
    state: 'active',
    registered_by: 'itself',
    scopes: ['openid', 'profile', 'email', 'offline_access'],
    resource: null,
    version: 2,
    allowed_scopes: null,
    allowed_client_credentials: false,
    grant_types: ['authorization_code'],
  })
  const app = { id: made.client_id, secret: made.client_secret, redirect_uri: CALLBACK }
  const alone = await token(app, { grant_type: 'client_credentials', scope: 'photos.read' })
  expect(alone.status).toBe(400)
})

test('text that wants to be markup is text, on the consent page and in the list of apps', async () => {
  const client_name = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'
  const made = JSON.parse((await register(nodes.one.origin, { ...MEMBERS, client_name })).text)
  const app = { id: made.client_id, secret: made.client_secret, redirect_uri: CALLBACK }
  const alice = new Browser(nodes.issuer)

  const login = await alice.open(authUrl(app, { scope: 'openid' }))
  const { email, password } = world.alice
  const consent = await alice.follow(await alice.submit(login, 'Sign in', { email, password }))
  await alice.submit(consent, 'Allow').then((reply) => alice.follow(reply))
  const apps = await alice.open('/account/apps')

  for (const page of [login, consent, apps]) {
    expect(page.status).toBe(200)
    expect(page.text).not.toMatch(/<script|<img src=x/)
    expect(page.text).toContain('&lt;script&gt;alert(1)')
  }
})

test('it does not make an open door of us: nobody is sent on by an error that they did not see', async () => {
  const made = JSON.parse((await register(nodes.one.origin, MEMBERS)).text)
  const app = { id: made.client_id, secret: made.client_secret, redirect_uri: CALLBACK }
  const alice = new Browser(nodes.issuer)

  for (const wrong of [
    { scope: 'no.such' },
    { prompt: 'none' },
    { response_type: 'token' },
    { prompt: 'none', response_mode: 'form_post' },
  ] as Record<string, string>[]) {
    const page = await alice.get(authUrl(app, { scope: 'openid', ...wrong }))
    expect([wrong, page.status, page.next]).toEqual([wrong, 400, undefined])
    expect(page.text).toContain('Go on only if you know and trust printer.example')
    // Nothing goes on by itself; a form waits for a press.
    expect(page.text).not.toMatch(/<script|http-equiv/)
    expect(page.text.match(/<form[^>]*printer\.example/g) ?? []).toHaveLength(wrong.response_mode ? 1 : 0)
  }
  const answer = formWith(
    await alice.get(authUrl(app, { scope: 'openid', prompt: 'none', response_mode: 'form_post' })),
    'Go on to printer.example',
  )
  expect(answer.action.href).toBe(CALLBACK)
  expect(Object.fromEntries(answer.fields)).toMatchObject({ error: 'login_required', iss: nodes.issuer })
  // A page of the app itself may ask without being seen, in a frame that shows no address.
  const address = authUrl(app, { scope: 'openid', prompt: 'none' })
  const framed = await alice.request('GET', address, { headers: { 'sec-fetch-dest': 'iframe' } })
  expect(framed.next?.searchParams.get('error')).toBe('login_required')
  // Who has decided here has seen where it leads; and an app of the operator is one.
  const login = await alice.open(authUrl(app, { scope: 'openid' }))
  const csrf = formWith(login, 'Sign in').fields.get('csrf')!
  const cancel = await alice.request('POST', `${login.url.pathname}/abort`, { form: { csrf } })
  const cancelled = await alice.follow(cancel)
  expect(cancelled.next?.searchParams.get('error')).toBe('access_denied')
  const known = await alice.get(authUrl(world.web, { prompt: 'none' }))
  expect(known.next?.searchParams.get('error')).toBe('login_required')
  await run(database.db, sql`update clients set verified_at = now() where id = ${made.client_id}`)
  await until(async () => (await alice.get(address)).next !== undefined)
})

test('no address that is named is fetched, at any moment', async () => {
  const { port } = trap.address() as AddressInfo
  const at = (path: string) => `http://127.0.0.1:${port}/${path}`
  const members = {
    ...MEMBERS,
    redirect_uris: [at('callback')],
    client_uri: at('page'),
    logo_uri: at('logo.png'),
    tos_uri: at('tos'),
    policy_uri: at('policy'),
    jwks_uri: at('jwks'),
    initiate_login_uri: at('login'),
    request_uris: [at('request')],
    software_statement: 'eyJhbGciOiJub25lIn0.e30.',
  }
  const made = JSON.parse((await register(nodes.one.origin, members)).text)
  const app = { id: made.client_id, secret: made.client_secret, redirect_uri: at('callback') }
  const alice = new Browser(nodes.issuer)
  const code = await alice.code(authUrl(app, { scope: 'openid' }), world.alice)
  const form = {
    grant_type: 'authorization_code',
    code,
    redirect_uri: app.redirect_uri,
    code_verifier: 'x'.repeat(43),
  }
  await token(app, form)
  const consent = await alice.open(authUrl(app, { scope: 'openid', prompt: 'consent' }))

  expect(made.client_id).toBeTruthy()
  expect(made).not.toHaveProperty('jwks_uri')
  for (const member of ['sector_identifier_uri', 'backchannel_logout_uri'])
    expect((await register(nodes.one.origin, { ...MEMBERS, [member]: at(member) })).status).toBe(400)
  // Nor does a page make a browser fetch what a stranger named.
  expect(consent.text).not.toContain('logo.png')
  expect(trapped).toBe(0)
})

test('while it is registered and deleted at once by its owner, twice over, it ends deleted and nothing breaks', async () => {
  const made = JSON.parse((await register(nodes.one.origin, MEMBERS)).text)
  const headers = {
    authorization: `Bearer ${made.registration_access_token}`,
    'content-type': 'application/json',
  }
  const body = JSON.stringify({ client_id: made.client_id, ...MEMBERS, client_name: 'Other' })

  const replies = await atOnce(12, both(), (node, i) =>
    i % 3 === 2
      ? send('DELETE', node, `/register/${made.client_id}`, { headers })
      : send('PUT', node, `/register/${made.client_id}`, { headers, body }),
  )

  for (const { status } of replies) expect([200, 204, 401, 403]).toContain(status)
  const row = await one<{ deleted: boolean }>(
    database.db,
    sql`select deleted_at is not null as deleted from clients where id = ${made.client_id}`,
  )
  expect(row.deleted).toBe(true)
  const { n } = await one<{ n: number }>(
    database.db,
    sql`select count(*)::int as n from audit_events where client_id = ${made.client_id} and type = 'client.deleted'`,
  )
  expect(n).toBe(1)
})

function both(): string[] {
  return [nodes.one.origin, nodes.two.origin]
}

let strangers = 0

async function register(
  node: string,
  members: object | string,
  { token, ip }: { token?: string; ip?: string } = {},
): Promise<Reply> {
  const body = typeof members === 'string' ? members : JSON.stringify(members)
  return send('POST', node, '/register', {
    headers: {
      'content-type': 'application/json',
      'x-forwarded-for': ip ?? `203.0.113.${++strangers}`,
      ...(token && { authorization: `Bearer ${token}` }),
    },
    body,
  })
}

function token(app: { id: string; secret: string }, form: Record<string, string>): Promise<Reply> {
  const basic = Buffer.from(`${app.id}:${app.secret}`).toString('base64')
  return send('POST', nodes.two.origin, '/token', { form, headers: { authorization: `Basic ${basic}` } })
}

async function clients(): Promise<number> {
  await run(database.db, sql`delete from rate_limits`)
  return (await one<{ n: number }>(database.db, sql`select count(*)::int as n from clients`)).n
}
