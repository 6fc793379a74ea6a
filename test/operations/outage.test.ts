// Postgres goes away: killed, cut off, or silent. Everybody is told to come back in a moment, in the form they understand,
// nothing is promised that was not written, and when it is back, so are we, without anybody's help.
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { resumeClient, suspendClient } from '../../src/core/clients/lifecycle.ts'
import { openPool, type Pool } from '../../src/db/pool.ts'
import {
  asking,
  authUrl,
  Browser,
  call,
  isActive,
  populate,
  type Reply,
  redeem,
  refresh,
  send,
  type TokenReply,
  untilAnswered,
  type World,
} from '../support/attack.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { type DatabaseLink, openDatabaseLink } from '../support/database-link.ts'
import { until } from '../support/patience.ts'
import { startApp, type TestApp } from '../support/server.ts'

// Below what a client waits: what never comes is told apart from what comes late.
const FEW_SECONDS = 60_000
// As short as a test may be, as long as a machine may stand still for.
const ANSWER_SECONDS = 3

let database: TestDatabase
let link: DatabaseLink
let db: Pool
let app: TestApp
let world: World
let alice: Browser
let deciding: Browser
let consentPath: string
let signInPath: string
let token: string
let refreshToken: string
let code: string
beforeAll(async () => {
  database = await createTestDatabase()
  world = await populate(database.db)
  link = await openDatabaseLink(database.url)
  db = openPool(link.url, 10, ANSWER_SECONDS)
  app = await startApp({ db })
  alice = new Browser(app.origin)
  const first = await redeem(app.origin, world.web, await alice.code(authUrl(world.web), world.alice))
  token = String(first.body.access_token)
  refreshToken = String(first.body.refresh_token)
  code = await alice.code(authUrl(world.web))
  deciding = new Browser(app.origin)
  const page = await deciding.open(authUrl(world.spa))
  signInPath = page.url.pathname
  const { email, password } = world.bob
  consentPath = (await deciding.follow(await deciding.submit(page, 'Sign in', { email, password }))).url
    .pathname
})
afterAll(async () => {
  link?.open()
  await app?.stop()
  await db?.close()
  link?.close()
  await database?.drop()
})
afterEach(async () => {
  link.open()
  await until(async () => (await send('GET', app.origin, '/readyz')).status === 200)
})

describe.each([
  ['that is cut off', () => link.cut()],
  ['that says nothing', () => link.silence()],
])('with a database %s', (_name, goAway) => {
  test('every endpoint answers 503 with Retry-After as OAuth JSON, soon', async () => {
    await goAway()
    const credentials = { grant_type: 'client_credentials', scope: 'photos.read' }

    const replies = await soon<TokenReply | Reply>([
      redeem(app.origin, world.web, code),
      refresh(app.origin, world.web, refreshToken),
      call(app.origin, '/token', world.service, credentials),
      call(app.origin, '/introspect', world.api, { token }),
      call(app.origin, '/revoke', world.web, { token }),
      call(app.origin, '/par', world.web, asking(world.web)),
      send('GET', app.origin, '/userinfo', { headers: { authorization: `Bearer ${token}` } }),
    ])

    for (const [i, reply] of replies.entries()) {
      const body = 'body' in reply ? reply.body : JSON.parse(reply.text)
      expect([i, reply.status, body.error]).toEqual([i, 503, 'temporarily_unavailable'])
      expect(Number(reply.headers.get('retry-after'))).toBeGreaterThan(0)
      expect(reply.headers.get('content-type')).toContain('application/json')
    }
  })

  test('it is alive and not ready, and what needs no database goes on', async () => {
    await goAway()
    // What it has found out less than a second ago is not asked again.
    await soon([until(async () => (await send('GET', app.origin, '/readyz')).status === 503)])

    const [alive, ready, keys, discovery] = await soon(
      ['/healthz', '/readyz', '/jwks', '/.well-known/openid-configuration'].map((path) =>
        send('GET', app.origin, path),
      ),
    )

    expect(alive!.status).toBe(200)
    expect(ready!.status).toBe(503)
    expect(ready!.headers.get('retry-after')).not.toBeNull()
    expect([keys!.status, discovery!.status]).toEqual([200, 200])
  })

  test('it comes back by itself: nothing was lost, and a client suspended afterwards is out at once', async () => {
    await goAway()
    await until(async () => (await send('GET', app.origin, '/readyz')).status === 503)
    await send('GET', app.origin, authUrl(world.web))
    link.open()
    await until(async () => (await send('GET', app.origin, '/readyz')).status === 200)

    expect(await isActive(app.origin, world.web, token)).toBe(true)
    const refreshed = await untilAnswered(() => refresh(app.origin, world.web, refreshToken))
    expect(refreshed.status).toBe(200)
    token = String(refreshed.body.access_token)
    refreshToken = String(refreshed.body.refresh_token)
    expect((await alice.get('/account')).status).toBe(200)
    expect((await deciding.get(consentPath)).text).toContain('Allow')

    // The client is in memory again; only an announcement takes it out.
    await until(() => link.listening())
    const machine = { grant_type: 'client_credentials', scope: 'photos.read' }
    expect((await call(app.origin, '/token', world.service, machine)).status).toBe(200)
    await suspendClient(database.db, world.service.id, { type: 'cli' })
    expect((await call(app.origin, '/token', world.service, machine)).status).toBe(401)
    await resumeClient(database.db, world.service.id, { type: 'cli' })
  })
})

