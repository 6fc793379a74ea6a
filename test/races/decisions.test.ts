// A decision about an authorization request is made once and goes on once, however often it is sent and to whichever of two
// processes over one database.
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals'
import { createClient } from '../../src/core/clients/create.ts'
import { one, sql } from '../../src/db/pool.ts'
import {
  asking,
  atOnce,
  authUrl,
  Browser,
  call,
  formWith,
  populate,
  type Reply,
  redeem,
  startTwo,
  tally,
  untilAnswered,
  type World,
} from '../support/attack.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

let database: TestDatabase
let world: World
let server: Awaited<ReturnType<typeof startTwo>>
let nodes: string[]
let browser: Browser
beforeAll(async () => {
  database = await createTestDatabase()
  world = await populate(database.db)
  server = await startTwo(database.url)
  nodes = [server.one.origin, server.two.origin]
})
afterAll(async () => {
  await server?.stop()
  await database?.drop()
})
beforeEach(() => {
  browser = new Browser(server.issuer)
})

test('Allow, pressed eight times at once, is one consent, one grant, and one code', async () => {
  const page = await consentPage()
  const before = await counted()

  const replies = await pressed(page, 'Allow', 8)
  expect(tally(replies)).toEqual({ 303: 8 })
  const ends = await followed(replies)

  expect(await since(before)).toEqual({ ins: 0, grants: 1, given: 1, codes: 1 })
  expect(ends.filter(hasCode)).toHaveLength(1)
  for (const end of ends) expectAWayOn(end)
  const code = ends.find(hasCode)!.next!.searchParams.get('code')!
  expect((await redeem(nodes[0]!, world.web, code)).status).toBe(200)
})

test('one decision that twenty requests go on with is one code, and the others are told that this is finished', async () => {
  const page = await consentPage()
  const decided = await browser.submit(page, 'Allow')
  const before = await counted()

  const replies = await atOnce(20, nodes, (node) => untilAnswered(() => same(node).get(decided.next!)))

  expect(await since(before)).toEqual({ ins: 0, grants: 0, given: 0, codes: 1 })
  const [lost, ...more] = replies.filter((reply) => !hasCode(reply))
  expect(more).toHaveLength(18)
  const said = await browser.follow(lost!)
  expect(said.status).toBe(200)
  expect(said.text).toContain('You have finished here')
  expect(said.text).toContain('To use Printer, go back to it')
})

test('so is one sign-in, where nothing else is asked', async () => {
  await browser.code(authUrl(world.web), world.alice)
  browser = new Browser(server.issuer)
  const page = await browser.open(authUrl(world.web))
  const { email, password } = world.alice
  const before = await counted()

  const replies = await atOnce(4, nodes, (node) =>
    untilAnswered(() => same(node).submit(page, 'Sign in', { email, password })),
  )
  expect(tally(replies)).toEqual({ 303: 4 })
  const ends = await Promise.all(
    replies.flatMap(({ next }) => [0, 1, 2].map((i) => untilAnswered(() => same(nodes[i % 2]!).get(next!)))),
  )

  expect(await since(before)).toEqual({ ins: 1, grants: 1, given: 0, codes: 1 })
  expect(ends.filter(hasCode)).toHaveLength(1)
})

test('Allow and Don’t allow at once: one of them is what happened', async () => {
  for (let round = 0; round < 4; round++) {
    const page = await consentPage()
    const before = await counted()

    const csrf = formWith(page, 'Allow').fields.get('csrf')!
    const [allowed, refused] = await Promise.all([
      pressed(page, 'Allow', 2),
      atOnce(2, nodes, (node) =>
        untilAnswered(() => same(node).request('POST', `${page.url.pathname}/abort`, { form: { csrf } })),
      ),
    ])
    const ends = await followed([...allowed, ...refused])

    const { grants, given, codes } = await since(before)
    expect([grants, given, codes].join()).toMatch(/^(0,0,0|1,1,1)$/)
    const answers = ends.filter(({ next }) => next?.href.startsWith(world.web.redirect_uri))
    expect(answers).toHaveLength(1)
    expect(answers[0]!.next!.searchParams.get('error')).toBe(codes ? null : 'access_denied')
  }
})

test('a pushed request in two browsers is one code, whatever is sent twice in each', async () => {
  await browser.code(authUrl(world.web), world.alice)
  const pushed = await call(nodes[0]!, '/par', world.web, asking(world.web, { prompt: 'consent' }))
  const url = `/auth?${new URLSearchParams({ client_id: world.web.id, request_uri: String(pushed.body.request_uri) })}`
  const before = await counted()

  const ends: Reply[] = []
  const pages: [Browser, Reply][] = []
  for (let i = 0; i < 2; i++) {
    browser = new Browser(server.issuer, nodes[i])
    pages.push([browser, await browser.follow(await signIn(await browser.open(url)))])
  }
  await Promise.all(
    pages.map(async ([mine, page]) => {
      const sent = await Promise.all([1, 2].map(() => untilAnswered(() => mine.submit(page, 'Allow'))))
      ends.push(...(await Promise.all(sent.map((reply) => untilAnswered(() => mine.follow(reply))))))
    }),
  )

  expect(ends.filter(hasCode)).toHaveLength(1)
  expect((await since(before)).codes).toBe(1)
  for (const end of ends) expect(end.status).toBeLessThan(500)
})

