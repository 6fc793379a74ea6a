// What was used up at one node comes again at another, which asks whether it was answered. Whoever sends it a thousand times makes
// them ask once: announcements are commits that wait for each other in all of PostgreSQL.
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import pg from 'pg'
import { createClient } from '../../src/core/clients/create.ts'
import { answersOfNodes } from '../../src/db/answers.ts'
import { holdPresence } from '../../src/db/presence.ts'
import {
  type App,
  authUrl,
  Browser,
  call,
  populate,
  redeem,
  untilAnswered,
  type World,
} from '../support/attack.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { inOneOfFive } from '../support/patience.ts'
import { startApp, type TestApp } from '../support/server.ts'
import { statementsOf } from '../support/statements.ts'

const TIMES = 30

let database: TestDatabase
let world: World
let one: TestApp
let two: TestApp
beforeAll(async () => {
  database = await createTestDatabase()
  world = await populate(database.db)
  one = await startApp({ db: database.db })
  two = await startApp({ db: database.db, env: { ISSUER_URL: one.origin } })
})
afterAll(async () => {
  await two?.stop()
  await one?.stop()
  await database?.drop()
})

test('a device that asks too often at another node', async () => {
  const tv = await createClient(
    database.db,
    { name: 'TV', type: 'device', scopes: ['photos.read'] },
    { type: 'cli' },
  )
  const app: App = { id: tv.client.id, secret: tv.secret ?? '', redirect_uri: '' }
  const { body } = await call(one.origin, '/device_authorization', app, { scope: 'photos.read' })
  const form = {
    grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
    device_code: String(body.device_code),
  }
  const poll = async ({ origin }: TestApp) => (await call(origin, '/token', app, form)).body.error
  expect(await poll(one)).toBe('authorization_pending')

  const sent = await announcements(async () => {
    // The interval begins anew on a machine that is slow; each is asked about by itself.
    const told = []
    for (let i = 0; i < TIMES; i++) told.push(await poll(two))
    expect(told).toContain('slow_down')
  })

  expect(sent).toBeLessThan(TIMES / 2)
})

test('a used code that a stranger has found, in the name of another public client', async () => {
  const other = await createClient(
    database.db,
    { name: 'Other', type: 'spa', scopes: ['openid'], redirect_uris: [world.web.redirect_uri] },
    { type: 'cli' },
  )
  const stranger: App = { id: other.client.id, secret: '', redirect_uri: world.web.redirect_uri }
  const code = await new Browser(one.origin).code(authUrl(world.web), world.alice)
  expect((await redeem(one.origin, world.web, code)).status).toBe(200)

  let unheard = 0
  const sent = await announcements(async () => {
    for (let i = 0; i < TIMES; i++) {
      const { status } = await untilAnswered(async () => {
        const reply = await redeem(two.origin, stranger, code)
        if (reply.status === 503) unheard++
        return reply
      })
      expect(status).toBe(400)
    }
  })

  // Asked, and answered; and again where the machine stood still for longer than an answer is waited for.
  expect(unheard).toBeLessThan(TIMES / 4)
  expect(sent).toBeLessThanOrEqual(2 * (1 + unheard))
})

test('what a node has used up that is gone: the locks of all of PostgreSQL are looked at once', async () => {
  // Seen to be away twice, between three and five seconds apart.
  await inOneOfFive(async () => {
    const answers = answersOfNodes(database.db)
    const id = randomUUID()
    await expect(answers.expect(id)).rejects.toThrow('given back')
    await sleep(1_600)

    const sent = await statementsOf(async () => {
      await Promise.all(Array.from({ length: TIMES }, () => answers.expect(id)))
      await answers.expect(id)
    })

    expect(sent.filter(({ text }) => text.includes('pg_locks'))).toHaveLength(1)
    expect(sent.filter(isAnnouncement)).toHaveLength(1)
  })
})

test('a node that was away for a moment, twice, is waited for: it may give back what it has used up', async () => {
  const answers = answersOfNodes(database.db)
  const { node, newId } = answersOfNodes(database.db)
  const id = newId()
  const unknown = () => expect(answers.expect(id)).rejects.toThrow('given back')
  await unknown()
  const connection = new pg.Client(database.url)
  await connection.connect()
  await holdPresence(connection, node)
  await unknown()
  await connection.end()

  await unknown()
})

async function announcements(work: () => Promise<unknown>): Promise<number> {
  return (await statementsOf(work)).filter(isAnnouncement).length
}

function isAnnouncement({ values }: { values: unknown[] }): boolean {
  return values.some((value) => /^(asked|answered):/.test(String(value)))
}
