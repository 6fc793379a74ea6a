// What cannot be done is said in the form that the one who asked understands, with a number for whoever helps, and without
// a word about what runs inside.
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import { run, sql } from '../../src/db/pool.ts'
import { authUrl, Browser, call, populate, send, type World } from '../support/attack.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { startApp, type TestApp } from '../support/server.ts'

let database: TestDatabase
let app: TestApp
let world: World
let alice: Browser
let broken = false
beforeAll(async () => {
  database = await createTestDatabase()
  world = await populate(database.db)
  app = await startApp({ db: database.db })
  alice = new Browser(app.origin)
  await alice.signIn(world.alice)
})
afterEach(async () => {
  if (broken) await run(database.db, sql`alter table users_away rename to users`)
  broken = false
})
afterAll(async () => {
  await app?.stop()
  await database?.drop()
})

/** A mistake of ours, as far as anybody outside can tell: a table is not what the code thinks. */
async function breakSomething(): Promise<void> {
  await run(database.db, sql`alter table users rename to users_away`)
  broken = true
}

test.each([
  [404, 'GET', '/nothing', {}],
  [405, 'PUT', '/account', {}],
  [400, 'GET', '/account?a=%', {}],
  [415, 'POST', '/account/name', { headers: { 'content-type': 'text/plain' }, body: 'x' }],
  [413, 'POST', '/account/name', { form: { name: 'x'.repeat(60_000) } }],
] as const)('%i is a page for people and problem+json for programs', async (status, method, path, sent) => {
  const ask = (accept: string) => {
    return alice.request(method, path, {
      ...sent,
      headers: { accept, ...('headers' in sent && sent.headers) },
    })
  }

  const page = await ask('text/html')
  const problem = await ask('application/json')

  expect([page.status, problem.status]).toEqual([status, status])
  expect(page.headers.get('content-type')).toContain('text/html')
  expect(page.text).toContain('<h1')
  expect(page.text).toContain(page.headers.get('x-request-id'))
  expect(problem.headers.get('content-type')).toContain('application/problem+json')
  const body = JSON.parse(problem.text)
  expect(body).toMatchObject({
    type: 'about:blank',
    status,
    title: expect.any(String),
    code: expect.any(String),
  })
  expect(body.request_id).toBe(problem.headers.get('x-request-id'))
  for (const { headers } of [page, problem]) expect(headers.get('cache-control')).toContain('no-store')
})

test('a mistake of ours is a plain page with a number, and tells nothing else', async () => {
  await breakSomething()

  for (const { status, text, headers } of [
    await alice.get('/account'),
    await alice.request('GET', '/account', { headers: { accept: 'application/json' } }),
    await alice.get(authUrl(world.web)),
  ]) {
    expect(status).toBe(500)
    expect(text).toMatch(/It is not your doing|server_error/)
    expect(text).not.toMatch(/relation|users|postgres|select |node_modules|\n\s+at /i)
    expect(headers.get('x-request-id')).toMatch(/^[\da-f-]{36}$/)
  }
})

test('an endpoint that fails says server_error, and hands out nothing', async () => {
  await breakSomething()

  const { status, body } = await call(app.origin, '/token', world.web, {
    grant_type: 'refresh_token',
    refresh_token: 'vk_rt_',
  })

  expect([400, 500]).toContain(status)
  expect(Object.keys(body)).not.toContain('access_token')
})

test('a number that a request brings along is not taken over', async () => {
  const mine = 'x'.repeat(36)

  const { headers } = await send('GET', app.origin, '/nothing', { headers: { 'x-request-id': mine } })

  expect(headers.get('x-request-id')).not.toBe(mine)
})
