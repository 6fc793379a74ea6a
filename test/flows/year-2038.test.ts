// Moments that 32 bits of seconds do not hold: with lifetimes of ten years they are reached from 2028 on.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { run, sql } from '../../src/db/pool.ts'
import { type App, type Person, type ServerFixture, startServerFixture } from '../support/flow.ts'

const TEN_YEARS = '315360000'
const MOMENT = '2040-01-01T00:00:00Z'
const SECONDS = Date.parse(MOMENT) / 1000

let server: ServerFixture
let app: App
let jamie: Person
beforeAll(async () => {
  server = await startServerFixture({
    REFRESH_TOKEN_TTL_SECONDS: TEN_YEARS,
    REFRESH_TOKEN_MAX_TTL_SECONDS: TEN_YEARS,
    SESSION_TTL_SECONDS: TEN_YEARS,
  })
  app = await server.app()
  jamie = await server.person('Jamie')
})
afterAll(() => server.stop())

test('a token, a grant, a consent and a session may end after January 2038', async () => {
  const first = await app.connect(jamie)
  for (const change of [
    sql`update tokens set expires_at = ${MOMENT}`,
    sql`update grants set ends_at = ${MOMENT}, expires_at = ${MOMENT}`,
    sql`update consents set expires_at = ${MOMENT}`,
    sql`update sessions set expires_at = ${MOMENT}`,
  ]) {
    expect(await run(server.db, change)).toBeGreaterThan(0)
  }

  expect(await app.introspect(first.access_token)).toMatchObject({ active: true, exp: SECONDS })
  expect(await app.introspect(first.refresh_token!)).toMatchObject({ active: true, exp: SECONDS })
  const second = await app.refresh(first.refresh_token)
  expect(second.status).toBe(200)
  expect((await app.introspect(second.body.access_token)).active).toBe(true)
  expect((await jamie.account('/account/apps')).text).toContain('2040')
  expect((await app.connect(jamie)).access_token).toBeDefined()
})

test('a token may have been issued, and a grant made, after January 2038', async () => {
  const tokens = await app.connect(jamie)
  await run(server.db, sql`update tokens set issued_at = ${MOMENT}, expires_at = '2041-01-01T00:00:00Z'`)
  await run(server.db, sql`update grants set created_at = ${MOMENT}, ends_at = null`)

  const seen = await app.introspect(tokens.access_token)

  expect(seen).toMatchObject({ active: true, iat: SECONDS })
})
