// Authorization code with PKCE (RFC 6749 §4.1, RFC 7636, RFC 9207, OpenID Connect Core §3.1): from the app to the person
// and back, and every way in which it must not work.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { textOf } from '../../demo/form.ts'
import { one, run, sql } from '../../src/db/pool.ts'
import { Browser } from '../support/attack.ts'
import {
  type App,
  atTime,
  PASSWORD,
  type Person,
  type ServerFixture,
  startServerFixture,
} from '../support/flow.ts'

const JSON_TYPE = { 'Content-Type': 'application/json' }

let server: ServerFixture
let app: App
let jamie: Person
beforeAll(async () => {
  server = await startServerFixture()
  app = await server.app()
  jamie = await server.person('Jamie')
})
afterAll(() => server.stop())

describe('a person who is not signed in', () => {
  test('signs in, allows, and comes back with a code, the state and the issuer', async () => {
    const pending = await app.begin()
    const signIn = await jamie.open(pending.url)
    expect(signIn.title).toBe('Sign in · Valetkey')
    expect(signIn.text).toContain('to continue to Photo Printer')

    const consent = await jamie.signIn(signIn)
    expect(consent.status).toBe(200)
    expect(consent.text).toContain('Photo Printer wants access to your account printer.example')
    expect(consent.text).toContain('Look at your photos')
    const { away, status } = await jamie.press(consent, 'Allow')

    expect(status).toBe(303)
    expect(`${away!.origin}${away!.pathname}`).toBe(app.redirectUri)
    expect(Object.fromEntries(away!.searchParams)).toEqual({
      code: expect.stringMatching(/^vk_ac_[\w-]{49}$/),
      state: pending.state,
      iss: server.origin,
    })
    const tokens = await app.finish(away!, pending)
    expect(tokens).toMatchObject({
      access_token: expect.stringMatching(/^vk_at_[\w-]{49}$/),
      refresh_token: expect.stringMatching(/^vk_rt_[\w-]{49}$/),
      token_type: 'bearer',
      expires_in: 600,
      scope: 'openid profile email photos.read',
    })
    expect(tokens.claims()).toMatchObject({
      iss: server.origin,
      sub: jamie.id,
      aud: app.id,
      nonce: pending.nonce,
    })
  })

  test('is asked nothing the second time', async () => {
    const { away } = await jamie.open((await app.begin()).url)

    expect(away!.searchParams.get('code')).toMatch(/^vk_ac_/)
  })

  test('sees their address filled in when the app hints at it', async () => {
    const page = await jamie.elsewhere().open((await app.begin({ login_hint: jamie.email })).url)

    expect(page.html).toContain(`value="${jamie.email}"`)
  })

  test('goes back with access_denied after Cancel', async () => {
    const pending = await app.begin()
    const stranger = jamie.elsewhere()

    const { away } = await stranger.press(await stranger.open(pending.url), 'Cancel')

    expect(away!.searchParams.get('error')).toBe('access_denied')
    expect(away!.searchParams.get('state')).toBe(pending.state)
  })
})

