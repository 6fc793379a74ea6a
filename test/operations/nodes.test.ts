// Two processes over one database, and nobody who sends a person or an app to the same one twice: it makes no difference.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { createLocalJWKSet, createRemoteJWKSet, type JSONWebKeySet, jwtVerify } from 'jose'
import { digest } from '../../src/base/credentials.ts'
import { secretsFrom } from '../../src/base/secrets.ts'
import { createClient } from '../../src/core/clients/create.ts'
import { deleteClient, resumeClient, suspendClient } from '../../src/core/clients/lifecycle.ts'
import { rotateSecret } from '../../src/core/clients/secrets.ts'
import { listKeys, rotateKeys } from '../../src/core/keys/store.ts'
import { createResource } from '../../src/core/resources/store.ts'
import { one as row, run, sql } from '../../src/db/pool.ts'
import {
  type App,
  authUrl,
  Browser,
  call,
  isActive,
  populate,
  REDIRECT_URI,
  redeem,
  refresh,
  send,
  startTwo,
  untilAnswered,
  type World,
} from '../support/attack.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { inOneOfFive, PATIENCE_MS, until } from '../support/patience.ts'
import { SECRET_KEYS, startServer } from '../support/server.ts'

const BY = { type: 'cli' } as const

let database: TestDatabase
let world: World
let server: Awaited<ReturnType<typeof startTwo>>
let one: string
let two: string
beforeAll(async () => {
  database = await createTestDatabase()
  world = await populate(database.db)
  server = await startTwo(database.url)
  one = server.one.origin
  two = server.two.origin
})
afterAll(async () => {
  await server?.stop()
  await database?.drop()
})

/** A browser that a careless load balancer sends to the other process with each request. */
class Restless extends Browser {
  override request(...args: Parameters<Browser['request']>) {
    this.node = this.node === one ? two : one
    return super.request(...args)
  }
}

test('signing in, allowing, tokens and the account, each step at the other process', async () => {
  const alice = new Restless(server.issuer)

  const code = await alice.code(authUrl(world.web, { scope: 'openid email' }), world.alice)
  const first = await redeem(one, world.web, code)
  const second = await refresh(two, world.web, String(first.body.refresh_token))
  const token = String(second.body.access_token)

  for (const node of [one, two]) {
    expect(await isActive(node, world.web, token)).toBe(true)
    const info = await send('GET', node, '/userinfo', { headers: { authorization: `Bearer ${token}` } })
    expect(JSON.parse(info.text).email).toBe(world.alice.email)
    expect((await alice.open('/account')).text).toContain(world.alice.email)
  }
  const removal = await alice.open(`/account/apps/${world.web.id}/remove`)
  expect((await alice.submit(removal, 'Remove')).status).toBe(303)
  for (const node of [one, two]) expect(await isActive(node, world.web, token)).toBe(false)
  const goodbye = await alice.open('/session/end')
  await alice.follow(await alice.submit(goodbye, 'Sign out'))
  for (const _ of [one, two]) expect((await alice.open('/account')).text).toContain('name="password"')
})

describe('what was used at one comes again at the other', () => {
  const used = async () => {
    const { body } = await redeem(one, world.web, await alice.code(authUrl(world.web)))
    const next = await refresh(one, world.web, String(body.refresh_token))
    return { old: String(body.refresh_token), access: String(next.body.access_token) }
  }
  let alice: Browser
  beforeAll(async () => {
    alice = new Browser(server.issuer)
    await alice.code(authUrl(world.web), world.alice)
  })

  test('it was answered: a replay, which ends the grant', async () => {
    const { old, access } = await used()

    expect(await untilAnswered(() => refresh(two, world.web, old))).toMatchObject({
      status: 400,
      body: { error: 'invalid_grant' },
    })
    expect(await isActive(one, world.web, access)).toBe(false)
  })

  test('nobody says that it was answered: 503 for a minute, and nothing ends; then a replay', async () => {
    const { old, access } = await used()
    // As by a node that has lost its way to the database, or has died.
    const hash = digest(old)
    await run(database.db, sql`update tokens set exchange_id = gen_random_uuid() where hash = ${hash}`)

    for (const node of [one, two]) {
      expect(await refresh(node, world.web, old)).toMatchObject({
        status: 503,
        body: { error: 'temporarily_unavailable' },
      })
    }
    expect(await isActive(one, world.web, access)).toBe(true)
    await run(database.db, sql`update tokens set consumed_at = now() - interval '61 s' where hash = ${hash}`)
    expect((await refresh(two, world.web, old)).status).toBe(400)
    expect(await isActive(one, world.web, access)).toBe(false)
  })
})

