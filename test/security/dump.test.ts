// Whoever steals the database, or reads the log at its most talkative, can sign in nowhere: of everything that was handed
// out in a whole life of an app, nothing stands there, not as text, not in another spelling.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { rotateSecret } from '../../src/core/clients/secrets.ts'
import { many, run, sql } from '../../src/db/pool.ts'
import {
  API,
  asking,
  authUrl,
  Browser,
  call,
  populate,
  redeem,
  refresh,
  send,
  VERIFIER,
  type World,
} from '../support/attack.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { startServer, type TestServer } from '../support/server.ts'

let database: TestDatabase
let server: TestServer
let world: World
const secrets = new Map<string, string>()
const moments: string[] = []
const keep = (what: string, value: unknown): void => {
  if (typeof value !== 'string' || value.length < 12) throw new Error(`${what} is ${value}`)
  secrets.set(value, what)
}

beforeAll(async () => {
  database = await createTestDatabase()
  world = await populate(database.db)
  server = await startServer({
    databaseUrl: database.url,
    env: { LOG_LEVEL: 'debug', SWEEP_INTERVAL_SECONDS: '1' },
  })
  await live()
})
afterAll(async () => {
  await server?.stop()
  await database?.drop()
})

test('the life that was lived handed out every kind of value', () => {
  const kinds = new Set([...secrets.values()])

  for (const kind of [
    'code',
    'access token',
    'refresh token',
    'client secret',
    'password',
    'set-up link',
    'browser',
  ]) {
    expect(kinds).toContain(kind)
  }
  expect(secrets.size).toBeGreaterThan(50)
})

test('no table holds any of it, at any moment', () => {
  expect(moments.length).toBeGreaterThan(10)
  expect([...new Set(moments.flatMap(found))]).toEqual([])
})

test('the log at level debug holds none of it', () => {
  const log = server.output().replace(/^Create the first administrator: .*$/gm, '')

  expect(log).toContain('/interaction/…')
  expect(log.split('\n').length).toBeGreaterThan(40)
  expect(found(log)).toEqual([])
})

test('the search would find a value in every spelling it looks for', () => {
  const [value] = [...secrets].find(([, what]) => what === 'refresh token')!

  for (const spelled of spellings(value)) expect(found(`…${spelled}…`)).toHaveLength(1)
})

