// Changing a password ends every other session, also the one that is busy at that moment, and the one that has not quite
// begun: whoever only knew the old password is out.
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { setPassword } from '../../src/core/users/sign-in.ts'
import { disableUser, enableUser } from '../../src/core/users/store.ts'
import { one, run, sql } from '../../src/db/pool.ts'
import {
  atOnce,
  authUrl,
  Browser,
  populate,
  type Reply,
  saysTryAgain,
  startTwo,
  untilAnswered,
  type World,
} from '../support/attack.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

const BY = { type: 'cli' } as const

let database: TestDatabase
let world: World
let server: Awaited<ReturnType<typeof startTwo>>
beforeAll(async () => {
  database = await createTestDatabase()
  world = await populate(database.db)
  server = await startTwo(database.url)
})
afterAll(async () => {
  await server?.stop()
  await database?.drop()
})

test('a new password ends the other session even while it is being used', async () => {
  const mine = new Browser(server.issuer, server.one.origin)
  await mine.signIn(world.alice)
  for (let round = 0; round < 4; round++) {
    const theirs = new Browser(server.issuer, server.two.origin)
    await theirs.code(authUrl(world.web), world.alice)
    const page = await mine.open('/account')
    const new_password = `another password ${round}`

    const [changed] = await Promise.all([
      mine.submit(page, 'Change password', { current_password: world.alice.password, new_password }),
      ...Array.from({ length: 16 }, async (_, i) => {
        // Hashing takes a while: some of these come before the change, some after.
        await sleep(i * 12)
        const { status } = await theirs.get(i % 2 ? '/account' : authUrl(world.web))
        expect(status).toBeLessThan(500)
      }),
    ])
    world.alice.password = new_password

    expect(changed.status).toBe(303)
    expect((await mine.open('/account')).text).toContain('Your password was changed')
    expect((await theirs.open('/account')).text).toContain('name="password"')
    expect(await sessionsOf(world.alice.id)).toBe(1)
  }
})

test('a sign-in with the old password that has not quite ended is refused after the change', async () => {
  const theirs = new Browser(server.issuer, server.two.origin)
  const page = await theirs.open('/account')
  const { email, password } = world.bob
  const accepted = await theirs.submit(page, 'Sign in', { email, password })
  expect(accepted.status).toBe(303)

  await setPassword(database.db, world.bob.id, 'the next password of bob', BY)
  const after = await theirs.follow(accepted)

  expect(after.text).toContain('name="password"')
  expect(await sessionsOf(world.bob.id)).toBe(0)
  world.bob.password = 'the next password of bob'
  const signedIn = await theirs.follow(await theirs.submit(after, 'Sign in', bob()))
  expect(signedIn.text).toContain(world.bob.email)
})

test('so is one that an account was disabled in between, also when it is enabled again', async () => {
  const theirs = new Browser(server.issuer, server.two.origin)
  const page = await theirs.open(authUrl(world.web))
  const accepted = await theirs.submit(page, 'Sign in', bob())
  expect(accepted.status).toBe(303)

  await disableUser(database.db, world.bob.id, BY)
  await enableUser(database.db, world.bob.id, BY)
  const after = await theirs.follow(accepted)

  expect(after.text).toContain('name="password"')
})

test('two requests that go on with one new sign-in leave the browser signed in, whichever is answered last', async () => {
  const browser = new Browser(server.issuer, server.one.origin)
  await browser.code(authUrl(world.web), world.bob)
  const page = await browser.open(authUrl(world.web, { prompt: 'login' }))
  const accepted = await browser.submit(page, 'Sign in', bob())

  const replies = await atOnce(6, nodes(), (node) =>
    copyOf(browser, node, accepted.next!).get(accepted.next!),
  )

  expect(replies.filter(hasCode).length).toBeLessThan(2)
  await staysSignedIn(browser, replies)
})

test('of two new sign-ins in one browser that go on at once, the slower one goes on when it is tried again', async () => {
  const browser = new Browser(server.issuer, server.one.origin)
  await browser.code(authUrl(world.web), world.bob)
  const accepted: Reply[] = []
  for (let i = 0; i < 2; i++) {
    const page = await browser.open(authUrl(world.web, { prompt: 'login' }))
    accepted.push(await browser.submit(page, 'Sign in', bob()))
  }

  const tabs = accepted.map(({ next }, i) => ({ next: next!, tab: copyOf(browser, nodes()[i]!, next!) }))
  const replies = await Promise.all(tabs.map(({ next, tab }) => tab.get(next)))

  expect(replies.filter(hasCode).length).toBeLessThan(2)
  await staysSignedIn(browser, replies)
  for (const [i, reply] of replies.entries()) {
    if (hasCode(reply)) continue
    expect(saysTryAgain(reply)).toBe(true)
    expect(hasCode(await untilAnswered(() => browser.get(accepted[i]!.next!)))).toBe(true)
  }
})

test('who comes with the id that a session had a moment ago is told to try again, and later is not signed in', async () => {
  const browser = new Browser(server.issuer, server.one.origin)
  await browser.code(authUrl(world.web), world.bob)
  const before = copyOf(browser, server.two.origin, '/')
  await browser.code(authUrl(world.web, { prompt: 'login' }), world.bob)

  for (const address of ['/account', authUrl(world.web)]) {
    const reply = await before.get(address)
    expect(saysTryAgain(reply)).toBe(true)
    expect(reply.headers.getSetCookie().filter((line) => line.startsWith('_session'))).toEqual([])
  }
  await run(database.db, sql`update sessions set created_at = created_at - interval '21 seconds'`)
  expect((await before.open('/account')).text).toContain('name="password"')
  expect((await browser.open('/account')).text).toContain(world.bob.email)
})

function nodes(): string[] {
  return [server.one.origin, server.two.origin]
}

/** The same browser, about to ask for an address while another request of it is under way. */
function copyOf(browser: Browser, node: string, address: string | URL): Browser {
  const copy = new Browser(server.issuer, node)
  const url = new URL(address, server.issuer)
  const pairs = browser.jar.header(url)?.split('; ') ?? []
  copy.jar.take(
    url,
    pairs.map((pair) => `${pair}; path=/`),
  )
  return copy
}

function hasCode({ next }: Reply): boolean {
  return next?.searchParams.has('code') ?? false
}

/** The browser takes the answers in the order that is worst for it: what the others say after the one that has gone on. */
async function staysSignedIn(browser: Browser, replies: Reply[]): Promise<void> {
  const order = [...replies].sort((a, b) => Number(hasCode(b)) - Number(hasCode(a)))
  for (const { url, headers } of order) browser.jar.take(url, headers.getSetCookie())
  expect((await browser.open('/account')).text).toContain(world.bob.email)
}

function bob(): { email: string; password: string } {
  return { email: world.bob.email, password: world.bob.password }
}

async function sessionsOf(user_id: string): Promise<number> {
  const { count } = await one<{ count: number }>(
    database.db,
    sql`select count(*)::int as count from sessions where user_id = ${user_id}`,
  )
  return count
}
