// Strangers who guess at an account slow themselves down, and nobody else: whoever owns it comes in with the browser they use, at
// every node, until something ends what was signed in.
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals'
import { digest } from '../../src/base/credentials.ts'
import { createClient } from '../../src/core/clients/create.ts'
import { redeemResetLink, sendReset } from '../../src/core/users/reset-links.ts'
import { setRole } from '../../src/core/users/roles.ts'
import { endSessions } from '../../src/core/users/search.ts'
import { setPassword } from '../../src/core/users/sign-in.ts'
import { createUser, disableUser, enableUser } from '../../src/core/users/store.ts'
import { many, one, run, sql } from '../../src/db/pool.ts'
import { Browser, call, type Person, type Reply, startTwo, tally } from '../support/attack.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

const BY = { type: 'cli' } as const
const PASSWORD = 'five wet umbrellas'
const NEXT = 'seven dry umbrellas'

let database: TestDatabase
let server: Awaited<ReturnType<typeof startTwo>>
let nodes: string[]
let owner: Person
beforeAll(async () => {
  database = await createTestDatabase()
  server = await startTwo(database.url, {
    TRUSTED_PROXIES: '127.0.0.1,::1',
    SWEEP_INTERVAL_SECONDS: '0',
  })
  nodes = [server.one.origin, server.two.origin]
})
afterAll(async () => {
  await server?.stop()
  await database?.drop()
})
beforeEach(async () => {
  owner = await person('Owner')
})

test('55 wrong passwords from 11 addresses slow strangers, not the owner in a browser they have used, at any node', async () => {
  const home = browserAt(nextAddress())
  await home.signIn(owner)
  await signOut(home)
  const rows = await devicesOf(owner)

  expect(await besiege(owner)).toEqual({ 422: 50, 429: 5 })

  for (const node of nodes) {
    expect((await signInAt(browserAt(nextAddress(), node), owner)).status).toBe(429)
    // Wherever they are today.
    home.node = node
    home.headers['x-forwarded-for'] = nextAddress()
    expect((await signInAt(home, { ...owner, password: 'wet umbrellas' })).status).toBe(422)
    expect((await signInAt(home, owner)).status).toBe(303)
  }
  expect(await devicesOf(owner)).toEqual(rows)
})

test('strangers at the same address do not hold the owner up', async () => {
  const office = nextAddress()
  const home = browserAt(office)
  await home.signIn(owner)
  await signOut(home)
  const stranger = browserAt(office)
  const page = await stranger.open('/account')
  const guess = (i: number) =>
    stranger.submit(page, 'Sign in', { email: `nobody-${i % 12}@example.com`, password: 'wrong' })

  const replies = []
  for (let i = 0; i < 51; i++) replies.push(await guess(i))

  expect(tally(replies)).toEqual({ 422: 50, 429: 1 })
  expect((await signInAt(browserAt(office), owner)).status).toBe(429)
  // Whoever is refused makes no counter for each account that they invent.
  const kept = () => one<{ count: number }>(database.db, sql`select count(*)::int from rate_limits`)
  const before = await kept()
  expect((await guess(99)).status).toBe(429)
  const invented = { email: 'invented@example.com', password: 'wrong' }
  expect((await stranger.submit(page, 'Sign in', invented)).status).toBe(429)
  expect(await kept()).toEqual(before)
  expect((await signInAt(home, owner)).status).toBe(303)
})

test('strangers learn nothing of who has an account, or a device, and write nothing more', async () => {
  await browserAt(nextAddress()).signIn(owner)
  const nobody = { ...owner, email: 'nobody@example.com' }
  const counters = async () =>
    many(
      database.db,
      sql`select split_part(key, ':', 1) as name, count(*)::int from rate_limits group by 1 order by 1`,
    )
  await run(database.db, sql`delete from rate_limits`)
  const ofOwner = [await besiege(owner), await refusal(owner)]
  const afterOwner = await counters()
  await run(database.db, sql`delete from rate_limits`)

  expect([await besiege(nobody), await refusal(nobody)]).toEqual(ofOwner)
  expect(await counters()).toEqual(afterOwner)
  expect(afterOwner.map(({ name }) => name)).toEqual(['sign-in', 'sign-in-account', 'sign-in-address'])
})

