// Guessing passwords: slowed down by account and address, the same at every process, without telling who has an account
// and without locking a stranger out.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import argon2 from 'argon2'
import { Browser, formWith, type Person, populate, type World } from '../support/attack.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { freePort, startApp, type TestApp } from '../support/server.ts'
import { statementsOf } from '../support/statements.ts'

let database: TestDatabase
let world: World
/** Two servers over one database, behind a proxy that they trust. */
let one: TestApp
let two: TestApp
beforeAll(async () => {
  database = await createTestDatabase()
  world = await populate(database.db)
  const env = { TRUSTED_PROXIES: '127.0.0.0/8,::1,10.0.0.0/8' }
  one = await startApp({ db: database.db, env })
  two = await startApp({
    db: database.db,
    env: { ...env, ISSUER_URL: one.origin, PORT: String(await freePort()) },
  })
})
afterAll(async () => {
  await one?.stop()
  await two?.stop()
  await database?.drop()
})

const WRONG = 'That email address and password do not fit together.'

test('after five wrong passwords the sixth attempt waits, at every process, however right it is', async () => {
  const from = '192.0.2.1'
  for (const node of [one, two, one, two, one]) {
    const { status, text } = await attempt(node, world.alice.email, 'wrong', from)
    expect([status, text.includes(WRONG)]).toEqual([422, true])
  }

  for (const node of [two, one]) {
    const { status, text, headers } = await attempt(node, world.alice.email, world.alice.password, from)
    expect(status).toBe(429)
    expect(text).toMatch(/Too many attempts to sign in\. Try again in \d+ (seconds|minutes)\./)
    expect(text).toContain('name="password"')
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(60)
    expect(headers.get('content-type')).toContain('text/html')
  }
})

test('another account at the same address, and the same account elsewhere, are not held up', async () => {
  expect((await attempt(one, world.bob.email, world.bob.password, '192.0.2.1')).status).toBe(303)
  expect((await attempt(two, world.alice.email, world.alice.password, '192.0.2.2')).status).toBe(303)
})

test('a right password forgets the wrong ones before it', async () => {
  const from = '192.0.2.3'
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 4; i++) {
      expect((await attempt(one, world.bob.email, 'wrong', from)).status).toBe(422)
    }
    expect((await attempt(one, world.bob.email, world.bob.password, from)).status).toBe(303)
  }
})

test('many who sign in rightly from one address are not held up', async () => {
  for (let i = 0; i < 60; i++) {
    const { email, password } = i % 2 ? world.alice : world.bob
    expect((await attempt(i % 3 ? one : two, email, password, '192.0.2.4')).status).toBe(303)
  }
})

test('parallel guesses do not slip through together', async () => {
  const replies = await Promise.all(
    Array.from({ length: 30 }, (_, i) => attempt(i % 2 ? one : two, world.bob.email, 'wrong', '192.0.2.5')),
  )

  expect(replies.filter(({ status }) => status === 422).length).toBeLessThanOrEqual(5)
  expect(replies.filter(({ status }) => status === 429).length).toBeGreaterThanOrEqual(25)
})

test('the limit is by the address behind trusted proxies, whatever else the header claims', async () => {
  const guess = (forwarded: string) => attempt(one, world.bob.email, 'wrong', forwarded)
  for (let i = 0; i < 5; i++) expect((await guess(`203.0.113.${i}, 192.0.2.6, 10.0.0.9`)).status).toBe(422)

  expect((await guess('198.51.100.1, 192.0.2.6')).status).toBe(429)
  expect((await guess('192.0.2.7, 10.1.2.3')).status).toBe(422)
})

test('an address that no table can hold does not get in the way', async () => {
  expect((await attempt(one, world.bob.email, 'wrong', 'fe80::1%eth0')).status).toBe(422)
  expect((await attempt(one, world.bob.email, 'wrong', 'unknown')).status).toBe(422)
})

