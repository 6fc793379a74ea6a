// The connection to PostgreSQL breaks at every point between a request and its answer: before a statement arrives, after it
// is carried out, in the middle of what it answers. Whoever was told 503 sends the same request again and gets what the first
// one would have given: nothing is lost, nothing counts as a replay, nothing happens by halves.
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { stripVTControlCharacters } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { textOf } from '../../demo/form.ts'
import { digest } from '../../src/base/credentials.ts'
import { createClient } from '../../src/core/clients/create.ts'
import { addOwner, findOwners } from '../../src/core/clients/owners.ts'
import { createInvitation } from '../../src/core/ownership/invitations.ts'
import { createRegistrationToken } from '../../src/core/registration/initial-access-tokens.ts'
import { sendReset } from '../../src/core/users/reset-links.ts'
import { createSetupLink } from '../../src/core/users/setup-links.ts'
import { setPassword } from '../../src/core/users/sign-in.ts'
import { createUser } from '../../src/core/users/store.ts'
import { many, maybe, openPool, type Pool, run, sql } from '../../src/db/pool.ts'
import {
  type App,
  asking,
  authUrl,
  Browser,
  call,
  formWith,
  isActive,
  type Person,
  populate,
  type Reply,
  redeem,
  refresh,
  send,
  type World,
} from '../support/attack.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { openProxy, type Place, placeOf, type TcpProxy, throughProxy } from '../support/proxy.ts'
import { startApp, type TestApp } from '../support/server.ts'

const BY = { type: 'cli' } as const
// Whoever would wait for ever is told apart from whoever waits on a machine that stands still.
const SOON_MS = 60_000
const MOST_TRIPS = 60
// What breaks here breaks at once; nothing is to be taken for broken because the machine stands still.
const PATIENCE_SECONDS = 60
// Here every third place of each request, another one for each of them, in one of the ways in which it can break. `npm run drill` tries
// every place in all of them.
const ALL = process.env.CUT === 'all'
const WAYS = ['asked', 'done', 'told'] as const
const STEP = ALL ? 1 : 3

let database: TestDatabase
let proxy: TcpProxy
let db: Pool
let app: TestApp
let second: TestApp
/** Where requests go: to the node whose way breaks, or to the other one. */
let node: string
let world: World
let device: App
let alice: Browser
let again: Browser
let carol: Person
let keys: Awaited<ReturnType<typeof generateKeyPair>>
beforeAll(async () => {
  keys = await generateKeyPair('ES256', { extractable: true })
  database = await createTestDatabase()
  world = await populate(database.db)
  const scopes = ['openid', 'profile', 'email', 'offline_access', 'photos.read']
  const made = await createClient(database.db, { name: 'Frame', type: 'device', scopes }, BY)
  device = { id: made.client.id, secret: made.secret ?? '', redirect_uri: '' }
  proxy = await openProxy(placeOf(database.url), 'postgres')
  db = openPool(throughProxy(database.url, proxy), 4, PATIENCE_SECONDS)
  const env = { DYNAMIC_REGISTRATION: 'token' }
  app = await startApp({ db, env })
  node = app.origin
  second = await startApp({ db: database.db, env: { ...env, ISSUER_URL: app.origin } })
  alice = new Sent(app.origin)
  await alice.code(authUrl(world.web), world.alice)
  again = new Sent(app.origin)
  await again.code(authUrl(world.spa), world.bob)
  const { id } = await createUser(database.db, { email: 'carol@example.com', name: 'Carol' }, BY)
  carol = { id, email: 'carol@example.com', password: '' }
  await addOwner(database.db, world.web.id, world.alice.id)
})
afterAll(async () => {
  proxy?.pass()
  await Promise.all([app?.stop(), second?.stop()])
  await db?.close()
  await proxy?.close()
  await database?.drop()
})

/** A browser whose requests go where they are all sent. */
class Sent extends Browser {
  override async request(...args: Parameters<Browser['request']>) {
    this.node = node
    const reply = await super.request(...args)
    return isMended && isTryAgain(reply) ? comeAgain(() => super.request(...args)) : reply
  }
}

/** Whether nothing breaks any more: what is asked then may still meet connections that broke, and is asked again. */
let isMended = false

/** Asks as whoever was told 503 does, which is no more than some seconds after the fault is over. */
async function comeAgain<T extends Answer>(again: () => Promise<T>): Promise<T> {
  const until = performance.now() + SOON_MS
  for (;;) {
    const answer = await soon(again)
    if (!isTryAgain(answer) || performance.now() > until) return answer
    await sleep(100)
  }
}

