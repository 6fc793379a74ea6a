// Passwords take a core each: how many are looked at together, and what becomes of those that cannot wait.
import { execFile } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { inTurn, localTurns } from '../../../src/base/turns.ts'
import { hashPassword, verifyPassword } from '../../../src/core/users/password.ts'
import { authUrl, Browser, populate, type Reply, tally, type World } from '../../support/attack.ts'
import { createTestDatabase, type TestDatabase } from '../../support/database.ts'
import { until } from '../../support/patience.ts'
import { startApp, type TestApp } from '../../support/server.ts'
import { MOST, PIECES, WORKERS } from '../../support/turns.ts'

let database: TestDatabase
let world: World
let app: TestApp
beforeAll(async () => {
  database = await createTestDatabase()
  world = await populate(database.db)
  app = await startApp({ db: database.db, env: { TRUSTED_PROXIES: '127.0.0.1,::1' } })
})
afterAll(async () => {
  await app?.stop()
  await database?.drop()
})

/** Opens sign-in pages, each in a browser of its own at an address of its own. */
function openSignIns(count: number): Promise<{ browser: Browser; page: Reply }[]> {
  return Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const browser = new Browser(app.origin)
      browser.headers['x-forwarded-for'] = `203.0.113.${i + 1}`
      return { browser, page: await browser.open(authUrl(world.web)) }
    }),
  )
}

test('of 130 sign-ins at once each is taken or told to come back, none is called wrong', async () => {
  const openings = await openSignIns(130)
  const typed = (i: number) => (i % 2 ? world.alice : world.bob)
  // Fifty at one account are too many for it, whoever sends them.
  await database.db.query({ text: 'delete from rate_limits', values: [] })

  // Nobody has a turn until all have come.
  const turns = Promise.withResolvers<void>()
  const held = Array.from({ length: availableParallelism() }, () => inTurn(() => turns.promise, true))
  let answered = 0
  const asked = openings.map(async ({ browser, page }, i) => {
    const { email, password } = typed(i)
    const own = i < 40 ? email : `nobody-${i}@example.com`
    const reply = await browser.submit(page, 'Sign in', { email: own, password })
    answered++
    return reply
  })
  await until(() => answered === 30)
  turns.resolve()
  const replies = await Promise.all(asked)
  await Promise.all(held)

  const counted = tally(replies)
  expect(Object.keys(counted).sort()).toEqual(['303', '422', '503'])
  for (const [i, { status, headers }] of replies.entries()) {
    if (i < 40) expect([303, 503]).toContain(status)
    if (status === 503) expect(headers.get('retry-after')).toMatch(/^\d+$/)
  }
})

test('whoever finds everybody busy has made no attempt', async () => {
  const [opened] = await openSignIns(1)
  const { browser, page } = opened!
  let full = true
  // As many as may wait, and always another one.
  const crowd = Array.from({ length: 100 }, async () => {
    while (full) await hashPassword('a password of the crowd').catch(() => sleep(1))
  })

  const refused: Reply[] = []
  // More than an account may be tried from one address.
  for (let i = 0; i < 8; i++) {
    refused.push(await browser.submit(page, 'Sign in', { email: world.alice.email, password: 'wrong' }))
  }
  full = false
  await Promise.all(crowd)
  const reply = await browser.submit(page, 'Sign in', { ...world.alice, id: '' })

  expect(tally(refused)).toEqual({ 503: 8 })
  expect(reply.status).toBe(303)
})

test('however many strangers wait, a known device finds a place', async () => {
  const home = new Browser(app.origin)
  const profile = await home.signIn(world.bob)
  const away = new Browser(app.origin)
  const own = await away.open(authUrl(world.web))
  const device = home.jar
    .header(new URL(app.origin))!
    .split('; ')
    .filter((pair) => pair.startsWith('_device'))
  let full = true
  const crowd = Array.from({ length: 150 }, async () => {
    while (full) await verifyPassword(undefined, 'a guess').catch(() => sleep(1))
  })

  const { email, password } = world.bob
  const next = { current_password: password, new_password: 'another password of bob' }
  const replies: Reply[] = []
  try {
    replies.push(await away.submit(own, 'Sign in', { email, password }))
    away.jar.take(new URL(app.origin), device)
    replies.push(await away.submit(own, 'Sign in', { email, password }))
    replies.push(await home.submit(profile, 'Change password', next))
  } finally {
    full = false
    await Promise.all(crowd)
  }
  world.bob.password = next.new_password

  expect(replies.map(({ status }) => status)).toEqual([503, 303, 303])
})

test('turns are given in their order, but for those who go ahead, and never more than there are', async () => {
  const { take } = localTurns(2)
  const order: number[] = []
  let running = 0
  let most = 0

  await Promise.all(
    [1, 2, 3, 4, 5].map(async (i) => {
      const give = await take(i === 5)
      order.push(i)
      running += 1
      most = Math.max(most, running)
      await sleep(5)
      running -= 1
      give()
    }),
  )

  expect(order).toEqual([1, 2, 5, 3, 4])
  expect(most).toBe(2)
})

test('workers share the turns of one machine, and one that dies leaves its turn to the others', async () => {
  const script = join(import.meta.dirname, '../../support/turns.ts')

  const { stdout } = await promisify(execFile)(process.execPath, [script])

  const lines = stdout.trim().split('\n')
  const dead = lines.filter(
    (line) => line.startsWith('begin ') && !lines.includes(line.replace('begin', 'end')),
  )
  let running = 0
  let most = 0
  for (const line of lines) {
    if (dead.includes(line)) continue
    running += line.startsWith('begin') ? 1 : -1
    most = Math.max(most, running)
  }
  expect(lines.filter((line) => line.startsWith('end'))).toHaveLength((WORKERS - 1) * PIECES)
  expect(dead.length).toBeGreaterThan(0)
  expect(most).toBeLessThanOrEqual(MOST)
  expect(most).toBeGreaterThan(1)
})