test('a device has ten attempts of its own; then it is one of a stranger, until a right password', async () => {
  const home = browserAt(nextAddress())
  await home.signIn(owner)
  await signOut(home)
  const wrong = { ...owner, password: 'wrong' }
  const guess = async (times: number) => {
    const replies = []
    for (let i = 0; i < times; i++) replies.push(await signInAt(home, wrong))
    return tally(replies)
  }

  expect(await guess(9)).toEqual({ 422: 9 })
  expect((await signInAt(home, owner)).status).toBe(303)
  // The same again, and the five of a stranger.
  expect(await guess(15)).toEqual({ 422: 15 })
  for (const node of nodes) {
    home.node = node
    expect((await signInAt(home, owner)).status).toBe(429)
  }
  // Other devices of the account are others.
  expect((await signInAt(browserAt(nextAddress()), owner)).status).toBe(303)
})

test('guesses that are sent at once share the ten', async () => {
  const home = browserAt(nextAddress())
  await home.signIn(owner)
  await signOut(home)
  const page = await home.open('/account')

  const replies = await Promise.all(
    Array.from({ length: 30 }, () => home.submit(page, 'Sign in', { email: owner.email, password: 'wrong' })),
  )

  expect(tally(replies)).toEqual({ 422: 15, 429: 15 })
})

test('a browser is the device of those who signed in there, and of nobody else', async () => {
  const other = await person('Other')
  const shared = browserAt(nextAddress())
  await shared.signIn(owner)
  await signOut(shared)
  await lockOut(other)
  await lockOut(owner)

  expect((await signInAt(shared, other)).status).toBe(429)
  await run(database.db, sql`delete from rate_limits`)
  expect((await signInAt(shared, other)).status).toBe(303)
  await lockOut(other)
  await lockOut(owner)

  for (const each of [owner, other]) {
    expect((await signInAt(shared, each)).status).toBe(303)
  }
  expect(
    await many(database.db, sql`select device_id from known_devices group by 1 having count(*) = 2`),
  ).toHaveLength(1)
})

test('a cookie that somebody makes up is no device', async () => {
  const home = browserAt(nextAddress())
  await home.signIn(owner)
  const { device_id } = (await devicesOf(owner))[0]!
  await lockOut(owner)

  for (const value of [device_id, 'A'.repeat(22), '']) {
    const thief = browserAt(nextAddress())
    thief.jar.take(new URL(server.issuer), [`_device=${value}; path=/`, `_device.sig=${value}; path=/`])
    expect((await signInAt(thief, owner)).status).toBe(429)
  }
})

test.each<[string, (id: string) => Promise<unknown>]>([
  ['a new password', (id) => setPassword(database.db, id, PASSWORD, BY)],
  ['a link for a new password', async (id) => redeemResetLink(database.db, await linkFor(id), PASSWORD, BY)],
  ['signing out everywhere', (id) => endSessions(database.db, id, BY)],
  [
    'disabling the account, though it is enabled again',
    async (id) => {
      await disableUser(database.db, id, BY)
      await enableUser(database.db, id, BY)
    },
  ],
])('%s forgets the devices', async (_, end) => {
  const home = browserAt(nextAddress())
  await home.signIn(owner)
  await end(owner.id)
  await lockOut(owner)

  expect((await signInAt(home, owner)).status).toBe(429)

  // Nobody has to forget the row by hand, and the next sign-in takes it away.
  await run(database.db, sql`delete from rate_limits`)
  const other = browserAt(nextAddress())
  expect((await signInAt(other, owner)).status).toBe(303)
  expect(await devicesOf(owner)).toHaveLength(1)
})

test('the browser in which a password is changed stays known, the others do not', async () => {
  const home = browserAt(nextAddress())
  const phone = browserAt(nextAddress())
  const profile = await home.signIn(owner)
  await phone.signIn(owner)
  const typed = { current_password: owner.password, new_password: NEXT }
  expect((await home.submit(profile, 'Change password', typed)).status).toBe(303)
  await signOut(home)
  const now = { ...owner, password: NEXT }
  await lockOut(now)

  expect((await signInAt(phone, now)).status).toBe(429)
  expect((await signInAt(home, now)).status).toBe(303)
})

test('whoever is locked out comes back with a link: the browser that chose the password is known', async () => {
  await lockOut(owner)
  const fresh = browserAt(nextAddress())
  expect((await signInAt(fresh, owner)).status).toBe(429)
  const page = await fresh.open(`/reset/${await linkFor(owner.id)}`)
  // Posting what is no link uses up nothing of those who have one.
  const busy = browserAt(String(fresh.headers['x-forwarded-for']))
  for (let i = 0; i < 21; i++) {
    expect((await busy.request('POST', '/reset/guessed', { form: {} })).status).toBe(404)
  }

  expect((await fresh.submit(page, 'Set the password', { password: NEXT })).status).toBe(303)

  expect((await signInAt(fresh, { ...owner, password: NEXT })).status).toBe(303)
})