/** A request that can be sent again, and what it gives. */
interface Attempt {
  send(): Promise<Answer>
  /** What an app does that is told by a redirect that the server is not available; absent: it sends the same. */
  anew?(): Promise<Answer>
  /** Fails unless this answer is what the request gives when nothing breaks, with all that follows from it. */
  right(answer: Answer): Promise<void>
}

interface Answer {
  status: number
  headers: Headers
  body?: Record<string, unknown>
  text?: string
  next?: URL
}

const ENDPOINTS: [name: string, prepare: () => Promise<Attempt>][] = [
  [
    'POST /token with a code',
    async () => {
      const code = await alice.code(authUrl(world.web))
      return { send: () => redeem(node, world.web, code), right: bringsTokens(world.web) }
    },
  ],
  [
    'POST /token with a refresh token',
    async () => {
      const { refresh_token } = await connect()
      return { send: () => refresh(node, world.web, refresh_token), right: bringsTokens(world.web) }
    },
  ],
  [
    'POST /token with a code and a DPoP proof',
    async () => {
      const code = await alice.code(authUrl(world.web))
      return {
        // A proof is for one request (RFC 9449 §4.2): who asks again makes another.
        send: async () => redeem(node, world.web, code, { DPoP: await proof('POST', '/token') }),
        right: bringsTokens(world.web),
      }
    },
  ],
  [
    'POST /token with client credentials',
    async () => ({
      send: () => call(node, '/token', world.service, { grant_type: 'client_credentials' }),
      async right({ status, body }) {
        expect(status).toBe(200)
        expect(await isActive(node, world.service, String(body!.access_token))).toBe(true)
      },
    }),
  ],
  [
    'POST /register with a token for one app',
    async () => {
      const allowed = { scopes: ['openid'], maxUses: 1, days: 1 }
      const { token, value } = await createRegistrationToken(database.db, allowed, BY)
      return {
        send: () =>
          send('POST', node, '/register', {
            headers: { authorization: `Bearer ${value}`, 'content-type': 'application/json' },
            body: JSON.stringify({ redirect_uris: ['https://app.example/callback'] }),
          }),
        async right({ status, text }) {
          expect(status).toBe(201)
          const { client_id, registration_access_token } = JSON.parse(text!)
          const headers = { authorization: `Bearer ${registration_access_token}` }
          expect((await send('GET', node, `/register/${client_id}`, { headers })).status).toBe(200)
          const left = await many<{ id: string; uses: number }>(
            database.db,
            sql`select c.id, t.uses from registration_tokens t
                join client_registrations r on r.token_id = t.id join clients c on c.id = r.client_id
                where t.id = ${token.id} and c.deleted_at is null`,
          )
          expect(left).toEqual([{ id: client_id, uses: 1 }])
        },
      }
    },
  ],
  [
    'POST /token with a device code',
    async () => {
      const { device_code, user_code } = await startDevice()
      const page = await typeIn(user_code)
      const asked = await alice.follow(await alice.submit(page, 'Continue'))
      expect((await alice.follow(await alice.submit(asked, 'Allow'))).text).toContain(
        'Your device is connected',
      )
      const form = { grant_type: 'urn:ietf:params:oauth:grant-type:device_code', device_code }
      return { send: () => call(node, '/token', device, form), right: bringsTokens(device) }
    },
  ],
  [
    'POST /token with a device code that nobody has decided about',
    async () => {
      const { device_code } = await startDevice()
      const form = { grant_type: 'urn:ietf:params:oauth:grant-type:device_code', device_code }
      return {
        send: () => call(node, '/token', device, form),
        async right({ status, body }) {
          expect([status, body!.error]).toEqual([400, 'authorization_pending'])
        },
      }
    },
  ],
  [
    'POST /revoke of a refresh token',
    async () => {
      const { access_token, refresh_token } = await connect()
      return {
        send: () => call(node, '/revoke', world.web, { token: refresh_token }),
        async right({ status }) {
          expect(status).toBe(200)
          expect(await activeOf([access_token, refresh_token])).toEqual([false, false])
        },
      }
    },
  ],
  [
    'POST /revoke of an access token',
    async () => {
      const { access_token, refresh_token } = await connect()
      return {
        send: () => call(node, '/revoke', world.web, { token: access_token }),
        async right({ status }) {
          expect(status).toBe(200)
          expect(await activeOf([access_token, refresh_token])).toEqual([false, true])
        },
      }
    },
  ],
  [
    'POST /introspect',
    async () => {
      const { access_token } = await connect()
      return {
        send: () => call(node, '/introspect', world.api, { token: access_token }),
        async right({ status, body }) {
          expect([status, body!.active]).toEqual([200, true])
        },
      }
    },
  ],
  [
    'GET /userinfo',
    async () => {
      const { access_token } = await connect('openid email')
      const headers = { authorization: `Bearer ${access_token}` }
      return {
        send: () => send('GET', node, '/userinfo', { headers }),
        async right({ status, text }) {
          expect(status).toBe(200)
          expect(JSON.parse(text!).email).toBe(world.alice.email)
        },
      }
    },
  ],
  [
    'POST /par',
    async () => ({
      send: () => call(node, '/par', world.web, asking(world.web)),
      async right({ status, body }) {
        expect(status).toBe(201)
        await alice.code(pushedUrl(body!))
      },
    }),
  ],
  [
    'POST /device_authorization',
    async () => ({
      send: () => call(node, '/device_authorization', device, { scope: 'openid photos.read' }),
      async right({ status, body }) {
        expect(status).toBe(200)
        expect((await typeIn(String(body!.user_code))).text).toContain('Connect Frame?')
      },
    }),
  ],
  ['GET /auth, signed in', async () => leadsToTheApp(world.web, () => alice.get(authUrl(world.web)))],
  [
    'GET /auth with a pushed request, signed in',
    async () => {
      const { body } = await call(node, '/par', world.web, asking(world.web))
      return leadsToTheApp(world.web, () => alice.get(pushedUrl(body)), asksAgain(alice, world.web))
    },
  ],
  [
    'GET /auth, signed out',
    async () => {
      const bob = new Sent(app.origin)
      return {
        send: () => bob.get(authUrl(world.spa)),
        async right(answer) {
          expect(answer.status).toBe(303)
          const page = await bob.follow(answer as Reply)
          expect(page.text).toContain('name="password"')
          await usable(world.spa, await bob.code(page.url, world.bob))
        },
      }
    },
  ],
  [
    'POST of a sign-in',
    async () => {
      const bob = new Sent(app.origin)
      const page = await bob.open(authUrl(world.spa))
      return {
        send: () => bob.submit(page, 'Sign in', signInAs(world.bob)),
        async right(answer) {
          expect(answer.status).toBe(303)
          await usable(world.spa, await bob.code(answer.next!))
        },
      }
    },
  ],
  [
    'GET /auth/{uid} after a sign-in',
    async () => {
      const bob = new Sent(app.origin)
      const accepted = await bob.submit(await bob.open(authUrl(world.spa)), 'Sign in', signInAs(world.bob))
      return leadsToTheApp(world.spa, () => bob.get(accepted.next!), asksAgain(bob, world.spa))
    },
  ],
  [
    'GET /auth/{uid} after somebody who is signed in has signed in anew',
    async () => {
      const page = await again.open(authUrl(world.spa, { prompt: 'login' }))
      const accepted = await again.submit(page, 'Sign in', signInAs(world.bob))
      const before = cookieOf(again)
      // Nobody signs in for it: they are signed in.
      const get = () => again.get(accepted.next!)
      const attempt = leadsToTheApp(world.spa, get, () => again.get(authUrl(world.spa)))
      return {
        ...attempt,
        async right(answer) {
          await attempt.right(answer)
          expect((await again.open('/account')).text).toContain(world.bob.email)
          // The id from before is good only where the browser has no other.
          expect(await lives(before)).toBe(cookieOf(again) === before)
        },
      }
    },
  ],
  [
    'POST of a consent',
    async () => {
      const page = await alice.open(authUrl(world.web, { prompt: 'consent' }))
      return {
        send: () => alice.submit(page, 'Allow'),
        async right(answer) {
          expect(answer.status).toBe(303)
          const { next } = await alice.follow(answer as Reply)
          await usable(world.web, next!.searchParams.get('code')!)
        },
      }
    },
  ],
  [
    'GET /auth/{uid} after a consent',
    async () => {
      const decided = await alice.submit(await alice.open(authUrl(world.web, { prompt: 'consent' })), 'Allow')
      return leadsToTheApp(world.web, () => alice.get(decided.next!), asksAgain(alice, world.web))
    },
  ],
  [
    'GET /auth/{uid} after “Don’t allow”, pushed',
    async () => {
      const { body } = await call(node, '/par', world.web, asking(world.web, { prompt: 'consent' }))
      const { action, fields } = formWith(await alice.open(pushedUrl(body)), 'Allow')
      const to = String(action).replace(/consent$/, 'abort')
      const decided = await alice.request('POST', to, { form: fields })
      return {
        send: () => alice.get(decided.next!),
        async right({ status, next }) {
          expect([status, next?.searchParams.get('error')]).toEqual([303, 'access_denied'])
        },
      }
    },
  ],
  [
    'POST of the code that a device shows',
    async () => {
      const { user_code } = await startDevice()
      const form = await alice.open('/device')
      return {
        send: () => alice.submit(form, 'Continue', { user_code }),
        async right(answer) {
          expect(textOf(answer.text!)).toContain('Connect Frame?')
        },
      }
    },
  ],
  [
    'GET /session/end',
    async () => ({
      send: () => alice.get('/session/end'),
      async right({ status, text }) {
        expect([status, text]).toEqual([200, expect.stringContaining('Sign out')])
      },
    }),
  ],
  [
    'POST /session/end/confirm',
    async () => {
      const bob = new Sent(app.origin)
      await bob.signIn(world.bob)
      const page = await bob.open('/session/end')
      return {
        send: () => bob.submit(page, 'Sign out'),
        async right(answer) {
          // As by the first of two clicks.
          const done = answer.status === 400 ? answer.text : (await bob.follow(answer as Reply)).text
          expect(textOf(done!)).toContain('You are signed out')
          expect((await bob.open('/account')).text).toContain('name="password"')
        },
      }
    },
  ],
  [
    'POST of the removal of an app',
    async () => {
      const { access_token, refresh_token } = await connect()
      const page = await alice.open(`/account/apps/${world.web.id}/remove`)
      return {
        send: () => alice.submit(page, 'Remove'),
        async right(answer) {
          // Removed already, as by the first of two clicks: the list says so.
          if (answer.status !== 303) expect([answer.status, answer.text]).toEqual([404, hasNoAccess])
          expect(await activeOf([access_token, refresh_token])).toEqual([false, false])
        },
      }
    },
  ],
  [
    'POST of the first administrator',
    async () => {
      await run(database.db, sql`update users set role = 'user'`)
      const link = `/setup/${await createSetupLink(database.db)}`
      const root = new Sent(app.origin)
      const page = await root.open(link)
      const password = randomUUID()
      const typed = { name: 'Root', email: `${password}@example.com`, password }
      return {
        send: () => root.submit(page, 'Create the administrator', typed),
        async right({ status, next }) {
          expect([status, next?.pathname]).toEqual([303, '/account'])
          expect((await root.signIn({ id: '', ...typed })).text).toContain(typed.email)
          const admins = await many(database.db, sql`select email from users where role = 'admin'`)
          expect(admins).toEqual([{ email: typed.email }])
        },
      }
    },
  ],
  [
    'POST of a new password by a link',
    async () => {
      const sent = await sendReset(database.db, carol.id, 'hand', BY)
      const browser = new Sent(app.origin)
      const page = await browser.open(sent!.path!)
      carol.password = randomUUID()
      return {
        send: () => browser.submit(page, 'Set the password', { password: carol.password }),
        async right({ status, next }) {
          expect([status, next?.pathname]).toEqual([303, '/reset/done'])
          expect((await browser.signIn(carol)).text).toContain(carol.email)
        },
      }
    },
  ],
  [
    'POST of a new password on the account page',
    async () => {
      const before = randomUUID()
      await setPassword(database.db, carol.id, before, BY)
      const browser = new Sent(app.origin)
      await browser.signIn({ ...carol, password: before })
      const page = await browser.open('/account')
      carol.password = randomUUID()
      const typed = { current_password: before, new_password: carol.password }
      return {
        send: () => browser.submit(page, 'Change password', typed),
        async right(answer) {
          expect(answer.status).toBe(303)
          const { text } = await browser.follow(answer as Reply)
          expect(text).toContain('Your password was changed')
          expect((await new Sent(app.origin).signIn(carol)).text).toContain(carol.email)
        },
      }
    },
  ],
  [
    'POST of an accepted invitation',
    async () => {
      await run(database.db, sql`delete from client_owners where user_id = ${world.bob.id}`)
      const [by, mailed] = [{ type: 'user' as const, id: world.alice.id }, false]
      const made = await createInvitation(database.db, world.web.id, world.bob.email, { mailed }, by)
      const page = await again.open(`/developer/invitations/${made!.secret}`)
      return {
        send: () => again.submit(page, 'Accept'),
        async right({ status, next }) {
          expect([status, next?.pathname]).toEqual([303, `/developer/apps/${world.web.id}`])
          const owners = await findOwners(database.db, world.web.id)
          expect(owners.map(({ id }) => id)).toEqual([world.alice.id, world.bob.id])
        },
      }
    },
  ],
]

