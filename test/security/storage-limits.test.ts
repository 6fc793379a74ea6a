// What strangers can make the database keep in the name of public clients: bounded by the block they come from and by client, at two
// nodes over one database; and clients that show who they are notice nothing.
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { formsOf } from '../../demo/form.ts'
import { createClient } from '../../src/core/clients/create.ts'
import { many, one as row, run, sql } from '../../src/db/pool.ts'
import { blockLimits } from '../../src/http/block-limits.ts'
import { signInAttempts } from '../../src/protocol/interaction/attempts.ts'
import { MOST_WAITING } from '../../src/protocol/rules/unverified-clients.ts'
import { countDeviceCodes } from '../../src/protocol/storage/device-codes.ts'
import { countPushedRequests } from '../../src/protocol/storage/state.ts'
import {
  type App,
  asking,
  authUrl,
  Browser,
  call,
  populate,
  REDIRECT_URI,
  type Reply,
  send,
  startTwo,
  type TokenReply,
  type World,
} from '../support/attack.ts'
import { createTestDatabase, serverOfItsOwn, type TestDatabase } from '../support/database.ts'
import { until } from '../support/patience.ts'

let postgres: Awaited<ReturnType<typeof serverOfItsOwn>>
let database: TestDatabase
let world: World
let device: App
let server: Awaited<ReturnType<typeof startTwo>>
let nodes: [string, string]
beforeAll(async () => {
  postgres = await serverOfItsOwn()
  database = await createTestDatabase()
  world = await populate(database.db)
  device = await app('device')
  server = await startTwo(database.url, {
    LOG_LEVEL: 'warn',
    TRUSTED_PROXIES: '127.0.0.0/8,::1',
    DYNAMIC_REGISTRATION: 'open',
  })
  nodes = [server.one.origin, server.two.origin]
})
afterAll(async () => {
  await server?.stop()
  await database?.drop()
  await postgres?.stop()
})

const askForCode = (node: string, from: string, client = device) =>
  call(node, '/device_authorization', client, { scope: 'openid' }, { 'x-forwarded-for': from })
const push = (node: string, from: string, client = world.spa, more = {}) =>
  call(node, '/par', client, asking(client, more), { 'x-forwarded-for': from })

/** Asks until it is refused. */
async function untilRefused(ask: () => Promise<TokenReply>): Promise<TokenReply> {
  for (let i = 0; i < 2_000; i++) {
    const reply = await ask()
    if (reply.status === 429) return reply
    expect(reply.body).not.toHaveProperty('error')
  }
  throw new Error('2,000 requests, and none was refused')
}

test('a stranger is slowed at the node they ask and at the other, in JSON with Retry-After', async () => {
  const from = '2001:db8:1:1::1'
  // The minute may turn meanwhile.
  await until(async () => {
    const refused = await untilRefused(() => askForCode(nodes[0], from))
    expect(refused.body).toEqual({
      error: 'temporarily_unavailable',
      error_description: expect.stringMatching(
        /^Too many requests of this address\. Try again in \d+ seconds\.$/,
      ),
    })
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    await sleep(2_500)
    return (await askForCode(nodes[1], '2001:db8:1:1:abcd::7')).status === 429
  })

  expect((await askForCode(nodes[1], '2001:db8:2:1::1')).status).toBe(200)
  expect((await askForCode(nodes[0], '192.0.2.1')).status).toBe(200)
})

test('pushing in the name of a public client has a limit, pushing as a client that proves to be it has none', async () => {
  const from = '192.0.2.20'
  await untilRefused(() => push(nodes[0], from))

  const replies = await Promise.all(
    Array.from({ length: 150 }, (_, i) => push(nodes[i % 2]!, from, world.web)),
  )

  expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([201]))
  // A proof that comes with what is refused is not kept either.
  const { privateKey, publicKey } = await generateKeyPair('ES256')
  const proof = async () =>
    new SignJWT({ htm: 'POST', htu: `${server.issuer}/par`, jti: randomBytes(8).toString('hex') })
      .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk: await exportJWK(publicKey) })
      .setIssuedAt()
      .sign(privateKey)
  await until(async () => {
    await untilRefused(() => push(nodes[0], from))
    const proofs = await proofsKept()
    const { status } = await call(nodes[0], '/par', world.spa, asking(world.spa), {
      'x-forwarded-for': from,
      dpop: await proof(),
    })
    return status === 429 && (await proofsKept()) === proofs
  })
  const guessed = await push(nodes[0], from, { ...world.web, secret: 'vk_cs_wrong' })
  expect([guessed.status, guessed.body.error]).toEqual([401, 'invalid_client'])
})