test('what fails while it goes on leaves the decision, and the pushed request it came from, to the next try', async () => {
  await browser.code(authUrl(world.web), world.alice)
  const pushed = await call(nodes[0]!, '/par', world.web, asking(world.web))
  const direct = `/auth?${new URLSearchParams({ client_id: world.web.id, request_uri: String(pushed.body.request_uri) })}`
  const mine = browser
  const page = await consentPage()
  const decided = await browser.submit(page, 'Allow')
  await database.db.pg.query(`
    create function no_code() returns trigger language plpgsql as $$
      begin raise exception using errcode = '53300', message = 'too many of them'; end $$;
    create trigger no_code before insert on tokens for each row
      when (new.kind = 'authorization_code') execute function no_code();`)

  const failed = [await browser.get(decided.next!), await mine.get(direct)]
  await database.db.pg.query('drop function no_code cascade')

  for (const { status, next } of failed) {
    expect(status === 503 || next?.searchParams.get('error') === 'temporarily_unavailable').toBe(true)
  }
  expect(hasCode(await browser.get(decided.next!))).toBe(true)
  expect(hasCode(await mine.get(direct))).toBe(true)
  expect(hasCode(await mine.get(direct))).toBe(false)
})

test('a device that is allowed eight times at once gets tokens, on one grant', async () => {
  const { client } = await createClient(
    database.db,
    { name: 'Television', type: 'device', scopes: ['openid', 'photos.read'] },
    { type: 'cli' },
  )
  const tv = { id: client.id, secret: '', redirect_uri: '' }
  const asked = await call(nodes[0]!, '/device_authorization', tv, { scope: 'photos.read' })
  const { user_code, device_code } = asked.body as Record<string, string>
  const entered = await browser.submit(await browser.open('/device'), 'Continue', { user_code: user_code! })
  const page = await browser.follow(
    await signIn(await browser.follow(await browser.submit(entered, 'Continue'))),
  )
  expect(page.text).toContain('Television wants access')
  const before = await counted()

  const replies = await pressed(page, 'Allow', 8)
  const ends = await followed(replies)

  expect(await since(before)).toEqual({ ins: 0, grants: 1, given: 1, codes: 0 })
  expect(ends.filter(({ text }) => text.includes('Your device is connected'))).toHaveLength(1)
  const form = { grant_type: 'urn:ietf:params:oauth:grant-type:device_code', device_code: device_code! }
  expect((await call(nodes[1]!, '/token', tv, form)).status).toBe(200)
})

async function consentPage(): Promise<Reply> {
  browser = new Browser(server.issuer)
  const page = await browser.follow(
    await signIn(await browser.open(authUrl(world.web, { prompt: 'consent' }))),
  )
  expect(page.text).toContain('>Allow</button>')
  return page
}

function signIn(page: Reply): Promise<Reply> {
  const { email, password } = world.alice
  return browser.submit(page, 'Sign in', { email, password })
}

/** Another connection of this browser, at this node. */
function same(node: string): Browser {
  const other = new Browser(server.issuer, node)
  Object.defineProperty(other, 'jar', { value: browser.jar })
  return other
}

/** The same press many times at once, in turns at both nodes. */
function pressed(page: Reply, button: string, times: number): Promise<Reply[]> {
  formWith(page, button)
  return atOnce(times, nodes, (node) => untilAnswered(() => same(node).submit(page, button)))
}

function followed(replies: Reply[]): Promise<Reply[]> {
  return Promise.all(replies.map((reply, i) => untilAnswered(() => same(nodes[i % 2]!).follow(reply))))
}

function hasCode({ next }: Reply): boolean {
  return next?.searchParams.has('code') ?? false
}

function expectAWayOn(end: Reply): void {
  expect(end.status).toBeLessThan(500)
  if (!hasCode(end)) expect(end.text).toMatch(/You have finished here|This page has expired/)
}

interface Counted {
  /** Sign-ins that succeeded. */
  ins: number
  grants: number
  given: number
  codes: number
}

function counted(): Promise<Counted> {
  return one<Counted>(
    database.db,
    sql`select (select count(*)::int from audit_events where type = 'sign_in.succeeded') as ins,
               (select count(*)::int from grants) as grants,
               (select count(*)::int from audit_events where type = 'consent.given') as given,
               (select count(*)::int from tokens where kind = 'authorization_code') as codes`,
  )
}

async function since(before: Counted): Promise<Counted> {
  const now = await counted()
  return {
    ins: now.ins - before.ins,
    grants: now.grants - before.grants,
    given: now.given - before.given,
    codes: now.codes - before.codes,
  }
}