describe.each(ENDPOINTS)('%s', (name, prepare) => {
  test.each<[string, How]>([
    ['everything is away until it is mended', { only: false, again: 'mended', ways: ['done'] }],
    ['one connection breaks', { only: true, again: 'mended', ways: ['asked', 'told'] }],
  ])(
    '%s',
    async (_how, how) => {
      expect(await cutEverywhere(prepare, how, firstPlace(name))).toEqual([])
    },
    1_200_000,
  )
})

// What these use up looks used to another node, and only this one knows that it was not answered.
const USING = [
  'POST /token with a code',
  'POST /token with a refresh token',
  'POST /token with a device code',
  'POST /token with a device code that nobody has decided about',
  'GET /auth with a pushed request, signed in',
  'GET /auth/{uid} after a sign-in',
  'GET /auth/{uid} after somebody who is signed in has signed in anew',
  'GET /auth/{uid} after a consent',
  'POST of the first administrator',
  'POST of a new password by a link',
  'POST of a new password on the account page',
  'POST of an accepted invitation',
]

test.each(ENDPOINTS.filter(([name]) => USING.includes(name)))(
  '%s: this node has no way to the database, and the same comes again at another',
  async (name, prepare) => {
    const how: How = { only: false, again: 'elsewhere', ways: ['done'] }
    expect(await cutEverywhere(prepare, how, firstPlace(name))).toEqual([])
  },
  1_200_000,
)