test('what is refused writes nothing, and what is counted writes nothing of its own', async () => {
  const from = '192.0.2.40'
  const [rows, counters] = [await waiting(), await rateLimits()]
  for (let i = 0; i < 40; i++) expect((await askForCode(nodes[i % 2]!, from)).status).toBe(200)
  expect(await waiting()).toBe(rows + 40)

  await untilRefused(() => askForCode(nodes[0], from))
  const [before, xid] = [await waiting(), await nextXid()]
  let refused = 0
  for (let i = 0; i < 400; i++) if ((await askForCode(nodes[0], from)).status === 429) refused++

  // A minute that turns lets some through.
  expect(refused).toBeGreaterThan(250)
  expect((await waiting()) - before).toBe(400 - refused)
  expect((await nextXid()) - xid).toBeLessThan(200 + (400 - refused))
  expect(await rateLimits()).toEqual(counters)
})

test('so many pushed requests of a public client may wait, whoever sends them; others are not affected', async () => {
  const crowded = await app('spa')
  await database.db.pg.query(
    `insert into provider_state (hash, kind, payload, client_id, expires_at)
     select sha256(n::text::bytea), 'pushed_authorization_request', '{}', $1, now() + interval '1 hour'
     from generate_series(1, $2::int) n`,
    [crowded.id, MOST_WAITING],
  )

  for (const node of nodes) {
    const { status, body, headers } = await push(node, '198.51.100.1', crowded)
    expect([status, body.error]).toEqual([429, 'temporarily_unavailable'])
    expect(headers.get('retry-after')).toBe('30')
    expect((await push(node, '198.51.100.1')).status).toBe(201)
  }

  // One that is used makes room, and so do those that are over, swept or not.
  await run(
    database.db,
    sql`update provider_state set expires_at = now() - interval '1 second' where client_id = ${crowded.id}`,
  )
  for (const node of nodes) {
    await until(async () => (await push(node, '198.51.100.1', crowded)).status === 201)
  }
})

test('so many device codes of a client may wait, and the log says it once', async () => {
  const crowded = await app('device')
  await database.db.pg.query(
    `insert into tokens (hash, kind, client_id, payload, expires_at, user_code_hash)
     select sha256(('d' || n)::bytea), 'device_code', $1, '{}', now() + interval '1 hour', sha256(('u' || n)::bytea)
     from generate_series(1, $2::int - 3) n`,
    [crowded.id, MOST_WAITING],
  )

  const replies = await Promise.all(
    Array.from({ length: 10 }, (_, i) => askForCode(nodes[0], `198.51.100.${i}`, crowded)),
  )
  expect(replies.filter(({ status }) => status === 200)).toHaveLength(3)
  const elsewhere = await askForCode(nodes[1], '198.51.100.30', crowded)
  expect([elsewhere.status, elsewhere.body.error]).toEqual([429, 'temporarily_unavailable'])
  expect((await askForCode(nodes[1], '198.51.100.30')).status).toBe(200)

  const said = () =>
    server.one
      .output()
      .split('\n')
      .filter((line) => line.includes(crowded.id))
  await until(() => said().length > 0)
  for (let i = 0; i < 5; i++) await askForCode(nodes[0], `198.51.100.${i}`, crowded)
  expect(said().map((line) => JSON.parse(line))).toEqual([
    expect.objectContaining({ level: 40, client_id: crowded.id, most: MOST_WAITING }),
  ])
  await run(
    database.db,
    sql`update tokens set expires_at = now() - interval '1 second' where client_id = ${crowded.id}`,
  )
  await until(async () => (await askForCode(nodes[0], '198.51.100.40', crowded)).status === 200)
})

test('a pushed request that is used does not wait any more, and one of a client with a secret never does', async () => {
  const busy = await app('spa')
  const { body } = await push(nodes[0], '198.51.100.1', busy, { prompt: 'none' })
  await push(nodes[0], '198.51.100.1', world.web)
  expect(await countPushedRequests(database.db, busy.id, MOST_WAITING)).toBe(1)
  expect(await countPushedRequests(database.db, world.web.id, MOST_WAITING)).toBe(0)

  const asked = new URLSearchParams({ client_id: busy.id, request_uri: String(body.request_uri) })
  await fetch(`${nodes[1]}/auth?${asked}`, { redirect: 'manual' })

  expect(await countPushedRequests(database.db, busy.id, MOST_WAITING)).toBe(0)
})

