// Whatever is sent to whatever address: a clear refusal in the right form, never an error of ours, never a word about what
// runs inside, and not a row more or less in any table.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { createSetupLink } from '../../src/core/users/setup-links.ts'
import { many, one, sql } from '../../src/db/pool.ts'
import {
  asking,
  authUrl,
  Browser,
  call,
  formWith,
  populate,
  type Reply,
  redeem,
  type Sent,
  send,
  type World,
} from '../support/attack.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { startApp, type TestApp } from '../support/server.ts'

let database: TestDatabase
let app: TestApp
let world: World
let alice: Browser
let deciding: Browser
let basic: string
/** Addresses that take forms, with what makes the form itself a good one. */
let targets: { path: string; as: 'program' | Browser; csrf?: string }[]
beforeAll(async () => {
  database = await createTestDatabase()
  world = await populate(database.db)
  app = await startApp({ db: database.db })
  basic = `Basic ${Buffer.from(`${world.web.id}:${world.web.secret}`).toString('base64')}`
  alice = new Browser(app.origin)
  await redeem(app.origin, world.web, await alice.code(authUrl(world.web), world.alice))
  const profile = await alice.open('/account')
  const ofSession = formWith(profile, 'Save name').fields.get('csrf')!
  deciding = new Browser(app.origin)
  // Without a scope that cannot be unticked: a decision for nothing is no decision.
  const signIn = await deciding.open(authUrl(world.spa, { scope: 'photos.read' }))
  const other = new Browser(app.origin)
  const login = await other.open(authUrl(world.spa))
  const { email, password } = world.bob
  const consent = await deciding.follow(await deciding.submit(signIn, 'Sign in', { email, password }))
  const link = `/setup/${await createSetupLink(database.db)}`
  const csrfOf = (page: Reply, button: string) => formWith(page, button).fields.get('csrf')!
  const setup = await new Browser(app.origin).open(link)
  targets = [
    ...['/token', '/introspect', '/revoke', '/par', '/userinfo', '/auth'].map((path) => ({
      path,
      as: 'program' as const,
    })),
    { path: `${login.url.pathname}/login`, as: other, csrf: csrfOf(login, 'Sign in') },
    { path: `${consent.url.pathname}/consent`, as: deciding, csrf: csrfOf(consent, 'Allow') },
    { path: link, as: new Browser(app.origin), csrf: csrfOf(setup, 'Create') },
    { path: '/account/name', as: alice, csrf: ofSession },
    { path: '/account/password', as: alice, csrf: ofSession },
    { path: '/account/apps/no-such-app/remove', as: alice, csrf: ofSession },
    { path: '/session/end/confirm', as: alice },
  ]
})
afterAll(async () => {
  await app?.stop()
  await database?.drop()
})

let before: Record<string, number>
beforeEach(async () => {
  before = await rowCounts()
})

const FORM = { 'content-type': 'application/x-www-form-urlencoded' }
const SQL = `'; drop table users; --`
const HTML = `"><script>alert(1)</script>{{7*7}}`
const FIELDS =
  'grant_type client_id client_secret code redirect_uri code_verifier refresh_token scope resource token token_type_hint ' +
  'response_type state nonce request request_uri id_token_hint login_hint prompt max_age claims acr_values ui_locales ' +
  'email password name current_password new_password keep xsrf logout'
const everyField = (value: string) =>
  new URLSearchParams(FIELDS.split(' ').map((field): [string, string] => [field, value]))

