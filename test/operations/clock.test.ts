// A machine whose clock is wrong: what it issues and what it judges is right by the database's clock, and somebody is told.
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { decodeJwt, exportJWK, generateKeyPair, SignJWT } from 'jose'
import { createClient } from '../../src/core/clients/create.ts'
import { createResource } from '../../src/core/resources/store.ts'
import {
  type App,
  asking,
  authUrl,
  Browser,
  call,
  isActive,
  populate,
  REDIRECT_URI,
  redeem,
  refresh,
  send,
  type World,
} from '../support/attack.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { until, untilPasses } from '../support/patience.ts'
import { freePort, startServer, type TestServer } from '../support/server.ts'

const OFF_SECONDS = 300
const BY = { type: 'cli' } as const

let database: TestDatabase
let world: World
let notes: App
beforeAll(async () => {
  database = await createTestDatabase()
  world = await populate(database.db)
  const scopes = [{ name: 'notes.read', sentence: 'Read your notes' }]
  await createResource(
    database.db,
    { identifier: 'https://notes.example', name: 'Notes', scopes, token_format: 'jwt' },
    BY,
  )
  const made = await createClient(
    database.db,
    { name: 'Notebook', type: 'spa', redirect_uris: [REDIRECT_URI], scopes: ['openid', 'notes.read'] },
    BY,
  )
  notes = { id: made.client.id, secret: '', redirect_uri: REDIRECT_URI }
})
afterAll(() => database?.drop())

/** The tests and the database are on one machine: its clock is the right one. */
const now = () => Date.now() / 1000
const isNow = (seconds: unknown) => expect(Math.abs(Number(seconds) - now())).toBeLessThan(OFF_SECONDS / 3)

describe.each([
  ['ahead', OFF_SECONDS],
  ['behind', -OFF_SECONDS],
])('a node that is five minutes %s, beside one whose clock is right', (_name, offSeconds) => {
  let wrong: TestServer
  let right: TestServer
  beforeAll(async () => {
    const port = await freePort()
    const other = await freePort()
    const preload = pathToFileURL(join(import.meta.dirname, '../support/wrong-clock.ts')).href
    const shared = { ISSUER_URL: `http://localhost:${port}`, LOG_LEVEL: 'warn' }
    ;[wrong, right] = await Promise.all([
      startServer({
        databaseUrl: database.url,
        port,
        env: {
          ...shared,
          PORT: String(port),
          NODE_OPTIONS: `--import ${preload}`,
          CLOCK_OFF_SECONDS: String(offSeconds),
        },
      }),
      startServer({ databaseUrl: database.url, port: other, env: { ...shared, PORT: String(other) } }),
    ])
  })
  afterAll(async () => {
    await Promise.all([wrong?.stop(), right?.stop()])
  })

  test('signs people in, issues codes and tokens that live as long as they should, and judges them rightly', async () => {
    const browser = new Browser(wrong.origin)
    const code = await browser.code(authUrl(world.web), world.alice)

    const first = await redeem(wrong.origin, world.web, code)
    expect(first.status).toBe(200)
    const second = await refresh(wrong.origin, world.web, String(first.body.refresh_token))
    expect(second.status).toBe(200)
    const { id_token, access_token, expires_in } = second.body as Record<string, string>
    const { iat, exp, auth_time } = decodeJwt(id_token!)
    isNow(iat)
    expect(exp! - iat!).toBe(Number(expires_in))
    if (auth_time !== undefined) isNow(auth_time)
    for (const { origin } of [wrong, right]) {
      const { body } = await call(origin, '/introspect', world.web, { token: access_token! })
      expect(body.active).toBe(true)
      isNow(body.iat)
      isNow(Number(body.exp) - Number(expires_in))
    }
    expect((await browser.open('/account')).text).toContain(world.alice.email)
  })

  test('takes what the other node issued, and the other way round', async () => {
    const browser = new Browser(wrong.origin)
    const code = await browser.code(authUrl(world.web), world.alice)
    const first = await redeem(right.origin, world.web, code)
    expect(first.status).toBe(200)
    browser.node = right.origin
    expect((await browser.open('/account')).text).toContain(world.alice.email)

    const back = await browser.code(authUrl(world.web))
    expect((await redeem(wrong.origin, world.web, back)).status).toBe(200)
    expect((await refresh(wrong.origin, world.web, String(first.body.refresh_token))).status).toBe(200)
  })

  test('a person who signed in at the other node is asked again after max_age, and not before', async () => {
    const browser = new Browser(wrong.origin, right.origin)
    await browser.code(authUrl(world.web), world.alice)
    browser.node = wrong.origin

    await browser.code(authUrl(world.web, { max_age: String(OFF_SECONDS / 2) }))
    await sleep(2_100)
    const asked = await browser.open(authUrl(world.web, { max_age: '1' }))
    expect(asked.text).toContain('name="password"')
  })

  test('takes pushed requests and JWT access tokens', async () => {
    const pushed = await call(wrong.origin, '/par', world.web, asking(world.web))
    expect(pushed.status).toBe(201)
    const browser = new Browser(wrong.origin)
    const query = new URLSearchParams({
      client_id: world.web.id,
      request_uri: String(pushed.body.request_uri),
    })
    await browser.code(`/auth?${query}`, world.alice)

    const code = await browser.code(authUrl(notes, { scope: 'openid notes.read' }))
    const { body } = await redeem(wrong.origin, notes, code)
    isNow(decodeJwt(String(body.access_token)).iat)
    expect(await isActive(right.origin, notes, String(body.access_token))).toBe(true)
    expect(await isActive(wrong.origin, notes, String(body.access_token))).toBe(true)
  })

  test('takes a proof of an app whose clock is right, and no other', async () => {
    const keys = await generateKeyPair('ES256', { extractable: true })
    const jwk = await exportJWK(keys.publicKey)
    const proof = (iat: number) =>
      new SignJWT({ htm: 'POST', htu: `${wrong.origin}/token`, jti: crypto.randomUUID(), iat })
        .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk })
        .sign(keys.privateKey)
    const ask = async (iat: number) => {
      const dpop = await proof(Math.floor(iat))
      const machine = { grant_type: 'client_credentials', scope: 'photos.read' }
      return (await call(wrong.origin, '/token', world.service, machine, { dpop })).status
    }

    expect(await ask(now())).toBe(200)
    // One from the time of this machine is no longer, or not yet, good.
    expect(await ask(now() + 2 * offSeconds)).toBe(400)
  })

  test('says so in its log and at /readyz, and works on', async () => {
    // It is measured every second, and once may be wrong by what the question took on a machine that stood still.
    await untilPasses(async () => {
      const reply = await send('GET', wrong.origin, '/readyz')
      expect(reply.status).toBe(200)
      const { clock, clock_ahead_seconds } = JSON.parse(reply.text)
      expect(clock).toBe('apart')
      expect(Math.abs(clock_ahead_seconds - offSeconds)).toBeLessThanOrEqual(1)
      const other = JSON.parse((await send('GET', right.origin, '/readyz')).text)
      expect([other.clock, other.clock_ahead_seconds]).toEqual(['ok', 0])
    })
    await until(() => wrong.output().includes('the clock of this machine is wrong'))
  })
})