describe('PKCE', () => {
  test.each([
    ['is missing', { code_challenge: undefined, code_challenge_method: undefined }, /PKCE/],
    ['is plain', { code_challenge_method: 'plain' }, /code_challenge_method/],
    [
      'has no method, which would mean plain',
      { code_challenge_method: undefined },
      /plain|code_challenge_method/,
    ],
    ['is not well-formed', { code_challenge: 'short' }, /code_challenge/],
  ])('a challenge that %s is refused at the app', async (_, params, words) => {
    const pending = await app.begin(params)

    const { away } = await jamie.open(pending.url)

    expect(away!.origin + away!.pathname).toBe(app.redirectUri)
    expect(away!.searchParams.get('error')).toBe('invalid_request')
    expect(away!.searchParams.get('error_description')).toMatch(words)
    expect(away!.searchParams.get('state')).toBe(pending.state)
    expect(away!.searchParams.get('iss')).toBe(server.origin)
  })

  test('may be left out by the one confidential client for which it was relaxed', async () => {
    const relaxed = await server.app({ name: 'Old Library', pkce_required: false })
    const back = await jamie.authorize(
      (await relaxed.begin({ code_challenge: undefined, code_challenge_method: undefined })).url,
    )
    const code = back.searchParams.get('code')!

    const answer = await relaxed.post('/token', {
      grant_type: 'authorization_code',
      code,
      redirect_uri: relaxed.redirectUri,
    })

    expect(answer.status).toBe(200)
    expect(answer.body.access_token).toMatch(/^vk_at_/)
  })

  test('holds for that client, too, once it sent a challenge', async () => {
    const relaxed = await server.app({ name: 'New Library', pkce_required: false })
    const { form } = await relaxed.code(jamie)
    const { code_verifier: _, ...without } = form

    const answer = await relaxed.post('/token', without)

    expect(answer.status).toBe(400)
    expect(answer.body.error).toBe('invalid_grant')
  })

  test.each(['spa', 'native', 'service'] as const)('cannot be relaxed for a %s client', async (type) => {
    const redirect_uris = type === 'service' ? [] : ['https://printer.example/callback']

    const registering = server.app({ type, pkce_required: false, redirect_uris })

    await expect(registering).rejects.toThrow('pkce_required: may be relaxed for a web client only')
  })
})