test('a device that asks too often is told so by either; a poll that nobody has answered does not count', () =>
  inOneOfFive(async () => {
    const { client, secret } = await createClient(
      database.db,
      { name: 'Frame', type: 'device', scopes: ['photos.read'] },
      BY,
    )
    const frame: App = { id: client.id, secret: secret ?? '', redirect_uri: '' }
    const { body } = await call(one, '/device_authorization', frame, { scope: 'photos.read' })
    const device_code = String(body.device_code)
    const form = { grant_type: 'urn:ietf:params:oauth:grant-type:device_code', device_code }
    const ask = async (node: string) =>
      (await untilAnswered(() => call(node, '/token', frame, form))).body.error
    expect(await ask(one)).toBe('authorization_pending')

    expect([await ask(one), await ask(two)]).toEqual(['slow_down', 'slow_down'])
    // As by a node that has lost its way to the database.
    await run(
      database.db,
      sql`update tokens set polled_by = gen_random_uuid() where hash = ${digest(device_code)}`,
    )
    expect(await ask(two)).toBe('authorization_pending')
    expect(await ask(one)).toBe('slow_down')
  }))

describe('what changes in the database is seen at both at once', () => {
  const machine = { grant_type: 'client_credentials' }
  const statuses = (app: App) =>
    Promise.all([one, two].map(async (node) => (await call(node, '/token', app, machine)).status))
  /** Nobody may have to wait longer than for the announcement, which is on its way when the change is committed. */
  const soon = (work: () => Promise<unknown>, expected: unknown) =>
    until(async () => JSON.stringify(await work()) === JSON.stringify(expected))

  test('a client that is made, suspended, resumed, deleted', async () => {
    const made = await createClient(
      database.db,
      { name: 'New', type: 'service', scopes: ['photos.read'] },
      BY,
    )
    const app: App = { id: made.client.id, secret: made.secret!, redirect_uri: '' }
    expect(await statuses(app)).toEqual([200, 200])

    await suspendClient(database.db, app.id, BY)
    expect(await statuses(app)).toEqual([401, 401])
    await resumeClient(database.db, app.id, BY)
    expect(await statuses(app)).toEqual([200, 200])
    await deleteClient(database.db, app.id, BY)
    expect(await statuses(app)).toEqual([401, 401])
  })

  test('a secret that is replaced', async () => {
    const made = await createClient(
      database.db,
      { name: 'Other', type: 'service', scopes: ['photos.read'] },
      BY,
    )
    const old: App = { id: made.client.id, secret: made.secret!, redirect_uri: '' }
    expect(await statuses(old)).toEqual([200, 200])

    const renewed = { ...old, secret: (await rotateSecret(database.db, old.id, BY))! }

    expect(await statuses(renewed)).toEqual([200, 200])
    expect(await statuses(old)).toEqual([401, 401])
  })

  test('an API with its scopes', async () => {
    const scopes = [{ name: 'notes.write', sentence: 'Write notes' }]
    await createResource(database.db, { identifier: 'https://notes.example', name: 'Notes', scopes }, BY)

    await soon(
      () =>
        Promise.all(
          [one, two].map(async (node) => {
            const { text } = await send('GET', node, '/.well-known/openid-configuration')
            return JSON.parse(text).scopes_supported.includes('notes.write')
          }),
        ),
      [true, true],
    )
    const made = await createClient(
      database.db,
      { name: 'Notebook', type: 'spa', redirect_uris: [REDIRECT_URI], scopes: ['openid', 'notes.write'] },
      BY,
    )
    const app: App = { id: made.client.id, secret: '', redirect_uri: REDIRECT_URI }
    const bob = new Restless(server.issuer)
    const code = await bob.code(authUrl(app, { scope: 'openid notes.write' }), world.bob)
    expect((await redeem(two, app, code)).body.scope).toContain('notes.write')
  })
})

