// The first administrator: made once, by whoever holds the link that the server prints.
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals'
import { createSetupLink } from '../../src/core/users/setup-links.ts'
import { many, run, sql } from '../../src/db/pool.ts'
import { type Page, Person, type ServerFixture, startServerFixture } from '../support/flow.ts'

const ADMIN = { name: 'Alex', email: 'Alex@Example.com', password: 'a kettle full of keys' }

let server: ServerFixture
let alex: Person
let path: string
beforeAll(async () => {
  server = await startServerFixture()
})
afterAll(() => server.stop())
beforeEach(async () => {
  await run(server.db, sql`delete from users`)
  alex = new Person(server.origin, '', ADMIN.email)
  path = `/setup/${await createSetupLink(server.db)}`
})

test('the link makes an administrator, who then signs in', async () => {
  const page = await alex.open(path)
  expect(page.text).toContain('Create the first administrator')

  const account = await alex.press(page, 'Create the administrator', ADMIN)

  expect(account.title).toBe('Sign in · Valetkey')
  expect((await alex.signIn(account, ADMIN.password)).text).toContain('alex@example.com')
  expect(await administrators()).toEqual([{ name: 'Alex', email: 'alex@example.com' }])
  expect((await server.events({ type: 'user.created' }))[0]).toMatchObject({
    data: { role: 'admin' },
    ip: '127.0.0.1',
  })
})

test('it works once', async () => {
  const page = await alex.open(path)
  await alex.press(page, 'Create the administrator', ADMIN)

  const again = await alex.open(path)
  const sent = await alex.press(page, 'Create the administrator', { ...ADMIN, email: 'mallory@example.com' })

  for (const refused of [again, sent]) {
    expect(refused.status).toBe(404)
    expect(refused.title).toContain('This link is over')
    expect(refused.text).toContain('This link was used already, or it is too old.')
  }
  expect(await administrators()).toHaveLength(1)
})

test('the form that used it does no harm when it comes again, and helps nobody to guess the password', async () => {
  const page = await alex.open(path)
  const press = (typed: object) => alex.press(page, 'Create the administrator', { ...ADMIN, ...typed })
  await press({})

  expect((await press({})).title).toBe('Sign in · Valetkey')
  const guesses = await Promise.all(
    Array.from({ length: 21 }, () => press({ password: 'a guess of mallory' })),
  )

  expect(await administrators()).toHaveLength(1)
  expect(new Set(guesses.map(({ status }) => status))).toEqual(new Set([404, 429]))
  await run(server.db, sql`update user_links set consumed_at = consumed_at - interval '11 minutes'`)
  expect((await press({})).status).toBe(404)
})

test('it ends after a day, and when a newer one is made', async () => {
  const newer = `/setup/${await createSetupLink(server.db)}`
  expect((await alex.open(path)).status).toBe(404)
  expect((await alex.open(newer)).status).toBe(200)

  await run(server.db, sql`update user_links set expires_at = expires_at - interval '24 hours'`)

  expect((await alex.open(newer)).status).toBe(404)
})

test.each([
  [{ password: 'short' }, 'Use at least 8 characters.'],
  [{ email: 'nowhere' }, 'Enter an email address'],
  [{ name: '' }, 'Enter your name.'],
])('a mistake (%j) is told, what was typed stays, and the link still works', async (wrong, words) => {
  const page = await alex.press(await alex.open(path), 'Create the administrator', { ...ADMIN, ...wrong })

  expect(page.status).toBe(422)
  expect(page.text).toContain(words)
  expectKept(page, { ...ADMIN, ...wrong })
  expect(page.html).not.toContain(ADMIN.password)
  expect(await administrators()).toEqual([])
  await alex.press(page, 'Create the administrator', ADMIN)
  expect(await administrators()).toHaveLength(1)
})

test('an address that has an account already is told, and the link still works', async () => {
  await run(server.db, sql`insert into users (email, name) values ('alex@example.com', 'Alex')`)

  const page = await alex.press(await alex.open(path), 'Create the administrator', ADMIN)

  expect(page.status).toBe(422)
  expect(page.text).toContain('This address has an account already.')
  await alex.press(page, 'Create the administrator', { ...ADMIN, email: 'alex2@example.com' })
  expect(await administrators()).toHaveLength(1)
})

test.each(['guessed', '', 'x'.repeat(3000), "'; drop table users; --"])(
  'no other link works (%s)',
  async (secret) => {
    const page = await alex.open(`/setup/${encodeURIComponent(secret)}`)

    expect(page.status).toBe(404)
  },
)

test('a form that the page did not send makes nobody', async () => {
  await alex.open(path)

  const forged = await alex.post(path, ADMIN)
  const foreign = await alex.post(path, { ...ADMIN, csrf: 'x' }, { 'Sec-Fetch-Site': 'cross-site' })

  expect([forged.status, foreign.status]).toEqual([403, 403])
  expect(await administrators()).toEqual([])
})

function expectKept(page: Page, { name, email }: { name: string; email: string }): void {
  if (name) expect(page.html).toContain(`value="${name}"`)
  expect(page.html).toContain(`value="${email}"`)
}

function administrators() {
  return many<{ name: string; email: string }>(
    server.db,
    sql`select name, email from users where role = 'admin'`,
  )
}