const hasNoAccess = expect.stringContaining('That app has no access to your account')

interface How {
  /** Whether only the connection breaks, or all ways of this node do. */
  only: boolean
  /** When and where the same request is sent again. */
  again: 'mended' | 'elsewhere'
  /** In turns, where not all are tried. */
  ways: readonly Place['when'][]
}

/** The trip at which an endpoint breaks first. */
function firstPlace(name: string): number {
  return 1 + (ENDPOINTS.findIndex(([each]) => each === name) % STEP)
}

/** Sends a request once for each place where it can break. @returns what was wrong, and where */
async function cutEverywhere(prepare: () => Promise<Attempt>, how: How, first: number): Promise<string[]> {
  const { only, again, ways } = how
  const wrong: string[] = []
  let cuts = 0
  for (let trip = first, reached = true; reached; trip += STEP) {
    expect(trip).toBeLessThan(MOST_TRIPS)
    for (const when of ALL && again === 'mended' ? WAYS : [ways[cuts % ways.length]!]) {
      // Codes of devices and sign-ins are counted, and here there are many.
      await run(database.db, sql`delete from rate_limits`)
      isMended = true
      const attempt = await prepare()
      isMended = false
      const cut = proxy.cutAt({ trip, when, only })
      const mend = () => {
        cut.disarm()
        proxy.pass()
        node = app.origin
        isMended = true
      }
      const problem = await (again === 'mended' ? twice(attempt, mend) : elsewhere(attempt, mend))
        .catch(inOneLine)
        .finally(mend)
      reached = cut.happened()
      if (reached) cuts++
      if (problem) wrong.push(`trip ${trip}, ${when}: ${problem}`)
      if (!reached) break
    }
  }
  // Its answer came before: it has fewer places than that.
  if (cuts === 0 && first > 1) return cutEverywhere(prepare, how, 1)
  expect(cuts).toBeGreaterThan(0)
  return wrong
}