test('keys are replaced while people sign in, and no ID token fails to verify, by a fresh or a remembered key set', async () => {
  const bob = new Browser(server.issuer)
  await bob.code(authUrl(world.spa), world.bob)
  const remembered = createLocalJWKSet((await keySet(one)) as JSONWebKeySet)
  const secrets = secretsFrom([SECRET_KEYS])
  const signed = new Set<unknown>()
  let rotated = false
  let verified = 0
  const signIn = async (node: string): Promise<void> => {
    const browser = new Browser(server.issuer, node)
    browser.jar.take(new URL(server.issuer), cookiesOf(bob))
    const { body } = await redeem(node, world.spa, await browser.code(authUrl(world.spa)))
    for (const keys of [
      remembered,
      createRemoteJWKSet(new URL(`${node === one ? two : one}/jwks`), { timeoutDuration: PATIENCE_MS }),
    ]) {
      const { protectedHeader } = await jwtVerify(String(body.id_token), keys, { issuer: server.issuer })
      signed.add(protectedHeader.kid)
    }
    verified++
  }

  const load = [one, two].map(async (node) => {
    for (let i = 0; i < 6 || !rotated; i++) await signIn(node)
  })
  const before = await listKeys(database.db)
  await rotateKeys(database.db, secrets, BY)
  rotated = true
  await Promise.all(load)
  // By now both have heard of it.
  const current = (await listKeys(database.db))
    .filter(({ state }) => state === 'current')
    .map(({ kid }) => kid)
  await until(async () => {
    signed.clear()
    for (const node of [one, two]) await signIn(node)
    return [...signed].every((kid) => current.includes(kid as string))
  })

  expect(verified).toBeGreaterThan(12)
  expect(
    before
      .filter(({ state }) => state === 'next')
      .map(({ kid }) => kid)
      .sort(),
  ).toEqual(current.sort())
  for (const node of [one, two]) expect(await keySet(node)).toEqual(await keySet(one))
})

test('many rotations one after another leave both with the last keys', async () => {
  const secrets = secretsFrom([SECRET_KEYS])
  for (let i = 0; i < 4; i++) await rotateKeys(database.db, secrets, BY)
  const published = (await listKeys(database.db)).map(({ kid }) => kid).sort()

  await until(async () => {
    const sets = await Promise.all([one, two].map(keySet))
    return sets.every(
      ({ keys }) => JSON.stringify(keys.map(({ kid }) => kid).sort()) === JSON.stringify(published),
    )
  })
})

test('two workers behind one port, stopped under load: whatever was done was answered', async () => {
  const workers = await startServer({ databaseUrl: database.url, env: { WORKERS: '2', LOG_LEVEL: 'error' } })
  const made = await createClient(database.db, { name: 'Busy', type: 'service', scopes: ['photos.read'] }, BY)
  const app: App = { id: made.client.id, secret: made.secret!, redirect_uri: '' }
  let stopping = false
  let refused = 0
  const answers: number[] = []
  const load = Array.from({ length: 4 }, async () => {
    for (;;) {
      try {
        const { status } = await call(workers.origin, '/token', app, { grant_type: 'client_credentials' })
        answers.push(status)
      } catch (error) {
        // Nobody listens any more, or nobody took the connection from the kernel's queue.
        expect(stopping).toBe(true)
        expect(['ECONNREFUSED', 'ECONNRESET']).toContain((error as { code?: string }).code)
        refused++
        return
      }
    }
  })
  await until(() => answers.length > 40)
  stopping = true
  const code = await workers.stop()
  await Promise.all(load)

  expect(code).toBe(0)
  expect(refused).toBe(4)
  expect(new Set(answers)).toEqual(new Set([200]))
  const { issued } = await row<{ issued: number }>(
    database.db,
    sql`select count(*)::int as issued from tokens where client_id = ${app.id}`,
  )
  expect(answers).toHaveLength(issued)
})

async function keySet(node: string): Promise<{ keys: { kid: string }[] }> {
  return JSON.parse((await send('GET', node, '/jwks')).text)
}

function cookiesOf(browser: Browser): string[] {
  return (browser.jar.header(new URL(server.issuer)) ?? '').split('; ').map((pair) => `${pair}; path=/`)
}