test('signed in, being asked for the password again is no matter of strangers, whatever became of the device', async () => {
  await setRole(database.db, owner.id, 'admin', BY)
  const home = browserAt(nextAddress())
  await home.signIn(owner)
  await run(database.db, sql`delete from known_devices`)
  await age(owner)
  await lockOut(owner)
  const page = await home.open('/admin/users')
  const asked = await home.open(`/admin/users/${owner.id}/disable`)

  expect([page.status, asked.text.includes('name="password"')]).toEqual([200, true])
  const { email } = owner
  expect((await home.submit(asked, 'Sign in', { email, password: 'wrong' })).status).toBe(422)
  // Nobody else's account.
  const other = await person('Other')
  await lockOut(other)
  expect((await home.submit(asked, 'Sign in', { email: other.email, password: PASSWORD })).status).toBe(429)
  expect((await home.submit(asked, 'Sign in', { email, password: owner.password })).status).toBe(303)
})

test('guessing in one open session does not keep the owner from changing the password in another', async () => {
  const thief = browserAt(nextAddress())
  const home = browserAt(nextAddress())
  const stolen = await thief.signIn(owner)
  const profile = await home.signIn(owner)
  const change = (browser: Browser, page: Reply, current_password: string) =>
    browser.submit(page, 'Change password', { current_password, new_password: NEXT })

  const replies = []
  for (let i = 0; i < 11; i++) replies.push(await change(thief, stolen, 'wrong'))

  expect(tally(replies)).toEqual({ 422: 10, 429: 1 })
  expect((await change(home, profile, owner.password)).status).toBe(303)
})

test('codes that strangers guess at /device hold up nobody who is signed in, nor a known device', async () => {
  const office = nextAddress()
  const home = browserAt(office)
  await home.signIn(owner)
  const { client } = await createClient(
    database.db,
    { name: 'Picture Frame', type: 'device', scopes: ['openid'] },
    BY,
  )
  const frame = { id: client.id, secret: '', redirect_uri: '' }
  const { body } = await call(server.issuer, '/device_authorization', frame, { scope: 'openid' })
  const typeIn = async (browser: Browser, user_code: string) =>
    browser.submit(await browser.open('/device'), 'Continue', { user_code })

  const replies = []
  for (let i = 0; i < 6; i++) {
    const stranger = browserAt(office)
    for (let n = 0; n < 9; n++) replies.push(await typeIn(stranger, 'BCDF-BCDF'))
  }

  expect(tally(replies)).toEqual({ 422: 50, 429: 4 })
  const code = String(body.user_code)
  expect((await typeIn(browserAt(office), code)).status).toBe(429)
  expect((await typeIn(home, code)).text).toContain('Connect Picture Frame?')
  await signOut(home)
  expect((await typeIn(home, code)).text).toContain('Connect Picture Frame?')
  // Ten of their own, signed in or not.
  for (let i = 0; i < 10; i++) expect((await typeIn(home, 'BCDF-BCDF')).status).toBe(422)
  expect((await typeIn(home, code)).status).toBe(429)
  await home.signIn(owner)
  expect((await typeIn(home, code)).status).toBe(429)
})

test('the cookie is for the server alone, lasts, and is the same after each sign-in; a wrong password sets none', async () => {
  const home = browserAt(nextAddress())
  const page = await home.open('/account')
  const { email, password } = owner
  const wrong = await home.submit(page, 'Sign in', { email, password: 'wrong' })
  const right = await home.submit(page, 'Sign in', { email, password })
  const again = await signInAt(home, owner)

  expect(deviceCookie(wrong)).toBeUndefined()
  const cookie = deviceCookie(right)!
  expect(cookie).toMatch(/^_device=[\w-]{22}; path=\/; expires=[^;]+; samesite=lax; httponly$/)
  const days = (Date.parse(/expires=([^;]+)/.exec(cookie)![1]!) - Date.now()) / 86_400_000
  expect(Math.round(days)).toBe(400)
  expect(deviceCookie(again)!.split(';')[0]).toBe(cookie.split(';')[0])
  expect(await devicesOf(owner)).toHaveLength(1)
  // It is no credential, and no table holds it.
  const value = /=([\w-]+)/.exec(cookie)![1]!
  const stored = await many<{ text: string }>(database.db, sql`select k::text as text from known_devices k`)
  expect(stored.some(({ text }) => text.includes(value))).toBe(false)
  const thief = new Browser(server.issuer)
  thief.jar.take(
    new URL(server.issuer),
    right.headers.getSetCookie().filter((line) => line.startsWith('_device')),
  )
  expect((await thief.open('/account')).text).toContain('name="password"')
})