test('without trusted proxies X-Forwarded-For changes nothing', async () => {
  const plain = await startApp({ db: database.db })
  for (let i = 0; i < 5; i++) {
    expect((await attempt(plain, world.alice.email, 'wrong', `203.0.113.${i}`)).status).toBe(422)
  }

  expect((await attempt(plain, world.alice.email, 'wrong', '203.0.113.200')).status).toBe(429)
  await plain.stop()
})

test('an unknown address gets the same answer as a wrong password, for the same work', async () => {
  const nobody = { email: 'nobody@example.com' }
  const work = { known: new Set<string>(), unknown: new Set<string>() }
  const texts = new Set<string>()
  for (let i = 0; i < 4; i++) {
    for (const kind of ['known', 'unknown'] as const) {
      const { email } = kind === 'known' ? world.alice : nobody
      const { page, browser } = await signInPage(one, `198.51.${i}.${kind === 'known' ? 1 : 2}`)
      const { reply, done } = await watched(() =>
        browser.submit(page, 'Sign in', { email, password: 'wrong' }),
      )
      expect(reply.status).toBe(422)
      texts.add(neutral(reply.text).replaceAll(email, '…'))
      // The hash that no password fits is made once.
      if (i > 0) work[kind].add(done)
    }
  }

  expect(texts.size).toBe(1)
  expect([...work.known]).toHaveLength(1)
  expect(work.known).toEqual(work.unknown)
})

test('guessing at the current password inside of a session is limited as well', async () => {
  const browser = new Browser(one.origin)
  browser.headers['x-forwarded-for'] = '192.0.2.8'
  const page = await browser.signIn(world.bob)
  const form = formWith(page, 'Change password')
  form.fields.set('current_password', 'wrong')
  form.fields.set('new_password', 'a fine new password')
  for (let i = 0; i < 10; i++) {
    expect((await browser.request('POST', form.action, { form: form.fields })).status).toBe(422)
  }

  const { status, text, headers } = await browser.request('POST', form.action, { form: form.fields })

  expect(status).toBe(429)
  expect(text).toContain('Too many attempts to change the password.')
  expect(Number(headers.get('retry-after'))).toBeGreaterThan(0)
})

async function attempt(node: TestApp, email: string, password: string, forwardedFor: string) {
  const { page, browser } = await signInPage(node, forwardedFor)
  return browser.submit(page, 'Sign in', { email, password } satisfies Omit<Person, 'id'>)
}

async function signInPage({ config }: TestApp, forwardedFor: string) {
  const browser = new Browser(config.issuerUrl.origin, `http://localhost:${config.port}`)
  browser.headers = { ...browser.headers, 'x-forwarded-for': forwardedFor }
  return { page: await browser.open('/account'), browser }
}

/** The page without what is different on each: ids and tokens. */
function neutral(text: string): string {
  return text.replace(/(interaction\/|value=")[\w-]{20,}/g, '$1…')
}

/** What an answer cost: the passwords that were hashed and compared, with the cost of each, and the statements. */
async function watched<T>(work: () => Promise<T>): Promise<{ reply: T; done: string }> {
  const { hash, verify } = argon2
  const hashed: unknown[] = []
  argon2.hash = ((...args: Parameters<typeof hash>) => {
    hashed.push(['hash', args[1]])
    return hash(...args)
  }) as typeof hash
  argon2.verify = (...args) => {
    hashed.push(['verify', /^\$[^$]+\$[^$]+\$[^$]+\$/.exec(args[0])?.[0]])
    return verify(...args)
  }
  try {
    let reply: T
    const sent = await statementsOf(async () => {
      reply = await work()
    })
    const own = sent.map(({ text }) => text).filter((text) => !/pg_notify|client_usage/.test(text))
    return { reply: reply!, done: JSON.stringify([hashed, own]) }
  } finally {
    Object.assign(argon2, { hash, verify })
  }
}
