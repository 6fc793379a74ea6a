// What may be used once is used once, however many try it at the same moment at two processes over one database.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose'
import { createSetupLink } from '../../src/core/users/setup-links.ts'
import { one, sql } from '../../src/db/pool.ts'
import {
  API,
  asking,
  atOnce,
  authUrl,
  Browser,
  call,
  isActive,
  populate,
  redeem,
  refresh,
  send,
  startTwo,
  tally,
  untilAnswered,
  type World,
} from '../support/attack.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

let database: TestDatabase
let world: World
let server: Awaited<ReturnType<typeof startTwo>>
let nodes: string[]
let alice: Browser
beforeAll(async () => {
  database = await createTestDatabase()
  world = await populate(database.db)
  server = await startTwo(database.url)
  nodes = [server.one.origin, server.two.origin]
  alice = new Browser(server.issuer)
  await alice.code(authUrl(world.web), world.alice)
})
afterAll(async () => {
  await server?.stop()
  await database?.drop()
})

test('of 20 parallel redemptions of one code exactly one gets tokens, and the replay ends them', async () => {
  const code = await alice.code(authUrl(world.web))

  const replies = await atOnce(20, nodes, (node) => untilAnswered(() => redeem(node, world.web, code)))

  expect(tally(replies)).toEqual({ 200: 1, 400: 19 })
  for (const { status, body } of replies) if (status === 400) expect(body.error).toBe('invalid_grant')
  const { body } = replies.find(({ status }) => status === 200)!
  for (const token of [body.access_token, body.refresh_token]) {
    expect(await isActive(nodes[1]!, world.web, String(token))).toBe(false)
  }
  expect(await reuseEvents()).toBe(1)
})

test('codes of one sign-in that are redeemed together at both nodes all get their own tokens', async () => {
  const codes: string[] = []
  for (let i = 0; i < 24; i++) codes.push(await alice.code(authUrl(world.web)))

  const replies = await Promise.all(
    codes.map((code, i) => untilAnswered(() => redeem(nodes[i % 2]!, world.web, code))),
  )
  const refreshed = await Promise.all(
    replies.map(({ body }, i) =>
      untilAnswered(() => refresh(nodes[(i >> 1) % 2]!, world.web, String(body.refresh_token))),
    ),
  )

  expect(tally(replies)).toEqual({ 200: 24 })
  expect(tally(refreshed)).toEqual({ 200: 24 })
  const tokens = [...replies, ...refreshed].map(({ body }) => String(body.access_token))
  expect(new Set(tokens).size).toBe(48)
  for (const token of tokens) expect(await isActive(nodes[0]!, world.web, token)).toBe(true)
})

test('of 20 parallel refreshes with one token exactly one gets tokens, and the replay ends them', async () => {
  const code = await alice.code(authUrl(world.web))
  const first = await redeem(nodes[0]!, world.web, code)
  const before = await reuseEvents()

  const replies = await atOnce(20, nodes, (node) =>
    untilAnswered(() => refresh(node, world.web, String(first.body.refresh_token))),
  )

  expect(tally(replies)).toEqual({ 200: 1, 400: 19 })
  for (const { status, body } of replies) if (status === 400) expect(body.error).toBe('invalid_grant')
  const { body } = replies.find(({ status }) => status === 200)!
  for (const token of [first.body.access_token, body.access_token, body.refresh_token]) {
    expect(await isActive(nodes[0]!, world.web, String(token))).toBe(false)
  }
  expect(await reuseEvents()).toBe(before + 1)
})

test('a public app is bound by the same: one of 20 refreshes', async () => {
  const code = await alice.code(authUrl(world.spa))
  const first = await redeem(nodes[0]!, world.spa, code)

  const replies = await atOnce(20, nodes, (node) =>
    untilAnswered(() => refresh(node, world.spa, String(first.body.refresh_token))),
  )

  expect(tally(replies)).toEqual({ 200: 1, 400: 19 })
})