test('an account remembers the twenty devices that signed in last, and none for ever', async () => {
  const first = browserAt(nextAddress())
  await first.signIn(owner)
  const second = browserAt(nextAddress())
  await second.signIn(owner)
  const others = Array.from({ length: 18 }, () => browserAt(nextAddress()))
  for (const browser of others) await browser.signIn(owner)
  await signOut(first)
  expect((await signInAt(first, owner)).status).toBe(303)

  expect(await devicesOf(owner)).toHaveLength(20)
  await browserAt(nextAddress()).signIn(owner)
  expect(await devicesOf(owner)).toHaveLength(20)
  await signOut(second)
  await lockOut(owner)
  expect((await signInAt(second, owner)).status).toBe(429)
  expect((await signInAt(first, owner)).status).toBe(303)
  await run(database.db, sql`update known_devices set expires_at = now() - interval '1 second'`)
  expect((await signInAt(first, owner)).status).toBe(429)
})

/** Five wrong passwords from each of eleven addresses, at both nodes. @returns how many answers had each status */
async function besiege({ email }: Person): Promise<Record<number, number>> {
  const from = async (node: string) => {
    const browser = browserAt(nextAddress(), node)
    const page = await browser.open('/account')
    const replies = []
    for (let i = 0; i < 5; i++)
      replies.push(await browser.submit(page, 'Sign in', { email, password: 'wrong' }))
    return replies
  }
  const replies = await Promise.all(Array.from({ length: 11 }, (_, i) => from(nodes[i % 2]!)))
  return tally(replies.flat())
}

/** What {@link besiege} leads to, without its work. */
async function lockOut({ email }: Person): Promise<void> {
  const key = `sign-in-account:${digest(email).toString('base64url')}`
  await run(
    database.db,
    sql`insert into rate_limits (key, points, expire)
        values (${key}, 51, (extract(epoch from now()) + 3600) * 1000)
        on conflict (key) do update set points = excluded.points, expire = excluded.expire`,
  )
  expect((await signInAt(browserAt(nextAddress()), { email, password: PASSWORD, id: '' })).status).toBe(429)
}

/** What a stranger is told of a besieged account, without what is different on each page. */
async function refusal(who: Person): Promise<string> {
  const { status, text } = await signInAt(browserAt(nextAddress()), who)
  expect(status).toBe(429)
  return text
    .replace(/(interaction\/|value=")[\w-]{20,}/g, '$1…')
    .replace(/\d+ minutes/g, '… minutes')
    .replaceAll(who.email, '…')
}

/** Types the password in on a page of its own. */
async function signInAt(browser: Browser, { email, password }: Person): Promise<Reply> {
  return browser.submit(await browser.open('/account'), 'Sign in', { email, password })
}

async function signOut(browser: Browser): Promise<void> {
  const page = await browser.open('/session/end')
  await browser.follow(await browser.submit(page, 'Sign out'))
  expect((await browser.open('/account')).text).toContain('name="password"')
}

function browserAt(address: string, node = nodes[0]!): Browser {
  const browser = new Browser(server.issuer, node)
  browser.headers = { ...browser.headers, 'x-forwarded-for': address }
  return browser
}

let addresses = 0
function nextAddress(): string {
  addresses += 1
  return `198.51.${100 + Math.floor(addresses / 250)}.${(addresses % 250) + 1}`
}

let people = 0
async function person(name: string): Promise<Person> {
  people += 1
  const email = `${name.toLowerCase()}-${people}@example.com`
  const { id } = await createUser(database.db, { email, name, password: PASSWORD, email_verified: true }, BY)
  return { id, email, password: PASSWORD }
}

function devicesOf({ id }: Person): Promise<{ device_id: string }[]> {
  return many(database.db, sql`select device_id from known_devices where user_id = ${id}`)
}

async function linkFor(id: string): Promise<string> {
  return (await sendReset(database.db, id, 'hand', BY))!.path!.split('/').at(-1)!
}

/** Makes the sign-ins of somebody an hour old. */
async function age({ id }: Person): Promise<void> {
  await run(
    database.db,
    sql`update sessions
        set payload = jsonb_set(payload::jsonb, '{loginTs}', to_jsonb((payload ->> 'loginTs')::bigint - 3600))::json
        where user_id = ${id}`,
  )
}

function deviceCookie({ headers }: Reply): string | undefined {
  return headers.getSetCookie().find((line) => line.startsWith('_device='))
}