describe('how the answer travels', () => {
  test('form_post carries it in a page that posts to the app, and not in an address', async () => {
    const pending = await app.begin({ response_mode: 'form_post' })

    const page = await jamie.open(pending.url)

    expect(page.status).toBe(200)
    expect(page.away).toBeUndefined()
    expect(page.html).toContain(`action="${app.redirectUri}"`)
    expect(page.html).toMatch(/name="code" value="vk_ac_/)
    expect(page.html).toContain(`name="state" value="${pending.state}"`)
    expect(page.html).toContain(`name="iss" value="${server.origin}"`)
    expect(page.headers.get('content-security-policy')).toContain("form-action 'self' https:")
    expect(page.headers.get('cache-control')).toContain('no-store')
    expect(textOf(page.html)).not.toContain('vk_ac_')
  })

  test('form_post carries errors, too', async () => {
    const page = await jamie.open(
      (await app.begin({ response_mode: 'form_post', prompt: 'none', max_age: '0' })).url,
    )

    expect(page.html).toContain('name="error" value="login_required"')
  })

  test('query carries it in the address, and nothing in the fragment', async () => {
    const { away } = await jamie.open((await app.begin({ response_mode: 'query' })).url)

    expect(away!.hash).toBe('')
    expect(away!.searchParams.has('code')).toBe(true)
  })
})

describe('prompt and max_age', () => {
  test('prompt=none gives a code to somebody who allowed the app, and shows no page', async () => {
    const { away } = await jamie.open((await app.begin({ prompt: 'none' })).url)

    expect(away!.searchParams.get('code')).toMatch(/^vk_ac_/)
  })

  test('prompt=none without a session says login_required', async () => {
    const { away } = await jamie.elsewhere().open((await app.begin({ prompt: 'none' })).url)

    expect(away!.searchParams.get('error')).toBe('login_required')
    expect(away!.searchParams.get('iss')).toBe(server.origin)
  })

  test('prompt=none for an app that was never allowed says consent_required', async () => {
    const other = await server.app({ name: 'Never Allowed' })

    const { away } = await jamie.open((await other.begin({ prompt: 'none' })).url)

    expect(away!.searchParams.get('error')).toBe('consent_required')
  })

  test('prompt=login asks for the password again, and auth_time tells the app', async () => {
    await signedInEarlier(jamie)
    const pending = await app.begin({ prompt: 'login' })

    const page = await jamie.open(pending.url)
    expect(page.title).toBe('Sign in · Valetkey')
    const { away } = await jamie.signIn(page)

    const tokens = await app.finish(away!, pending)
    expect(Math.abs(tokens.claims()!.auth_time! - Date.now() / 1000)).toBeLessThan(60)
  })

  test('prompt=consent asks again what was allowed, and what was allowed is ticked', async () => {
    const page = await jamie.open((await app.begin({ prompt: 'consent' })).url)

    expect(page.title).toContain('wants access')
    expect(page.html).toMatch(/<input[^>]*value="photos\.read"[^>]*checked/)
    expect((await jamie.press(page, 'Allow')).away!.searchParams.has('code')).toBe(true)
  })

  test('prompt=none together with another one is refused', async () => {
    const { away } = await jamie.open((await app.begin({ prompt: 'none login' })).url)

    expect(away!.searchParams.get('error')).toBe('invalid_request')
  })

  test('max_age asks whoever signed in longer ago, and lets the others pass', async () => {
    expect(
      (await jamie.open((await app.begin({ max_age: '3600' })).url)).away!.searchParams.has('code'),
    ).toBe(true)

    await signedInEarlier(jamie)
    const pending = await app.begin({ max_age: '3600' })
    const page = await jamie.open(pending.url)

    expect(page.title).toBe('Sign in · Valetkey')
    const tokens = await app.finish((await jamie.signIn(page)).away!, pending)
    expect(tokens.claims()).toHaveProperty('auth_time')
  })
  const WISHES = [{ prompt: 'login' }, { prompt: 'login consent' }, { max_age: '0' }, { max_age: '900' }]
  const ENDPOINTS = ['web', 'native'].flatMap((type) =>
    ['/auth', '/par'].map((endpoint) => ({ type, endpoint })),
  )

  test.each(ENDPOINTS.flatMap((endpoint) => WISHES.map((wish) => ({ ...endpoint, wish }))))(
    '$type at $endpoint: $wish is answered by one sign-in and one decision',
    async ({ type, endpoint, wish }) => {
      const of = await server.app(
        type === 'web' ? {} : { type: 'native', redirect_uris: ['http://127.0.0.1/callback'] },
      )
      const who = await server.person('Kim')
      await who.account()
      await signedInEarlier(who)
      const pending = await of.begin(wish)
      if (endpoint === '/par') {
        const { body } = await of.post('/par', Object.fromEntries(pending.url.searchParams))
        pending.url.search = String(new URLSearchParams({ client_id: of.id, request_uri: body.request_uri }))
      }

      const consent = await who.signIn(await who.open(pending.url))
      const { away } = await who.press(consent, 'Allow')

      const { auth_time } = (await of.finish(away!, pending)).claims()!
      expect(Math.abs(auth_time! - Date.now() / 1000)).toBeLessThan(600)
    },
  )

  test('a sign-in happened when the password was right, however late the browser goes on', async () => {
    const robin = await server.person('Robin')
    const browser = new Browser(server.origin)
    const page = await browser.open((await app.begin()).url)
    const signedIn = await browser.submit(page, 'Sign in', { email: robin.email, password: PASSWORD })

    const next = await atTime(30 * 60, () => browser.follow(signedIn))

    expect(next.text).toContain('wants access')
    const session = await one<{ at: number }>(
      server.db,
      sql`select (payload ->> 'loginTs')::float8 as at from sessions where user_id = ${robin.id}`,
    )
    expect(Math.abs(session.at - Date.now() / 1000)).toBeLessThan(600)
  })

  test('a sign-in that is older than max_age when the person decides is asked for once more', async () => {
    const of = await server.app({ type: 'native', redirect_uris: ['http://127.0.0.1/callback'] })
    const pending = await of.begin({ max_age: '900' })
    const consent = await jamie.open(pending.url)
    expect(consent.title).toContain('wants access')
    await signedInEarlier(jamie)

    const signIn = await jamie.press(consent, 'Allow')
    expect(signIn.title).toBe('Sign in · Valetkey')
    const { away } = await jamie.signIn(signIn)

    const { auth_time } = (await of.finish(away!, pending)).claims()!
    expect(Math.abs(auth_time! - Date.now() / 1000)).toBeLessThan(600)
  })
})

describe('id_token_hint', () => {
  test('of the person who is signed in passes', async () => {
    const { id_token } = await app.connect(jamie)

    const { away } = await jamie.open((await app.begin({ id_token_hint: id_token, prompt: 'none' })).url)

    expect(away!.searchParams.has('code')).toBe(true)
  })

  test('of somebody else asks for a sign-in, and prompt=none says login_required', async () => {
    const robin = await server.person('Robin')
    const { id_token } = await app.connect(robin)

    const silent = await jamie.open((await app.begin({ id_token_hint: id_token, prompt: 'none' })).url)
    const asked = await jamie.open((await app.begin({ id_token_hint: id_token })).url)

    expect(silent.away!.searchParams.get('error')).toBe('login_required')
    expect(asked.title).toBe('Sign in · Valetkey')
  })

  test('holds on the later pages of the request: “Use another account” lets nobody else in', async () => {
    const robin = await server.person('Robin')
    const { id_token } = await app.connect(robin)
    const robins = robin.elsewhere()
    const params = { id_token_hint: id_token, scope: 'openid photos.share', prompt: 'consent' }
    const consent = await robins.signIn(await robins.open((await app.begin(params)).url))

    const signIn = await robins.press(consent, 'Use another account')
    const { away } = await robins.press(signIn, 'Sign in', { email: jamie.email, password: PASSWORD })

    expect(away!.searchParams.get('error')).toBe('login_required')
    const [tried] = await server.events({ type: 'sign_in.failed', user_id: jamie.id })
    expect(tried).toMatchObject({ client_id: app.id, data: { reason: 'other_account' } })
    const activity = await jamie.account('/account/activity')
    expect(activity.text).toContain(
      'Somebody gave your password where Photo Printer asked for another account',
    )
  })

  test('that is nonsense is refused', async () => {
    const { away } = await jamie.open((await app.begin({ id_token_hint: 'a.b.c' })).url)

    expect(away!.searchParams.get('error')).toBe('invalid_request')
  })
})

describe('a request that is wrong', () => {
  test.each([
    'https://evil.example/callback',
    'https://printer.example/callback/',
    'https://printer.example/callback?x=1',
    'https://printer.example/Callback',
    'http://printer.example/callback',
    'https://printer.example:8443/callback',
    'javascript:alert(1)',
    'not a uri',
  ])('is never sent to %s, which is not registered', async (redirect_uri) => {
    const page = await jamie.open((await app.begin({ redirect_uri })).url)

    expect(page.status).toBe(400)
    expect(page.away).toBeUndefined()
    expect(page.text).toContain('asked for something that cannot be done')
  })

  test.each([
    ['no client', { client_id: undefined }],
    ['an unknown client', { client_id: 'nobody' }],
    ['no redirect URI', { redirect_uri: undefined }],
  ])('with %s stays here', async (_, params) => {
    const { url } = await app.begin()
    for (const [name, value] of Object.entries(params)) {
      if (value === undefined) url.searchParams.delete(name)
      else url.searchParams.set(name, value)
    }

    const page = await jamie.open(url)

    expect(page.status).toBe(400)
    expect(page.away).toBeUndefined()
  })

  test.each([
    ['a scope that is not registered anywhere', { scope: 'photos.burn', nonce: undefined }, 'invalid_scope'],
    ['a scope of an API that this client may not ask for', { scope: 'openid photos.share' }, 'invalid_scope'],
    ['no response type', { response_type: undefined }, 'invalid_request'],
    ['an unknown response type', { response_type: 'teapot' }, 'unsupported_response_type'],
    ['an unknown response mode', { response_mode: 'pigeon' }, 'unsupported_response_mode'],
    ['an unknown API', { resource: 'https://elsewhere.example' }, 'invalid_target'],
    ['an API that is no URI', { resource: 'photos' }, 'invalid_target'],
    ['a request object', { request: 'e30.e30.' }, 'request_not_supported'],
  ])('%s comes back to the app as an error', async (_, params, error) => {
    const narrow = await server.app({ name: 'Narrow', scopes: ['openid', 'photos.read'] })
    const { url, state } = await narrow.begin({ scope: 'openid photos.read' })
    for (const [name, value] of Object.entries(params as Record<string, string | undefined>)) {
      if (value === undefined) url.searchParams.delete(name)
      else url.searchParams.set(name, value)
    }

    const { away } = await jamie.open(url)

    expect(away!.origin + away!.pathname).toBe(narrow.redirectUri)
    const answer = new URLSearchParams(away!.search || away!.hash.slice(1))
    expect(answer.get('error')).toBe(error)
    expect(answer.get('state')).toBe(state)
    expect(answer.get('iss')).toBe(server.origin)
    expect(answer.has('code')).toBe(false)
  })

  test('with one parameter twice is refused', async () => {
    const { url } = await app.begin()
    url.searchParams.append('scope', 'openid')

    const page = await jamie.open(url)

    expect(page.away!.searchParams.get('error')).toBe('invalid_request')
  })
})

describe('a code', () => {
  test('lives for 60 seconds', async () => {
    await app.code(jamie)
    const issued = await one<{ seconds: number }>(
      server.db,
      sql`select extract(epoch from expires_at - issued_at)::float8 as seconds
          from tokens where kind = 'authorization_code' order by issued_at desc limit 1`,
    )
    expect(issued.seconds).toBeGreaterThan(40)
    expect(issued.seconds).toBeLessThanOrEqual(61)

    const fresh = await app.code(jamie)
    const { form } = await app.code(jamie)
    await run(
      server.db,
      sql`update tokens set expires_at = expires_at - interval '53 seconds' where kind = 'authorization_code'`,
    )
    expect((await app.post('/token', fresh.form)).status).toBe(200)

    await run(
      server.db,
      sql`update tokens set expires_at = expires_at - interval '8 seconds' where kind = 'authorization_code'`,
    )
    const answer = await app.post('/token', form)

    expect(answer.status).toBe(400)
    expect(answer.body.error).toBe('invalid_grant')
  })

  test('shown twice ends everything that hangs on it', async () => {
    const { form } = await app.code(jamie)
    const { body: tokens } = await app.post('/token', form)
    expect((await app.introspect(tokens.access_token)).active).toBe(true)

    const again = await app.post('/token', form)

    expect(again.status).toBe(400)
    expect(again.body.error).toBe('invalid_grant')
    expect(await app.introspect(tokens.access_token)).toEqual({ active: false })
    expect((await app.refresh(tokens.refresh_token)).body.error).toBe('invalid_grant')
    const [event] = await server.events({ type: 'token.reuse_detected', client_id: app.id })
    expect(event).toMatchObject({
      user_id: jamie.id,
      actor_type: 'client',
      data: { kind: 'authorization_code' },
    })
  })

  test.each([
    ['another verifier', { code_verifier: 'x'.repeat(43) }],
    ['a verifier that is too short', { code_verifier: 'x' }],
    ['another redirect URI', { redirect_uri: 'https://printer.example/other' }],
    ['no verifier', { code_verifier: undefined }],
    ['no redirect URI', { redirect_uri: undefined }],
  ])('is refused with %s, and still good for the app it belongs to', async (_, wrong) => {
    const { form } = await app.code(jamie)
    const sent = Object.fromEntries(
      Object.entries({ ...form, ...wrong }).filter(([, value]) => value !== undefined),
    )

    const refused = await app.post('/token', sent as Record<string, string>)

    expect(refused.status).toBe(400)
    expect(refused.body.error).toMatch(/^invalid_(grant|request)$/)
    expect((await app.post('/token', form)).status).toBe(200)
  })

  test('is refused to another client, and still good for the one it belongs to', async () => {
    const other = await server.app({ name: 'Thief' })
    const { form } = await app.code(jamie)

    const refused = await other.post('/token', form)

    expect(refused.status).toBe(400)
    expect(refused.body.error).toBe('invalid_grant')
    expect((await app.post('/token', form)).status).toBe(200)
  })

  test.each([
    ['a wrong secret', 'wrong', 401],
    ['another client’s name', undefined, 401],
  ])('is refused with %s', async (_, secret, status) => {
    const { form } = await app.code(jamie)

    const answer = await app.post('/token', form, {
      Authorization: `Basic ${Buffer.from(`${secret ? app.id : 'nobody'}:${secret ?? 'x'}`).toString('base64')}`,
    })

    expect(answer.status).toBe(status)
    expect(answer.body.error).toBe('invalid_client')
    expect(answer.headers.get('www-authenticate')).toMatch(/^Basic /)
  })

  test('that was never issued is refused', async () => {
    const { form } = await app.code(jamie)

    const answer = await app.post('/token', { ...form, code: `vk_ac_${'A'.repeat(49)}` })

    expect(answer.body).toMatchObject({ error: 'invalid_grant' })
  })
})

test('an app may send its request by POST, as OpenID Connect Core §3.1.2.1 has it', async () => {
  const pending = await app.begin()

  const { away } = await jamie.post('/auth', Object.fromEntries(pending.url.searchParams))

  expect((await app.finish(away!, pending)).scope).toBe('openid profile email photos.read')
})

test('a request by POST that is wrong is refused like any other', async () => {
  const { url } = await app.begin({ redirect_uri: 'https://evil.example/' })

  const wrong = await jamie.post('/auth', Object.fromEntries(url.searchParams))
  const twice = await jamie.post('/auth?client_id=nobody', {})
  const json = await fetch(`${server.origin}/auth`, { method: 'POST', body: '{}', headers: JSON_TYPE })

  expect([wrong.status, twice.status, json.status]).toEqual([400, 400, 415])
  expect(wrong.away).toBeUndefined()
})

test('a client may send its secret in the form as well as in the header', async () => {
  const { form } = await app.code(jamie)

  const answer = await fetch(`${server.origin}/token`, {
    method: 'POST',
    body: new URLSearchParams({ ...form, client_id: app.id, client_secret: app.secret! }),
  })

  expect(answer.status).toBe(200)
})

test('a session is renewed once a minute, and at once when something about it changes', async () => {
  const person = await server.person('Renata')
  const app = await server.app()
  await app.connect(person)
  const session = async () => {
    const where = sql`select xmin::text, payload from sessions where user_id = ${person.id}`
    return one<{ xmin: string; payload: { exp: number; authorizations: object } }>(server.db, where)
  }
  const before = await session()

  await app.connect(person)
  const same = await session()
  const other = await server.app({ name: 'Another' })
  await other.connect(person)
  const more = await session()
  const earlier = JSON.stringify({ ...more.payload, exp: more.payload.exp - 61 })
  await run(server.db, sql`update sessions set payload = ${earlier} where user_id = ${person.id}`)
  const old = await session()
  await app.connect(person)

  expect(same.xmin).toBe(before.xmin)
  expect(Object.keys(more.payload.authorizations)).toContain(other.id)
  expect((await session()).payload.exp).toBeGreaterThanOrEqual(old.payload.exp + 61)
})

/** A person signed in two hours ago: no longer than a session lives, so that it is there until they have signed in anew. */
async function signedInEarlier({ id }: Person): Promise<void> {
  await run(
    server.db,
    sql`update sessions
        set payload = jsonb_set(payload::jsonb, '{loginTs}', to_jsonb((payload ->> 'loginTs')::bigint - 7200))::json
        where user_id = ${id}`,
  )
}