test('looking how many wait reads an index of those alone, however many tokens the client has', async () => {
  const old = await app('device')
  await database.db.pg.query(
    `insert into tokens (hash, kind, client_id, payload, expires_at)
     select sha256(('t' || n)::bytea), 'client_credentials', $1, '{}', now() + interval '1 hour' from generate_series(1, 20000) n`,
    [old.id],
  )
  for (let i = 0; i < 3; i++) await askForCode(nodes[0], '198.51.100.50', old)
  await database.db.pg.query('analyze provider_state')
  await database.db.pg.query('analyze tokens')

  expect(await countDeviceCodes(database.db, old.id, MOST_WAITING)).toBe(3)
  expect(await countDeviceCodes(database.db, old.id, 2)).toBe(2)
  const plans = await Promise.all(
    [
      `select from provider_state where client_id = '${old.id}' and expires_at > now() limit 10000`,
      `select from tokens where client_id = '${old.id}' and kind = 'device_code' and expires_at > now() limit 10000`,
    ].map(async (query) => JSON.stringify((await database.db.pg.query(`explain ${query}`)).rows)),
  )
  expect(plans).toEqual([
    expect.stringContaining('provider_state_waiting'),
    expect.stringContaining('tokens_waiting'),
  ])
})

test('whoever registers apps from all over a block is stopped, and beyond that no counter is written', async () => {
  const register = (from: string) =>
    send('POST', nodes[0], '/register', {
      body: '{}',
      headers: { 'content-type': 'application/json', 'x-forwarded-for': from },
    })
  for (let i = 0; i < 60; i++) await register('2001:db8:70:1::1')
  const { points } = await row<{ points: number }>(
    database.db,
    sql`select points from rate_limits where key = 'register:2001:db8:70:1::/64'`,
  )
  expect(points).toBeLessThanOrEqual(40)

  // The hour may turn meanwhile.
  await until(async () => {
    const answers = new Set<number>()
    for (let i = 0; i < 410; i++) answers.add((await register(`2001:db8:71:${i.toString(16)}::1`)).status)
    return answers.has(429)
  })
  const last = await register('2001:db8:71:ffff::1')
  expect([last.status, JSON.parse(last.text).error]).toEqual([429, 'too_many_requests'])
  expect((await register('2001:db8:72:1::1')).status).toBe(400)
})

test('giving sign-ins up leaves so many rows a minute', async () => {
  const decisions = async () =>
    (
      await row<{ count: number }>(
        database.db,
        sql`select count(*)::int as count from provider_state where kind = 'decision'`,
      )
    ).count
  const before = await decisions()
  const answers: number[] = []
  for (let i = 0; i < 90; i++) {
    const browser = new Browser(server.issuer)
    browser.headers = { ...browser.headers, 'x-forwarded-for': '192.0.2.90' }
    const page = await browser.open(authUrl(world.web))
    const form = formsOf(page.text, page.url).find(({ action }) => action.pathname.endsWith('/abort'))!
    answers.push((await browser.request('POST', form.action, { form: form.fields })).status)
  }

  const taken = answers.filter((status) => status === 303).length
  expect(answers).toContain(429)
  expect((await decisions()) - before).toBe(taken)
})

async function proofsKept(): Promise<number> {
  const { count } = await row<{ count: number }>(
    database.db,
    sql`select count(*)::int as count from provider_state where kind = 'replay_detection'`,
  )
  return count
}

async function app(type: 'spa' | 'device'): Promise<App> {
  const { client } = await createClient(
    database.db,
    {
      name: `A ${type} ${randomBytes(4).toString('hex')}`,
      type,
      scopes: ['openid', 'profile', 'email', 'photos.read'],
      redirect_uris: type === 'spa' ? [REDIRECT_URI] : [],
    },
    { type: 'cli' },
  )
  return { id: client.id, secret: '', redirect_uri: REDIRECT_URI }
}

async function waiting(): Promise<number> {
  const { count } = await row<{ count: number }>(
    database.db,
    sql`select count(*)::int as count from tokens where client_id = ${device.id}`,
  )
  return count
}

function rateLimits(): Promise<unknown[]> {
  return many(database.db, sql`select key, points from rate_limits order by key`)
}

async function nextXid(): Promise<number> {
  const { xid } = await row<{ xid: string }>(
    database.db,
    sql`select pg_snapshot_xmax(pg_current_snapshot())::text as xid`,
  )
  return Number(xid)
}