const BODIES: [string, Sent][] = [
  ['JSON', { headers: { 'content-type': 'application/json' }, body: '{"grant_type":"client_credentials"}' }],
  ['broken JSON', { headers: { 'content-type': 'application/json' }, body: '{"a":' }],
  ['a multipart form', { headers: { 'content-type': 'multipart/form-data; boundary=x' }, body: '--x--' }],
  ['plain text', { headers: { 'content-type': 'text/plain' }, body: 'hello' }],
  [
    'XML',
    {
      headers: { 'content-type': 'text/xml' },
      body: '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>',
    },
  ],
  ['a body of no type', { body: 'a=b' }],
  ['a type that is none', { headers: { 'content-type': ';;;' }, body: 'a=b' }],
  ['no body', { headers: FORM, body: '' }],
  ['a megabyte', { headers: FORM, body: `name=${'a'.repeat(1_000_000)}` }],
  [
    'ten thousand fields',
    { headers: FORM, body: Array.from({ length: 9_000 }, (_, i) => `f${i}`).join('&') },
  ],
  ['broken percent signs', { headers: FORM, body: 'client_id=%&grant_type=%zz&name=%E0%A4%A&email=%' }],
  ['invalid UTF-8', { headers: FORM, body: Buffer.from([...Buffer.from('name='), 0xff, 0xfe, 0x80]) }],
  ['invalid UTF-8, encoded', { headers: FORM, body: 'name=%FF%FE&client_id=%FF&email=%C0%AF' }],
  ['half a surrogate', { headers: FORM, body: 'name=%ED%A0%80&client_id=%ED%A0%80&token=%ED%A0%80x' }],
  ['NUL in every field', { form: everyField('a\0b') }],
  ['CR and LF in every field', { form: everyField('a\r\nSet-Cookie: evil=1') }],
  ['SQL in every field', { form: everyField(SQL) }],
  ['HTML in every field', { form: everyField(HTML) }],
  ['a long word in every field', { form: everyField('x'.repeat(1_500)) }],
  ['every field twice', { form: new URLSearchParams([...everyField('a'), ...everyField('b')]) }],
  [
    'arrays',
    {
      headers: FORM,
      body: FIELDS.split(' ')
        .map((field) => `${field}[]=a&${field}[]=b`)
        .join('&'),
    },
  ],
  [
    'objects',
    {
      headers: FORM,
      body: FIELDS.split(' ')
        .map((field) => `${field}[$ne]=1`)
        .join('&'),
    },
  ],
  [
    'prototypes',
    { headers: FORM, body: '__proto__[role]=admin&constructor[prototype][role]=admin&__proto__=1' },
  ],
  ['a deep object', { headers: FORM, body: `a${'[b]'.repeat(2_000)}=1` }],
  [
    'a strange charset',
    { headers: { 'content-type': `${FORM['content-type']}; charset=utf-7` }, body: 'a=b' },
  ],
  ['gzip that is none', { headers: { ...FORM, 'content-encoding': 'gzip' }, body: 'a=b' }],
  ['an encoding nobody knows', { headers: { ...FORM, 'content-encoding': 'zstd-or-so' }, body: 'a=b' }],
]

describe.each(BODIES)('%s', (name, sent) => {
  test('is refused at every address that takes a form, and changes nothing', async () => {
    for (const { path, as, csrf } of targets) {
      const reply =
        as === 'program'
          ? await follow(
              await send('POST', app.origin, path, {
                ...sent,
                headers: { authorization: basic, ...sent.headers },
              }),
            )
          : await as.request('POST', path, withToken(sent, csrf))

      expectRefusal(`${name} at ${path}`, reply, toleratedAt(path))
    }
    expect(await rowCounts()).toEqual(before)
  })
})

const ADDRESSES: [string, string][] = [
  ['NUL', '/%00'],
  ['NUL in a name', '/interaction/a%00b'],
  ['broken percent signs', '/account/apps/%E0%A4%A/remove'],
  ['a bare percent sign', '/auth?state=%'],
  ['half a surrogate', '/setup/%ED%A0%80'],
  ['an overlong slash', '/assets/..%C0%AF..%C0%AFpackage.json'],
  ['a way up', '/../../../../etc/passwd'],
  ['a way up from the assets', '/assets/../../package.json'],
  ['an encoded way up', '/assets/%2e%2e%2f%2e%2e%2fpackage.json'],
  ['a twice encoded way up', '/assets/%252e%252e%252fpackage.json'],
  ['a backslash', '/assets/..\\..\\package.json'],
  ['two slashes', '//evil.example/%2e%2e'],
  ['a whole address', 'http://evil.example/auth'],
  ['a star', '*'],
  ['__proto__', '/interaction/__proto__'],
  ['constructor', '/setup/constructor'],
  ['__proto__ as an app', '/account/apps/__proto__/remove'],
  ['SQL', `/account/apps/${encodeURIComponent(SQL)}/devices/${encodeURIComponent(SQL)}/remove`],
  ['HTML', `/${encodeURIComponent(HTML)}`],
  ['HTML in a query', `/auth?client_id=${encodeURIComponent(HTML)}`],
  ['a long path', `/account/${'a'.repeat(8_000)}`],
  ['an unknown interaction', `/interaction/${'a'.repeat(43)}`],
  ['an unknown authorization', `/auth/${'a'.repeat(43)}`],
  ['an unknown set-up link', `/setup/${'a'.repeat(43)}`],
  ['an unknown link for a new password', `/reset/${'a'.repeat(43)}`],
  ['a client with NUL', '/auth?client_id=a%00b'],
  ['clients', '/auth?client_id=a&client_id=b'],
  ['a client as an array', '/auth?client_id[]=a'],
  ['a client as an object', '/auth?__proto__[client_id]=a&constructor=1'],
  [
    'an unknown pushed request',
    '/auth?client_id=a&request_uri=urn:ietf:params:oauth:request_uri:pushed-earlier',
  ],
  ['a request_uri of the network', '/auth?client_id=a&request_uri=http://127.0.0.1:1/'],
  ['a request object', '/auth?client_id=a&request=eyJhbGciOiJub25lIn0.e30.'],
  ['a sign-out for somebody', '/session/end?client_id=nobody'],
  ['a sign-out with a bad hint', '/session/end?id_token_hint=a.b.c'],
  ['a sign-out with an unsigned hint', `/session/end?id_token_hint=${unsignedToken()}`],
]

