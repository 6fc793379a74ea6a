// Changing a password ends every other session, also the one that is busy at that moment, and the one that has not quite
// begun: whoever only knew the old password is out.
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { one, sql } from '../../src/db/pool.ts'
import { disableUser, enableUser, setPassword } from '../../src/users/store.ts'
import { authUrl, Browser, populate, startTwo, type World } from '../support/attack.ts'
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