/** Everything an app, a program, an administrator and a person do, with a dump after each chapter. */
async function live(): Promise<void> {
  const { origin } = server
  keep('code verifier', VERIFIER)
  for (const { secret } of [world.web, world.service, world.api]) keep('client secret', secret)
  for (const { password } of [world.alice, world.bob]) keep('password', password)

  const link = /setup\/([\w-]{20,})/.exec(server.output())![1]!
  keep('set-up link', link)
  const admin = new Browser(origin)
  const setup = await admin.open(`/setup/${link}`)
  await admin.submit(setup, 'Create', { name: 'Root', email: 'no address', password: 'the password of root' })
  await admin.submit(setup, 'Create', {
    name: 'Root',
    email: 'root@example.com',
    password: 'the password of root',
  })
  keep('password', 'the password of root')
  await dump()

  // Signing in, with mistakes on the way.
  const alice = new Browser(origin)
  const signIn = await alice.open(authUrl(world.web))
  await dump()
  await alice.submit(signIn, 'Sign in', { email: world.alice.email, password: 'a wrong password of alice' })
  keep('password', 'a wrong password of alice')
  const { email, password } = world.alice
  const accepted = await alice.submit(signIn, 'Sign in', { email, password })
  await dump()
  const consent = await alice.follow(accepted)
  await dump()
  const allowed = await alice.submit(consent, 'Allow')
  await dump()
  const back = await alice.follow(allowed)
  const code = back.next!.searchParams.get('code')!
  keep('code', code)
  await dump()

  // Tokens, good and bad uses.
  const first = await redeem(origin, world.web, code)
  keepTokens(first.body)
  const second = await refresh(origin, world.web, String(first.body.refresh_token))
  keepTokens(second.body)
  await call(origin, '/userinfo', world.web, { access_token: String(second.body.access_token) })
  await send('GET', origin, '/userinfo', { headers: { authorization: `Bearer ${second.body.access_token}` } })
  await call(origin, '/introspect', world.api, { token: String(second.body.access_token) })
  await dump()
  await redeem(origin, { ...world.web, secret: `${world.web.secret}x` }, code)
  await send(
    'GET',
    origin,
    `/auth?${new URLSearchParams(asking(world.web, { id_token_hint: String(first.body.id_token) }))}`,
  )
  await refresh(origin, world.web, String(first.body.refresh_token))
  await dump()

  // A pushed request, used through an interaction.
  const bob = new Browser(origin)
  const id_token_hint = String(first.body.id_token)
  const hinted = await call(origin, '/par', world.web, asking(world.web, { id_token_hint }))
  expect(hinted.status).toBe(201)
  const pushed = await call(origin, '/par', world.spa, asking(world.spa))
  keep('request_uri', pushed.body.request_uri)
  keep('request_uri', String(pushed.body.request_uri).split(':').at(-1))
  await dump()
  const { privateKey, publicKey } = await generateKeyPair('ES256')
  const dpop = await new SignJWT({
    htm: 'POST',
    htu: `${origin}/token`,
    jti: 'a-jti-of-a-proof-that-is-long',
  })
    .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk: await exportJWK(publicKey) })
    .setIssuedAt()
    .sign(privateKey)
  keep('DPoP proof', dpop)
  const request = new URLSearchParams({
    client_id: world.spa.id,
    request_uri: String(pushed.body.request_uri),
  })
  const page = await bob.open(`/auth?${request}`)
  await dump()
  const ofBob = { email: world.bob.email, password: world.bob.password }
  const toApp = await bob.follow(
    await bob.submit(await bob.follow(await bob.submit(page, 'Sign in', ofBob)), 'Allow'),
  )
  const bound = toApp.next!.searchParams.get('code')!
  keep('code', bound)
  keepTokens((await redeem(origin, world.spa, bound, { dpop })).body)
  await dump()

  // A program, and a new secret for it.
  const machine = { grant_type: 'client_credentials', scope: 'photos.read', resource: API }
  const granted = await call(origin, '/token', world.service, machine)
  keep('access token', granted.body.access_token)
  keep(
    'client secret',
    await rotateSecret(database.db, world.service.id, { type: 'cli' }, { overlapSeconds: 60 }),
  )
  await call(origin, '/revoke', world.service, { token: String(granted.body.access_token) })
  await dump()

  // The account pages, and out.
  const profile = await bob.open('/account')
  const renamed = await bob.submit(profile, 'Save name', { name: 'Robert' })
  await bob.follow(renamed)
  const next = 'the next password of bob'
  keep('password', next)
  await bob.follow(
    await bob.submit(profile, 'Change password', {
      current_password: world.bob.password,
      new_password: next,
    }),
  )
  const apps = await bob.open('/account/apps')
  const device = /href="(\/account\/apps\/[^"]+\/devices\/[^"]+)"/.exec(apps.text)![1]!
  await bob.follow(await bob.submit(await bob.open(device), 'Remove'))
  const removal = await bob.open(`/account/apps/${world.spa.id}/remove`)
  await bob.follow(await bob.submit(removal, 'Remove'))
  await bob.open('/account/activity')
  await dump()
  const goodbye = await bob.open('/session/end')
  await dump()
  await bob.follow(await bob.submit(goodbye, 'Sign out'))
  for (const browser of [admin, alice, bob]) for (const value of browser.handedOut) keep('browser', value)

  // What fails inside must not tell either.
  await send('GET', origin, `/interaction/${'x'.repeat(43)}?code=${code}`)
  await send('POST', origin, '/token', { body: `code=${code}&grant_type=authorization_code` })
  await send('POST', origin, '/token', { form: { client_secret: world.web.secret, client_id: 'nobody' } })
  await run(database.db, sql`alter table tokens rename to tokens_away`)
  await call(origin, '/introspect', world.web, { token: String(second.body.access_token) })
  await refresh(origin, world.web, String(second.body.refresh_token))
  await run(database.db, sql`alter table tokens_away rename to tokens`)
  await dump()
}

function keepTokens(body: Record<string, unknown>): void {
  keep('access token', body.access_token)
  keep('refresh token', body.refresh_token)
  keep('ID token', body.id_token)
}

/** All tables as text: columns of bytes become hex. */
async function dump(): Promise<void> {
  const tables = await many<{ name: string }>(
    database.db,
    sql`select format('%I', tablename) as name from pg_tables where schemaname = 'public'`,
  )
  const texts = tables.map(async ({ name }) => {
    const { rows } = await database.db.pg.query<{ text: string }>(`select t::text as text from ${name} t`)
    return [name, ...rows.map(({ text }) => text)].join('\n')
  })
  moments.push((await Promise.all(texts)).join('\n'))
}

/** What of the secrets stands in a text: which kind, and how it is spelled there. */
function found(text: string): string[] {
  return [...secrets].flatMap(([value, what]) => {
    const spelled = spellings(value).find((spelling) => text.includes(spelling))
    const at = spelled ? text.indexOf(spelled) : 0
    return spelled ? [`${what} ${spelled.slice(0, 40)} after ${text.slice(Math.max(0, at - 120), at)}`] : []
  })
}

/** A value as it may stand in a dump: itself, hex, and base64 in its three alignments, with either alphabet. */
function spellings(value: string): string[] {
  const base64 = [0, 1, 2].map((shift) => {
    // Only whole groups of four characters are the same wherever the value stands.
    const bytes = Buffer.from(value).subarray((3 - shift) % 3)
    return bytes.subarray(0, bytes.length - (bytes.length % 3)).toString('base64')
  })
  const urlSafe = base64.map((text) => text.replaceAll('+', '-').replaceAll('/', '_'))
  return [value, Buffer.from(value).toString('hex'), encodeURIComponent(value), ...base64, ...urlSafe]
}