function inOneLine({ message }: Error): string {
  return stripVTControlCharacters(message).replace(/\s+/g, ' ').slice(0, 400)
}

async function twice({ send, anew = send, right }: Attempt, mend: () => void): Promise<void> {
  const first = await soon(send).finally(mend)
  if (isTryAgain(first)) return right(await comeAgain(send))
  return right(isToldTheApp(first) ? await soon(anew) : first)
}

// The other node may not know yet what became of the first request, and says 503 until the node that knows is back.
async function elsewhere({ send, anew = send, right }: Attempt, mend: () => void): Promise<void> {
  const first = await soon(send)
  node = second.origin
  const same = isToldTheApp(first) ? anew : send
  let last = first
  while (isTryAgain(last) || isToldTheApp(last)) {
    if (last !== first) mend()
    node = second.origin
    // The node that is back gives back within half a second; to ask sooner would be to wait for its answer.
    await sleep(last === first ? 0 : 600)
    last = await soon(same)
  }
  mend()
  return right(last)
}

function isTryAgain({ status, headers }: Answer): boolean {
  if (status === 503) expect(Number(headers.get('retry-after'))).toBeGreaterThan(0)
  return status === 503
}

// The answer of an authorization request is the app's (RFC 6749 §4.1.2.1), and what was pushed or decided for it is over.
function isToldTheApp({ status, next }: Answer): boolean {
  return status === 303 && next?.searchParams.get('error') === 'temporarily_unavailable'
}