test.each(ADDRESSES)(
  '%s in an address is refused, to a stranger and to somebody signed in',
  async (name, path) => {
    const stranger = await send('GET', app.origin, path, { headers: { accept: 'text/html' } })
    const cookie = alice.jar.header(new URL(app.origin))!
    const known = await send('GET', app.origin, path, { headers: { accept: 'text/html', cookie } })

    // What only somebody signed in may see sends a stranger to sign in.
    if (!stranger.next) expectRefusal(name, stranger)
    else expect(stranger.next.pathname).toBe('/auth')
    expectRefusal(name, known)
    expect(await rowCounts()).toEqual(before)
  },
)

test.each([
  ['a query', `/auth?state=${'a'.repeat(100_000)}`, {}],
  ['a header', '/account', { 'x-anything': 'a'.repeat(100_000) }],
  ['a cookie', '/account', { cookie: `_session=${'a'.repeat(100_000)}` }],
])('100 kB of %s are refused', async (_name, path, headers) => {
  // The rest of what is sent is not waited for; a client that still writes may see the connection end instead.
  const status = await send('GET', app.origin, path, { headers }).then(
    (reply) => reply.status,
    (error) => error.code,
  )
  expect([431, 'ECONNRESET', 'EPIPE']).toContain(status)
  expect((await send('GET', app.origin, '/healthz')).status).toBe(200)
})

test.each(['PUT', 'PATCH', 'DELETE', 'TRACE', 'PROPFIND'])(
  '%s is refused everywhere with 405 and Allow',
  async (method) => {
    const paths =
      '/ /auth /token /userinfo /introspect /revoke /par /jwks /session/end /session/end/confirm /account /account/name ' +
      '/account/apps /account/apps/x/remove /account/activity /interaction/x /interaction/x/login /setup/x /reset/x /healthz /readyz ' +
      '/.well-known/openid-configuration /.well-known/oauth-authorization-server'
    for (const path of paths.split(' ')) {
      const { status, headers } = await send(method, app.origin, path)
      expect([path, status]).toEqual([path, 405])
      expect(headers.get('allow')).toMatch(/GET|POST/)
    }
  },
)

test.each([
  ['GET', '/token'],
  ['GET', '/introspect'],
  ['GET', '/revoke'],
  ['GET', '/par'],
  ['POST', '/jwks'],
  ['POST', '/.well-known/openid-configuration'],
  ['GET', '/session/end/confirm'],
  ['GET', '/account/name'],
  ['POST', '/account'],
  ['POST', '/healthz'],
])('%s %s is refused with 405 and the methods that would do', async (method, path) => {
  const { status, headers } = await send(method, app.origin, path, { headers: FORM, body: '' })

  expect(status).toBe(405)
  expect(headers.get('allow')).toMatch(method === 'GET' ? /POST/ : /GET/)
})

