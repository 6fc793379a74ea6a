// What strangers only look at leaves nothing in the database, and the cookies that hold it instead are good for nothing else.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { many, sql } from '../../src/db/pool.ts'
import { authUrl, Browser, populate, send, type World } from '../support/attack.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { startApp, type TestApp } from '../support/server.ts'

let database: TestDatabase
let world: World
let app: TestApp
beforeAll(async () => {
  database = await createTestDatabase()
  world = await populate(database.db)
  app = await startApp({ db: database.db })
})
afterAll(async () => {
  await app?.stop()
  await database?.drop()
})

test('looking at the sign-in page, at /device and at the sign-out page stores no row', async () => {
  const before = await rows()

  for (const path of [
    authUrl(world.web),
    authUrl(world.web, { prompt: 'consent' }),
    '/device',
    '/session/end',
  ])
    for (let i = 0; i < 5; i++) await new Browser(app.origin).open(path)

  expect(await rows()).toEqual(before)
})

test('a request that is too long for a cookie is refused, and stores nothing', async () => {
  const before = await rows()
  const state = Array.from({ length: 600 }, () => crypto.randomUUID())
    .join('')
    .slice(0, 7_000)

  const { status, headers } = await send('GET', app.origin, authUrl(world.web, { state }))

  const location = new URL(headers.get('location')!)
  expect([status, location.searchParams.get('error')]).toEqual([303, 'invalid_request'])
  expect(location.searchParams.get('error_description')).toContain('too long')
  expect(await rows()).toEqual(before)
})

test('a request of 3,000 characters of random text gets through', async () => {
  const state = Array.from({ length: 200 }, () => crypto.randomUUID())
    .join('')
    .slice(0, 3_000)
  const alice = new Browser(app.origin)

  const page = await alice.open(authUrl(world.web, { state }))

  expect(page.text).toContain('name="password"')
})

async function rows(): Promise<unknown[]> {
  return many(
    database.db,
    sql`select (select count(*) from provider_state) as states, (select count(*) from sessions) as sessions,
               (select count(*) from tokens) as tokens, (select count(*) from audit_events) as events`,
  )
}
