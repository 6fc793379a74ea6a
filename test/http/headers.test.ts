// What every answer says about itself, and what its cookies are like: on plain http at home, and on https behind a proxy.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { createSetupLink } from '../../src/core/users/setup-links.ts'
import { one, sql } from '../../src/db/pool.ts'
import { authUrl, Browser, populate, type Reply, redeem, send, type World } from '../support/attack.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { freePort, startApp, type TestApp } from '../support/server.ts'

let database: TestDatabase
let app: TestApp
let world: World
let alice: Browser
const pages: Record<string, Reply> = {}
beforeAll(async () => {
  database = await createTestDatabase()
  world = await populate(database.db)
  app = await startApp({ db: database.db })
  alice = new Browser(app.origin)
  pages['sign-in'] = await alice.open(authUrl(world.web))
  const { email, password } = world.alice
  pages['wrong password'] = await alice.submit(pages['sign-in'], 'Sign in', { email, password: 'wrong' })
  pages.consent = await alice.follow(await alice.submit(pages['sign-in'], 'Sign in', { email, password }))
  const back = await alice.follow(await alice.submit(pages.consent, 'Allow'))
  await redeem(app.origin, world.web, back.next!.searchParams.get('code')!)
  pages.over = await alice.open(pages.consent.url)
  for (const path of [
    '/account',
    '/account/apps',
    `/account/apps/${world.web.id}/remove`,
    '/account/activity',
    '/session/end',
  ]) {
    pages[path] = await alice.open(path)
  }
  pages.form_post = await alice.open(authUrl(world.web, { response_mode: 'form_post' }))
  pages['set-up'] = await alice.open(`/setup/${await createSetupLink(database.db)}`)
  pages['not found'] = await alice.open('/nothing')
  pages['bad request'] = await alice.open('/auth?client_id=nobody')
  pages.forged = await alice.request('POST', '/account/name', { form: { name: 'x' } })
})
afterAll(async () => {
  await app?.stop()
  await database?.drop()
})

test('every page is kept nowhere, framed nowhere, and runs nothing that stands in it', () => {
  for (const [name, { headers, text }] of Object.entries(pages)) {
    const policy = headers.get('content-security-policy')!
    expect([name, policy]).toEqual([name, expect.stringContaining("frame-ancestors 'none'")])
    expect(policy).toContain("default-src 'none'")
    expect(policy).toContain("base-uri 'none'")
    expect(policy).not.toMatch(/unsafe-inline|unsafe-eval|script-src[^;]*\*/)
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('x-frame-options')).toBe('DENY')
    expect(headers.get('referrer-policy')).toBe('no-referrer')
    expect([name, headers.get('cache-control')]).toEqual([name, expect.stringContaining('no-store')])
    expect(headers.get('content-type')).toMatch(/^text\/html; charset=utf-8$/i)
    expect(headers.get('server') ?? headers.get('x-powered-by')).toBeNull()
    expect([name, /<[^>]+\son\w+=|<[^>]+\sstyle=|javascript:/i.test(text)]).toEqual([name, false])
    if (name !== 'form_post') expect([name, /<(script|style)\b/i.test(text)]).toEqual([name, false])
  }
})

test('forms may go to us, and where an app waits also on to https', () => {
  for (const [name, { headers }] of Object.entries(pages)) {
    const [, targets] = /form-action ([^;]*)/.exec(headers.get('content-security-policy')!)!
    const leadsOn = ['sign-in', 'wrong password', 'consent', 'form_post'].includes(name)
    expect([name, targets]).toEqual([name, leadsOn ? "'self' https:" : "'self'"])
  }
})

test.each(['/token', '/introspect', '/par', '/userinfo'])(
  '%s is kept nowhere, with or without success',
  async (path) => {
    const { headers } = await send('POST', app.origin, path, { form: { a: 'b' } })

    expect(headers.get('cache-control')).toContain('no-store')
    expect(headers.get('x-content-type-options')).toBe('nosniff')
  },
)