test('of 20 parallel uses of a pushed request exactly one gets a code', async () => {
  await alice.code(authUrl(world.web))
  const pushed = await call(nodes[0]!, '/par', world.web, asking(world.web))
  expect(pushed.status).toBe(201)
  const url = `/auth?${new URLSearchParams({ client_id: world.web.id, request_uri: String(pushed.body.request_uri) })}`

  const replies = await atOnce(20, nodes, async (node) => {
    const browser = new Browser(server.issuer, node)
    browser.jar.take(new URL(server.issuer), cookiesOf(alice))
    return untilAnswered(() => browser.get(url))
  })

  const codes = replies.filter(({ next }) => next?.searchParams.has('code'))
  expect(codes).toHaveLength(1)
  for (const { status, next } of replies) {
    expect(status).toBeLessThan(500)
    if (next) expect(next.href.startsWith(world.web.redirect_uri)).toBe(true)
  }
})

test('of 20 parallel uses of one DPoP proof exactly one is taken, for a token and for a call', async () => {
  const { privateKey, publicKey } = await generateKeyPair('ES256')
  const jwk = await exportJWK(publicKey)
  const proof = (htm: string, htu: string, claims: Record<string, string> = {}) =>
    new SignJWT({ htm, htu, jti: crypto.randomUUID(), ...claims })
      .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk })
      .setIssuedAt()
      .sign(privateKey)
  const form = { grant_type: 'client_credentials', scope: 'photos.read', resource: API }

  const dpop = await proof('POST', `${server.issuer}/token`)
  const replies = await atOnce(20, nodes, (node) => call(node, '/token', world.service, form, { dpop }))

  expect(tally(replies)).toEqual({ 200: 1, 400: 19 })
  for (const { status, body } of replies) {
    if (status === 400) expect(body.error).toMatch(/^invalid_(grant|request|dpop_proof)$/)
  }
  const issued = replies.find(({ status }) => status === 200)!
  expect(issued.body.token_type).toBe('DPoP')
  const seen = await call(nodes[0]!, '/introspect', world.api, { token: String(issued.body.access_token) })
  expect(seen.body.cnf).toEqual({ jkt: await calculateJwkThumbprint(jwk) })

  const code = await alice.code(authUrl(world.web, { scope: 'openid email' }))
  const bound = await redeem(nodes[0]!, world.web, code, {
    dpop: await proof('POST', `${server.issuer}/token`),
  })
  const access = String(bound.body.access_token)
  const ath = Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(access))).toString('base64url')
  const once = await proof('GET', `${server.issuer}/userinfo`, { ath })
  const calls = await atOnce(20, nodes, (node) =>
    send('GET', node, '/userinfo', { headers: { authorization: `DPoP ${access}`, dpop: once } }),
  )

  expect(calls.filter(({ status }) => status === 200)).toHaveLength(1)
  for (const { status } of calls) expect([200, 400, 401]).toContain(status)
})

test('of 20 parallel uses of the set-up link exactly one makes an administrator', async () => {
  const link = `/setup/${await createSetupLink(database.db)}`
  const page = await new Browser(server.issuer).get(link)
  const csrf = /name="csrf" value="([^"]+)"/.exec(page.text)![1]!

  const replies = await atOnce(20, nodes, (node, i) =>
    untilAnswered(() =>
      send('POST', node, link, {
        form: { csrf, name: 'Root', email: `root${i}@example.com`, password: 'a long enough password' },
        headers: { accept: 'text/html' },
      }),
    ),
  )

  expect(tally(replies)).toEqual({ 303: 1, 404: 19 })
  const { admins } = await one<{ admins: number }>(
    database.db,
    sql`select count(*)::int as admins from users where role = 'admin'`,
  )
  expect(admins).toBe(1)
})

test('a set-up link is worth nothing once somebody administers the server', async () => {
  const link = `/setup/${await createSetupLink(database.db)}`

  for (const node of nodes) {
    expect((await new Browser(server.issuer, node).get(link)).status).toBe(404)
    expect((await send('POST', node, link, { form: { csrf: 'x' } })).status).toBe(404)
  }
})

async function reuseEvents(): Promise<number> {
  const { count } = await one<{ count: number }>(
    database.db,
    sql`select count(*)::int as count from audit_events where type = 'token.reuse_detected'`,
  )
  return count
}

function cookiesOf(browser: Browser): string[] {
  return (browser.jar.header(new URL(server.issuer)) ?? '').split('; ').map((pair) => `${pair}; path=/`)
}