describe('an address to be sent back to that is nearly the registered one', () => {
  const near: [string, string][] = [
    ['a longer path', 'https://printer.example/callback/more'],
    ['a shorter path', 'https://printer.example/call'],
    ['a slash at the end', 'https://printer.example/callback/'],
    ['another case', 'https://printer.example/Callback'],
    ['another case of the host', 'https://PRINTER.example/callback'],
    ['a longer host', 'https://printer.example.evil.example/callback'],
    ['a host below', 'https://evil.printer.example/callback'],
    ['a shorter host', 'https://rinter.example/callback'],
    ['a port', 'https://printer.example:8443/callback'],
    ['the default port', 'https://printer.example:443/callback'],
    ['http', 'http://printer.example/callback'],
    ['user information', 'https://printer.example@evil.example/callback'],
    ['user information before', 'https://evil@printer.example/callback'],
    ['a backslash', 'https://printer.example\\@evil.example/callback'],
    ['a query', 'https://printer.example/callback?next=1'],
    ['a fragment', 'https://printer.example/callback#x'],
    ['an encoded slash', 'https://printer.example%2fcallback'],
    ['an encoded letter', 'https://printer.example/c%61llback'],
    ['a way up', 'https://printer.example/x/../callback'],
    ['white space before', ' https://printer.example/callback'],
    ['white space after', 'https://printer.example/callback '],
    ['a tab', 'https://printer.example/call\tback'],
    ['a line feed', 'https://printer.example/callback\n'],
    ['NUL', 'https://printer.example/callback\0'],
    ['a wildcard', 'https://*.example/callback'],
    ['no scheme', '//printer.example/callback'],
    ['a path alone', '/callback'],
    ['a script', 'javascript:alert(1)//https://printer.example/callback'],
    ['data', 'data:text/html,<script>alert(1)</script>'],
    ['nothing', ''],
  ]
  test.each(near)('%s is never gone to', async (name, redirect_uri) => {
    const variants: Record<string, string>[] = [
      {},
      { prompt: 'none' },
      { response_mode: 'form_post' },
      { response_type: 'nonsense' },
    ]
    for (const more of variants) {
      for (const browser of [new Browser(app.origin), alice]) {
        const byGet = await browser.get(authUrl(world.web, { redirect_uri, ...more }))
        const form = asking(world.web, { redirect_uri, ...more })
        const byPost = await browser.follow(await browser.request('POST', '/auth', { form }))
        for (const reply of [byGet, byPost]) expectRefusal(name, reply)
      }
    }
    const pushed = await call(app.origin, '/par', world.web, asking(world.web, { redirect_uri }))
    expect(pushed.status).toBe(400)
    expect(await rowCounts()).toEqual(before)
  })

  test('left out or sent twice it is refused as well', async () => {
    const { redirect_uri: _none, ...without } = asking(world.web)
    const twice = `${authUrl(world.web)}&redirect_uri=${encodeURIComponent('https://evil.example/')}`

    expectRefusal('none', await alice.get(`/auth?${new URLSearchParams(without)}`))
    expectRefusal('two', await alice.get(twice))
  })
})

test.each([
  ['CR and LF', 'Alice\r\nBcc: everybody@example.com'],
  ['a line separator', 'Alice\u2028Eve'],
  ['text turned around', 'Alice \u202egpj.exe'],
  ['bytes that are no text', ''],
])('a name with %s is refused with words, and the old one stays', async (_name, value) => {
  const profile = await alice.open('/account')
  const form = formWith(profile, 'Save name').fields
  form.set('name', value)
  const body = Buffer.concat([Buffer.from(`csrf=${form.get('csrf')}&name=Al`), Buffer.from([0xff, 0xfe])])
  const sent = value ? { form } : { headers: FORM, body }

  const { status, text } = await alice.request('POST', '/account/name', sent)

  expect(status).toBe(422)
  expect(text).toContain('Use letters, digits and signs only')
})

test('a name made of HTML is a name: shown as it is, on every page, and run on none', async () => {
  await alice.submit(await alice.open('/account'), 'Save name', { name: HTML })

  for (const path of ['/account', '/account/apps', '/account/activity', '/session/end']) {
    const { text, status } = await alice.open(path)
    expect(status).toBe(200)
    expect(text).not.toContain('<script')
  }
  expect((await alice.open('/account')).text).toContain('&lt;script&gt;alert(1)')
})

test('what an app sends along comes back to it encoded: no header is split, no page is written into', async () => {
  const state = `a\r\nSet-Cookie: evil=1\r\n\r\n${HTML}`
  const back = await alice.get(authUrl(world.web, { state, prompt: 'none' }))

  expect(back.next!.searchParams.get('state')).toBe(state)
  expect(back.headers.getSetCookie().join()).not.toContain('evil')
  const page = await alice.get(authUrl(world.web, { state: HTML, response_mode: 'form_post' }))
  expect(page.text).toContain('form')
  expect(page.text).not.toContain('<script>alert')
})

test('a long state is carried through, as it is', async () => {
  const state = 'x'.repeat(4_000)

  const back = await alice.get(authUrl(world.web, { state }))

  expect(back.next!.searchParams.get('state')).toBe(state)
})