describe('cookies', () => {
  test('at home: signed, for HTTP alone, not sent along by other sites', async () => {
    const { cookies } = await signInWatched(app.origin, app.origin)

    expect(cookies.length).toBeGreaterThan(5)
    for (const { line, attributes } of cookies) {
      expect([line, attributes]).toEqual([line, expect.stringMatching(/httponly/i)])
      expect([line, attributes]).toEqual([line, expect.stringMatching(/samesite=lax/i)])
      expect(attributes).not.toMatch(/domain=/i)
    }
    // What is sealed needs no signature, and what only names it neither.
    const sealed = ['_request', '_visit', '_interaction', '_resume']
    for (const { name } of cookies) {
      if (!name.endsWith('.sig') && !sealed.includes(name))
        expect(cookies.map((cookie) => cookie.name)).toContain(`${name}.sig`)
    }
    expect(cookies.map(({ name }) => name)).toContain('_session')
  })

  test('on https behind a proxy: Secure, the session pinned to this host, and strict transport', async () => {
    const port = await freePort()
    const issuer = 'https://id.example'
    const behind = await startApp({
      db: database.db,
      env: { ISSUER_URL: issuer, PORT: String(port), TRUSTED_PROXIES: '127.0.0.1,::1' },
    })
    const { cookies, profile } = await signInWatched(issuer, `http://localhost:${port}`)
    await behind.stop()

    expect(profile.text).toContain(world.bob.email)
    expect(profile.headers.get('strict-transport-security')).toContain('max-age=31536000')
    const names = new Set(cookies.map(({ name }) => name))
    expect(names).toContain('__Host-session')
    expect(names).toContain('__Host-session.sig')
    expect(names).toContain('__Host-device')
    for (const { line, name, attributes } of cookies) {
      expect([line, attributes]).toEqual([line, expect.stringMatching(/; ?secure/i)])
      if (name.startsWith('__Host-')) expect(attributes).toMatch(/path=\/(;|$)/i)
    }
  })

  test('signing in gives the session another id, and the old one is worth nothing', async () => {
    const browser = new Browser(app.origin)
    const page = await browser.open('/session/end')
    const before = sessionCookie(browser)
    expect(page.status).toBe(200)
    await browser.signIn(world.bob)
    const after = sessionCookie(browser)

    expect(after).toBeDefined()
    expect(after).not.toBe(before)
    if (before) {
      const { status } = await send('GET', app.origin, '/account', {
        headers: { cookie: before, accept: 'text/html' },
      })
      expect(status).toBe(303)
    }
  })

  test('a session that an attacker has planted does not become the one of who signs in with it', async () => {
    const attacker = new Browser(app.origin)
    await attacker.open('/session/end')
    const planted = attacker.jar.header(new URL(app.origin)) ?? ''
    const victim = new Browser(app.origin)
    victim.jar.take(
      new URL(app.origin),
      planted.split('; ').map((pair) => `${pair}; path=/`),
    )
    expect((await victim.signIn(world.bob)).text).toContain(world.bob.email)

    expect((await attacker.get('/account')).status).toBe(303)
  })

  test('a changed value, a changed signature or none: nobody is signed in by it', async () => {
    const cookie = alice.jar.header(new URL(app.origin))!
    const pairs = Object.fromEntries(cookie.split('; ').map((pair) => pair.split('=') as [string, string]))
    const flip = (text: string) => (text[0] === 'A' ? 'B' : 'A') + text.slice(1)
    const { _session, '_session.sig': signature } = pairs
    const forged = [
      `_session=${flip(_session!)}; _session.sig=${signature}`,
      `_session=${_session}; _session.sig=${flip(signature!)}`,
      `_session=${_session}; _session.sig=`,
      `_session=${_session}`,
      `_session=${_session}; _session.sig=${signature}; _session=${_session}x`,
    ]

    expect((await send('GET', app.origin, '/account', { headers: { cookie } })).status).toBe(200)
    for (const value of forged.slice(0, 4)) {
      expect((await send('GET', app.origin, '/account', { headers: { cookie: value } })).status).toBe(303)
    }
    expect(
      (await send('GET', app.origin, '/account', { headers: { cookie: forged[4]! } })).status,
    ).toBeLessThan(400)
    const { sessions } = await one<{ sessions: number }>(
      database.db,
      sql`select count(*)::int as sessions from sessions where user_id = ${world.alice.id}`,
    )
    expect(sessions).toBe(1)
  })
})

interface Cookie {
  line: string
  name: string
  attributes: string
}

/** Signs bob in and collects every cookie that is set on the way, except those that are taken back. */
async function signInWatched(issuer: string, node: string): Promise<{ cookies: Cookie[]; profile: Reply }> {
  const cookies: Cookie[] = []
  class Watched extends Browser {
    override async request(...args: Parameters<Browser['request']>): Promise<Reply> {
      const reply = await super.request(...args)
      for (const line of reply.headers.getSetCookie()) {
        const [pair, ...rest] = line.split(';')
        const attributes = rest.join(';')
        if (!/expires=Thu, 01 Jan 1970/i.test(attributes))
          cookies.push({ line, name: pair!.split('=')[0]!, attributes })
      }
      return reply
    }
  }
  const browser = new Watched(issuer, node)
  const profile = await browser.signIn(world.bob)
  await browser.submit(profile, 'Save name', { name: 'bob' })
  return { cookies, profile }
}

function sessionCookie(browser: Browser): string | undefined {
  const pairs = (browser.jar.header(new URL(app.origin)) ?? '').split('; ')
  const session = pairs.filter((pair) => pair.startsWith('_session'))
  return session.length ? session.join('; ') : undefined
}
