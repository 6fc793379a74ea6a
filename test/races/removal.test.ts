// Ending access while the same access is being used, at two processes over one database, many times and in every order:
// whatever was handed out, before, meanwhile or after, none of it lives afterwards.
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals'
import { resumeClient, suspendClient } from '../../src/core/clients/lifecycle.ts'
import { revokeApp } from '../../src/core/grants/account-apps.ts'
import { disableUser, enableUser } from '../../src/core/users/store.ts'
import { many, one, sql } from '../../src/db/pool.ts'
import {
  authUrl,
  Browser,
  call,
  isActive,
  populate,
  redeem,
  refresh,
  startTwo,
  type TokenReply,
  type World,
} from '../support/attack.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

const BY = { type: 'cli' } as const
const ROUNDS = 12

let database: TestDatabase
let world: World
let server: Awaited<ReturnType<typeof startTwo>>
/** Two devices of one person. */
let laptop: Browser
let phone: Browser
beforeAll(async () => {
  database = await createTestDatabase()
  world = await populate(database.db)
  server = await startTwo(database.url)
  laptop = new Browser(server.issuer, server.one.origin)
  phone = new Browser(server.issuer, server.two.origin)
})
afterAll(async () => {
  await server?.stop()
  await database?.drop()
})

let handedOut: Set<string>
beforeEach(() => {
  handedOut = new Set()
})

test('removing an app beats a refresh, an exchange and a silent sign-in that are under way', async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const inFlight = await prepareUse()

    const [codes] = await Promise.all([
      inFlight(),
      sleep(Math.random() * 30).then(() => revokeApp(database.db, world.alice.id, world.web.id, BY)),
    ])

    await expectNothingLives(codes)
    expect(await liveGrants()).toBe(0)
  }
})

test('so does the person who presses the button, on the page', async () => {
  for (let round = 0; round < 3; round++) {
    const inFlight = await prepareUse()
    const page = await laptop.open(`/account/apps/${world.web.id}/remove`)

    const [codes, receipt] = await Promise.all([
      inFlight(),
      sleep(Math.random() * 20).then(() => laptop.submit(page, 'Remove')),
    ])

    expect(receipt.status).toBe(303)
    await expectNothingLives(codes)
  }
})

test('disabling an account does, and enabling it brings nothing back', async () => {
  for (let round = 0; round < 5; round++) {
    const inFlight = await prepareUse()

    const [codes] = await Promise.all([
      inFlight(),
      sleep(Math.random() * 30).then(() => disableUser(database.db, world.alice.id, BY)),
    ])

    await expectNothingLives(codes)
    for (const browser of [laptop, phone]) expect((await browser.open('/account')).text).toContain('Sign in')
    await enableUser(database.db, world.alice.id, BY)
    await expectNothingLives([])
    for (const browser of [laptop, phone]) expect((await browser.open('/account')).text).toContain('Sign in')
  }
})

test('suspending a client does, for people and for client credentials', async () => {
  for (let round = 0; round < 5; round++) {
    const inFlight = await prepareUse()
    const ofService: Promise<TokenReply>[] = []

    await Promise.all([
      inFlight(),
      ...Array.from({ length: 6 }, async (_, i) => {
        await sleep(Math.random() * 20)
        const node = i % 2 ? server.one.origin : server.two.origin
        ofService.push(call(node, '/token', world.service, { grant_type: 'client_credentials' }))
        await ofService.at(-1)
      }),
      sleep(Math.random() * 30).then(() =>
        Promise.all([
          suspendClient(database.db, world.web.id, BY),
          suspendClient(database.db, world.service.id, BY),
        ]),
      ),
    ])

    // The client cannot ask for itself any more: the API asks.
    for (const { body } of await Promise.all(ofService)) keep(body)
    for (const token of handedOut) {
      for (const node of [server.one.origin, server.two.origin]) {
        expect((await call(node, '/introspect', world.api, { token })).body).toEqual({ active: false })
      }
    }
    const refused = await call(server.two.origin, '/token', world.service, {
      grant_type: 'client_credentials',
    })
    expect(refused.status).toBe(401)
    await resumeClient(database.db, world.web.id, BY)
    await resumeClient(database.db, world.service.id, BY)
  }
})

test('every end of access is on record, once each', async () => {
  const rows = await many<{ type: string; count: number }>(
    database.db,
    sql`select type, count(*)::int as count from audit_events
        where type in ('app.removed', 'user.disabled', 'user.enabled', 'client.suspended')
        group by type`,
  )

  expect(Object.fromEntries(rows.map(({ type, count }) => [type, count]))).toEqual({
    'app.removed': ROUNDS + 3,
    'user.disabled': 5,
    'user.enabled': 5,
    'client.suspended': 10,
  })
})

/** Access that lives on both devices. @returns what uses it in three ways at once, and gives the codes it was handed. */
async function prepareUse(): Promise<() => Promise<string[]>> {
  const first = await redeem(server.one.origin, world.web, await laptop.code(authUrl(world.web), world.alice))
  expect(first.status).toBe(200)
  keep(first.body)
  const unused = await laptop.code(authUrl(world.web))
  await phone.open('/account').then(async (page) => {
    if (page.text.includes('name="password"')) await phone.signIn(world.alice)
  })
  return async () => {
    const [refreshed, exchanged, silent] = await Promise.all([
      sleep(Math.random() * 20).then(() =>
        refresh(server.one.origin, world.web, String(first.body.refresh_token)),
      ),
      sleep(Math.random() * 20).then(() => redeem(server.two.origin, world.web, unused)),
      sleep(Math.random() * 20).then(() => phone.get(authUrl(world.web))),
    ])
    for (const { status, body } of [refreshed, exchanged]) {
      expect([200, 400, 401]).toContain(status)
      keep(body)
    }
    // 400 is the page that says: no such client.
    expect([200, 303, 400]).toContain(silent.status)
    const code = silent.next?.searchParams.get('code')
    return code ? [unused, code] : [unused]
  }
}

function keep(body: Record<string, unknown>): void {
  for (const name of ['access_token', 'refresh_token']) {
    if (typeof body[name] === 'string') handedOut.add(body[name])
  }
}

async function expectNothingLives(codes: string[]): Promise<void> {
  const nodes = [server.one.origin, server.two.origin]
  for (const code of codes) {
    const { status, body } = await redeem(nodes[0]!, world.web, code)
    expect([status, body.error]).toEqual([400, 'invalid_grant'])
  }
  for (const token of handedOut) {
    for (const node of nodes) expect(await isActive(node, world.web, token)).toBe(false)
    if (!token.startsWith('vk_rt_')) continue
    const { status, body } = await refresh(nodes[1]!, world.web, token)
    expect([status, body.error]).toEqual([400, 'invalid_grant'])
  }
}

async function liveGrants(): Promise<number> {
  const { live } = await one<{ live: number }>(
    database.db,
    sql`select count(*)::int as live from grants
        where user_id = ${world.alice.id} and client_id = ${world.web.id} and revoked_at is null`,
  )
  return live
}