describe('whoever walks through a block of addresses', () => {
  const SECONDS = 900
  const MOST = 500
  const windowNow = () => Math.floor(Date.now() / 1000 / SECONDS)
  let walks = 0

  /** Nearly all of a block's attempts, as another node tells of them, and the last ones at this one; each from another /64. */
  async function walk(limit: string, attempt: (browser: Browser, i: number) => Promise<Reply>) {
    // Until it lies within one window.
    for (;;) {
      const window = windowNow()
      const head = `2001:db8:${(0x100 + ++walks).toString(16)}`
      const told = `limits:another node\n${limit} ${window} ${head}::/48 ${MOST - 5}`
      await run(database.db, sql`select pg_notify('valetkey', ${told})`)
      let i = 0
      const next = () => {
        const browser = new Browser(server.issuer, nodes[0])
        browser.headers['x-forwarded-for'] = `${head}:${(++i).toString(16)}::1`
        return attempt(browser, i)
      }
      // The first ones may come before the announcement does.
      await until(async () => (await next()).status === 429 || windowNow() !== window)
      const before = await counted(head)
      const statuses = []
      for (let n = 0; n < 5; n++) statuses.push((await next()).status)
      const after = await counted(head)
      if (windowNow() === window) return { head, attempts: i, statuses, before, after, next }
    }
  }
  const counted = (head: string) =>
    row<{ events: number; counters: number }>(
      database.db,
      sql`select (select count(*) from audit_events where host(ip) like ${`${head}:%`})::int as events,
                 (select count(*) from rate_limits where key like ${`%${head}:%`})::int as counters`,
    )

  test('guesses so many passwords and leaves so many rows; the audit log says once that more was left out', async () => {
    const { head, attempts, statuses, before, after } = await walk('sign-in', async (browser, i) => {
      const page = await browser.open('/account')
      return browser.submit(page, 'Sign in', { email: `walked-${i}@example.com`, password: 'wrong' })
    })

    expect(statuses).toEqual(Array(5).fill(429))
    expect(after).toEqual(before)
    expect(before.counters).toBeLessThan(attempts * 2)
    const said = await many<{ type: string; data: object }>(
      database.db,
      sql`select type, user_id, data from audit_events where host(ip) like ${`${head}:%`} and type = 'sign_in.limited'`,
    )
    expect(said).toEqual([{ type: 'sign_in.limited', user_id: null, data: { block: `${head}::/48` } }])
    // Not around it, and not in a browser that the account knows.
    const elsewhere = new Browser(server.issuer, nodes[0])
    elsewhere.headers['x-forwarded-for'] = '2001:db8:1:1::1'
    expect((await elsewhere.signIn(world.alice)).status).toBe(200)
    await elsewhere.follow(await elsewhere.submit(await elsewhere.open('/session/end'), 'Sign out'))
    elsewhere.headers['x-forwarded-for'] = `${head}:1::1`
    expect((await elsewhere.signIn(world.alice)).status).toBe(200)
  })

  test('guesses so many codes of devices', async () => {
    const { statuses, before, after } = await walk('user-code', async (browser) =>
      browser.submit(await browser.open('/device'), 'Continue', { user_code: 'BBBB-BBBB' }),
    )

    expect(statuses).toEqual(Array(5).fill(429))
    expect(after).toEqual(before)
  })

  test('does not use the block up from one address, nor with right passwords', async () => {
    const { db } = database
    const count = signInAttempts(db, blockLimits())
    const attempt = (account: string, ip: string) => count({ account, ip, known_by: null })
    const refused = (account: string, ip: string) =>
      attempt(account, ip).then(
        () => false,
        (refusal) => refusal.block ?? 'address',
      )

    const machineNow = Date.now
    const now = machineNow()
    // All of it in one window.
    Date.now = () => now
    try {
      for (let i = 0; i < 50; i++) expect(await refused(`one-${i}`, '203.0.113.1')).toBe(false)
      for (let i = 0; i < MOST; i++) expect(await refused('one', '203.0.113.1')).toBe('address')
      for (let i = 0; i < 60; i++) await (await attempt(`right-${i}`, `203.0.113.${2 + i}`)).clear()
      for (let i = 0; i < MOST - 50; i++) {
        expect(await refused(`other-${i}`, `203.0.113.${100 + (i % 100)}`)).toBe(false)
      }

      expect(await refused('another', '203.0.113.250')).toBe('203.0.113.0/24')
    } finally {
      Date.now = machineNow
    }
  })
})