test('every page says so, soon: as a page to people, as problem+json to programs', async () => {
  const csrf = { csrf: 'whatever' }
  link.cut()

  const replies = await soon([
    new Browser(app.origin).get(authUrl(world.web)),
    alice.get('/account'),
    alice.get('/account/apps'),
    alice.get('/account/activity'),
    alice.get('/session/end'),
    alice.request('POST', '/account/name', { form: csrf }),
    alice.request('POST', '/account/password', { form: csrf }),
    alice.request('POST', `/account/apps/${world.web.id}/remove`, { form: csrf }),
    deciding.get(consentPath),
    deciding.request('POST', `${consentPath}/consent`, { form: csrf }),
    deciding.request('POST', `${signInPath}/login`, { form: csrf }),
    alice.get(`/setup/${'x'.repeat(43)}`),
    alice.request('POST', `/setup/${'x'.repeat(43)}`, { form: csrf }),
    alice.get(`/reset/${'x'.repeat(43)}`),
    alice.request('POST', `/reset/${'x'.repeat(43)}`, { form: csrf }),
  ])
  const problems = await soon([
    send('GET', app.origin, '/setup/x', { headers: { accept: 'application/json' } }),
    send('GET', app.origin, authUrl(world.web), { headers: { accept: 'application/json' } }),
    alice.request('GET', '/account', { headers: { accept: 'application/json' } }),
  ])

  for (const { status, headers, text, url } of replies) {
    expect([url.pathname, status]).toEqual([url.pathname, 503])
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(0)
    expect(headers.get('content-type')).toContain('text/html')
    expect(text).toContain('We will be back in a moment')
    expect(text).not.toMatch(/ECONN|postgres|at \w+ \(/i)
  }
  for (const { status, headers, text } of problems) {
    expect([status, JSON.parse(text).status]).toEqual([503, 503])
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(0)
    expect(headers.get('content-type')).toMatch(/json/)
  }
})

test('while it is away it is knocked at now and then, not again and again', async () => {
  link.cut()
  const [before, started] = [link.attempts(), performance.now()]
  await new Promise((resolve) => setTimeout(resolve, 3_000))

  // Again and again would be thousands of times a second.
  const seconds = (performance.now() - started) / 1000
  expect(link.attempts() - before).toBeLessThan(10 * seconds)
})

/** The answers, all of which come within a few seconds. */
async function soon<T>(requests: Promise<T>[]): Promise<T[]> {
  const started = performance.now()
  const replies = await Promise.all(requests)
  expect(performance.now() - started).toBeLessThan(FEW_SECONDS)
  return replies
}