test('who we are is not what a request says: Host and forwarded headers change no address', async () => {
  const headers = {
    host: 'evil.example',
    'x-forwarded-host': 'evil.example',
    'x-forwarded-proto': 'https',
    forwarded: 'host=evil.example;proto=https',
    'x-original-url': '/healthz',
  }
  for (const path of ['/.well-known/openid-configuration', '/.well-known/oauth-authorization-server']) {
    const { text } = await send('GET', app.origin, path, { headers })
    expect(JSON.parse(text).issuer).toBe(app.origin)
    expect(text).not.toContain('evil')
  }
  const start = await send('GET', app.origin, '/account', { headers: { ...headers, accept: 'text/html' } })
  expect(start.headers.get('location')).not.toContain('evil')
  expect(start.headers.get('location')).toContain(encodeURIComponent(app.origin))
  const cookie = alice.jar.header(new URL(app.origin))!
  const back = await send('GET', app.origin, authUrl(world.web), { headers: { ...headers, cookie } })
  expect(back.next!.searchParams.get('iss')).toBe(app.origin)
})

test.each([
  '//evil.example',
  'https://evil.example',
  '/\\evil.example',
  '/account//evil.example/..',
  '/account@evil.example',
  '/account\r\nLocation: https://evil.example',
  'javascript:alert(1)',
  '/accounts',
  '/account/%2f%2fevil.example',
])('after signing in nobody is sent to %j', async (state) => {
  const { status, next } = await alice.get(`/account/signed-in?${new URLSearchParams({ state })}`)

  expect(status).toBe(303)
  expect(next!.origin).toBe(app.origin)
  expect(next!.pathname).toMatch(/^\/account/)
})

/** Forms to /auth are asked for again as an address. */
async function follow(reply: Reply): Promise<Reply> {
  return reply.next?.pathname === '/auth'
    ? send('GET', app.origin, reply.next.pathname + reply.next.search)
    : reply
}

/** Adds the form's own token, so that a form is refused for what is wrong with it and not for lack of one. */
function withToken(sent: Sent, csrf: string | undefined): Sent {
  if (csrf === undefined) return sent
  if (sent.form)
    return { ...sent, form: new URLSearchParams([['csrf', csrf], ...new URLSearchParams(sent.form)]) }
  if (!sent.headers?.['content-type']?.startsWith(FORM['content-type'])) return sent
  return { ...sent, body: Buffer.concat([Buffer.from(`csrf=${csrf}&`), Buffer.from(sent.body ?? '')]) }
}

// RFC 7662 §2.2 and RFC 7009 §2.2: what is no token of ours is not active, and revoking it is done. Anything printable is a
// name, and the form that changes it says so by leading back.
function toleratedAt(path: string): number[] {
  if (path === '/account/name') return [303]
  return path === '/introspect' || path === '/revoke' ? [200] : []
}

function expectRefusal(what: string, { status, headers, text }: Reply, tolerated: number[] = []): void {
  const seen = { what, status, text: text.slice(0, 300) }
  if (tolerated.includes(status)) {
    expect(['', '{"active":false}', 'Redirecting to /account.']).toContain(text)
    return
  }
  expect({ ...seen, refused: status >= 400 && status < 500 }).toEqual({ ...seen, refused: true })
  expect(headers.get('location')).toBeNull()
  // Nobody reads what is said of a style sheet that is not there.
  if (what.includes('way up') || what.includes('backslash')) return
  expect(headers.get('content-type')).toMatch(/^(text\/html|application\/(problem\+)?json)/)
  expect(headers.get('set-cookie') ?? '').not.toContain('evil')
  expect(text).not.toMatch(/\n\s+at |node_modules|\/src\/|postgres|syntax error|<script>alert/i)
  if (headers.get('content-type')!.includes('json')) expect(() => JSON.parse(text)).not.toThrow()
  else expect(text).toContain('<h1')
}

/** What there is, except what tells of it: the counters of attempts and of refusals, and the audit log. */
async function rowCounts(): Promise<Record<string, number>> {
  const tables = await many<{ name: string }>(
    database.db,
    sql`select tablename as name from pg_tables
        where schemaname = 'public'
          -- What is refused is counted, and told to the app's owners.
          and tablename not in ('rate_limits', 'audit_events', 'usage_hours', 'client_refusals', 'client_usage_days')`,
  )
  const counts = await Promise.all(
    tables.map(async ({ name }) => {
      const { rows } = await database.db.pg.query<{ n: number }>(`select count(*)::int as n from "${name}"`)
      return [name, rows[0]!.n] as const
    }),
  )
  const { admins } = await one<{ admins: number }>(
    database.db,
    sql`select count(*)::int as admins from users where role = 'admin'`,
  )
  return { ...Object.fromEntries(counts), admins }
}

function unsignedToken(): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  return `${part({ alg: 'none' })}.${part({ aud: 'nobody', sub: 'x' })}.`
}