async function soon<T>(work: () => Promise<T>): Promise<T> {
  const started = performance.now()
  const done = await work()
  expect(performance.now() - started).toBeLessThan(SOON_MS)
  return done
}

function cookieOf(browser: Browser): string {
  return /(?:^|; )_session=([^;]*)/.exec(browser.jar.header(new URL(app.origin)) ?? '')![1]!
}

/** Whether anybody is signed in with a session's id. */
async function lives(id: string): Promise<boolean> {
  const session = await maybe(database.db, sql`select from sessions where hash = ${digest(id)}`)
  return session !== undefined
}

/** Tokens of alice for the web app. */
async function connect(
  scope = 'openid profile email photos.read',
): Promise<{ access_token: string; refresh_token: string }> {
  const { body } = await redeem(node, world.web, await alice.code(authUrl(world.web, { scope })))
  return body as { access_token: string; refresh_token: string }
}

/** Whether tokens of the web app live. */
function activeOf(tokens: string[]): Promise<boolean[]> {
  return Promise.all(tokens.map((token) => isActive(node, world.web, token)))
}

function bringsTokens(to: App): Attempt['right'] {
  return async ({ status, body }) => {
    expect([status, body]).toEqual([200, expect.objectContaining({ access_token: expect.any(String) })])
    const { access_token, refresh_token } = body as { access_token: string; refresh_token: string }
    expect(await isActive(node, to, access_token)).toBe(true)
    expect(await isActive(node, to, refresh_token)).toBe(true)
  }
}

/** A request of a browser that leads back to an app with a code. */
function leadsToTheApp(to: App, get: () => Promise<Reply>, anew = get): Attempt {
  return {
    send: get,
    anew,
    async right({ status, next }) {
      expect([status, next?.search]).toEqual([303, expect.stringContaining('code=')])
      await usable(to, next!.searchParams.get('code')!)
    },
  }
}

/** The next authorization request of an app: its person is signed in by now, or signs in. */
function asksAgain(browser: Browser, to: App): () => Promise<Reply> {
  return () => browser.authorize(authUrl(to), to === world.web ? world.alice : world.bob)
}

async function usable(by: App, code: string): Promise<void> {
  expect((await redeem(node, by, code)).status).toBe(200)
}

function pushedUrl({ request_uri }: Record<string, unknown>): string {
  return `/auth?${new URLSearchParams({ client_id: world.web.id, request_uri: String(request_uri) })}`
}

function signInAs({ email, password }: Person): Record<string, string> {
  return { email, password }
}

async function startDevice(): Promise<{ device_code: string; user_code: string }> {
  const form = { scope: 'openid offline_access photos.read' }
  const { body } = await call(node, '/device_authorization', device, form)
  return body as { device_code: string; user_code: string }
}

/** Types the code of a device in, as far as the page that asks whether it is one's own. */
async function typeIn(user_code: string): Promise<Reply> {
  return alice.submit(await alice.open('/device'), 'Continue', { user_code })
}

async function proof(htm: string, path: string): Promise<string> {
  return new SignJWT({ htm, htu: `${app.origin}${path}`, jti: randomUUID() })
    .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk: await exportJWK(keys.publicKey) })
    .setIssuedAt()
    .sign(keys.privateKey)
}
