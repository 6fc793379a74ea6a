// The device authorization grant (RFC 8628): a program without a browser shows a code, a person types it in elsewhere.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { decodeJwt } from 'jose'
import * as openid from 'openid-client'
import { SYSTEM } from '../../src/base/audit-events.ts'
import { digest } from '../../src/base/credentials.ts'
import { updateClient } from '../../src/core/clients/update.ts'
import { one, run, sql } from '../../src/db/pool.ts'
import { administrator } from '../pages/admin/admin-fixture.ts'
import { type App, PASSWORD, type Page, type Person, startServerFixture } from '../support/flow.ts'
import { heard } from '../support/heard.ts'

let server: Awaited<ReturnType<typeof startServerFixture>>
let app: App
let jamie: Person
beforeAll(async () => {
  server = await startServerFixture()
  app = await server.app({ type: 'device', name: 'Picture Frame' })
  jamie = await server.person('Jamie')
})
afterAll(() => server.stop())

const GRANT = 'urn:ietf:params:oauth:grant-type:device_code'
const SCOPE = 'openid profile email photos.read'

async function start(of: App = app): Promise<openid.DeviceAuthorizationResponse> {
  return openid.initiateDeviceAuthorization(await of.client(), { scope: SCOPE })
}

/** Asks for the tokens once, whatever was asked before. */
async function ask(code: string, of: App = app) {
  await run(server.db, sql`update tokens set polled_at = null where hash = ${digest(code)}`)
  return of.post('/token', { grant_type: GRANT, device_code: code })
}

/** Types a code in, as far as the page that asks whether the device is one's own. */
async function type(user_code: string, who: Person = jamie): Promise<Page> {
  const form = await who.open(`${server.origin}/device`)
  return who.press(form, 'Continue', { user_code })
}

/** Goes on until the consent page. */
async function toConsent(user_code: string, who: Person = jamie): Promise<Page> {
  const page = await who.press(await type(user_code, who), 'Continue')
  return page.title.startsWith('Sign in') ? who.signIn(page) : page
}

test('a person allows it, and the device gets tokens that refresh', async () => {
  const asked = await start()
  expect(asked).toMatchObject({
    device_code: expect.stringMatching(/^vk_dc_/),
    user_code: expect.stringMatching(/^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$/),
    verification_uri: `${server.origin}/device`,
    verification_uri_complete: `${server.origin}/device?user_code=${asked.user_code}`,
    expires_in: 600,
    interval: 5,
  })

  const confirm = await type(asked.user_code.toLowerCase().replace('-', ' '))
  expect(confirm.title).toBe('Connect Picture Frame? · Valetkey')
  expect(confirm.text).toContain(asked.user_code)
  expect(confirm.text).toContain('Only go on if you started this on your own device')
  expect(confirm.text).toContain('an app on a device')
  const signIn = await jamie.press(confirm, 'Continue')
  expect(signIn.title).toBe('Sign in · Valetkey')
  const consent = await jamie.signIn(signIn)
  expect(consent.text).toContain('Look at your photos')
  expect(consent.text).toContain('Your device goes on by itself')
  const done = await jamie.press(consent, 'Allow')
  expect(done.text).toContain('Your device is connected')

  const client = await app.client()
  const tokens = await openid.pollDeviceAuthorizationGrant(client, { ...asked, interval: 0 })
  expect(tokens.claims()!.sub).toBe(jamie.id)
  expect(await server.photos.introspect(tokens.access_token)).toMatchObject({
    active: true,
    sub: jamie.id,
    scope: 'photos.read',
  })
  const next = await openid.refreshTokenGrant(client, tokens.refresh_token!)
  expect(await server.photos.introspect(next.access_token)).toMatchObject({ active: true })
})

test('"Don’t allow" ends on a page, and the device is told', async () => {
  const { device_code, user_code } = await start()
  const page = await jamie.press(await toConsent(user_code), 'Don’t allow')
  expect(page.text).toContain('Nothing was allowed')
  expect(await ask(device_code)).toMatchObject({ status: 400, body: { error: 'access_denied' } })
  expect((await type(user_code)).text).toContain('used already')
})

test('"It was not me" ends it before anybody signs in', async () => {
  const { device_code, user_code } = await start()
  const stranger = jamie.elsewhere()
  const page = await stranger.press(await type(user_code, stranger), 'It was not me')
  expect(page.text).toContain('Nothing was allowed')
  expect(await ask(device_code)).toMatchObject({ status: 400, body: { error: 'access_denied' } })
})

test('until somebody decides it is pending, and a device that asks too often is told to slow down', async () => {
  const { device_code } = await start()
  const form = { grant_type: GRANT, device_code }
  expect((await app.post('/token', form)).body.error).toBe('authorization_pending')
  expect((await app.post('/token', form)).body.error).toBe('slow_down')
  await run(
    server.db,
    sql`update tokens set polled_at = polled_at - interval '5 seconds' where hash = ${digest(device_code)}`,
  )
  expect((await app.post('/token', form)).body.error).toBe('authorization_pending')
})

test('an expired code is no good to anybody', async () => {
  const { device_code, user_code } = await start()
  await run(
    server.db,
    sql`update tokens set expires_at = now() - interval '1 second' where hash = ${digest(device_code)}`,
  )
  const page = await type(user_code)
  expect(page).toMatchObject({ status: 422 })
  expect(page.text).toContain('This code has expired')
  expect(await ask(device_code)).toMatchObject({ status: 400, body: { error: 'expired_token' } })
})

test('a code that is none is refused, and too many of them stop a browser', async () => {
  const guesser = jamie.elsewhere()
  const wrong = await type('BCDF-BCDF', guesser)
  expect(wrong.status).toBe(422)
  expect(wrong.text).toContain('There is no such code')
  expect((await guesser.press(wrong, 'Continue', { user_code: '' })).text).toContain('Enter the code')
  for (let i = 0; i < 9; i++) expect((await type(`BCDF-BCD${'GHJKLMNPQ'[i]}`, guesser)).status).toBe(422)
  const { user_code } = await start()
  const page = await type(user_code, guesser)
  expect(page.status).toBe(429)
  expect(page.text).toContain('Too many codes that are none')
  expect((await type(user_code)).title).toContain('Connect Picture Frame?')
})

test('a form of somebody else decides nothing', async () => {
  const { device_code, user_code } = await start()
  await jamie.open(`${server.origin}/device`)
  const page = await jamie.post('/device', { user_code, confirm: 'yes', xsrf: 'of somebody else' })
  expect(page.status).toBe(400)
  expect(await ask(device_code)).toMatchObject({ body: { error: 'authorization_pending' } })
})

test('a code in the address stands in the form, as text, and is sent by a person', async () => {
  const { user_code, verification_uri_complete } = await start()
  const form = await jamie.open(verification_uri_complete!)
  expect(form.html).toContain(`value="${user_code}"`)
  expect((await jamie.press(form, 'Continue')).title).toContain('Connect Picture Frame?')
  const evil = await jamie.open(`/device?user_code=${encodeURIComponent('"><script>alert(1)</script>')}`)
  expect(evil.html).not.toContain('<script>alert')
})

test('allowed once, redeemed once: of several that ask at once, one gets tokens', async () => {
  const { device_code, user_code } = await start()
  await jamie.press(await toConsent(user_code), 'Allow')
  const form = { grant_type: GRANT, device_code }
  const answers = await Promise.all(Array.from({ length: 6 }, () => app.post('/token', form)))
  const statuses = answers.map(({ status }) => status).sort()
  expect(statuses).toEqual([200, 400, 400, 400, 400, 400])
  for (const { status, body } of answers) if (status === 400) expect(body.error).toBe('invalid_grant')
})

test('two who decide at once: the first one counts', async () => {
  const { user_code } = await start()
  const robin = await server.person('Robin')
  const [mine, theirs] = [await type(user_code), await type(user_code, robin)]
  const pages = await Promise.all([jamie.press(mine, 'Continue'), robin.press(theirs, 'Continue')])
  expect(pages.filter(({ url }) => url.pathname.startsWith('/interaction/'))).toHaveLength(1)
  // Refused when it is looked up, or when it is decided: whichever comes first.
  expect(pages.filter(({ status }) => status === 400 || status === 422)).toHaveLength(1)
})

test('a code is of the app that asked for it', async () => {
  const other = await server.app({ type: 'device', name: 'Kettle' })
  const { device_code, user_code } = await start()
  await jamie.press(await toConsent(user_code), 'Allow')
  expect(await ask(device_code, other)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
  expect(await ask(device_code)).toMatchObject({ status: 200 })
})

test('an app that was removed gets nothing, and its tokens are dead', async () => {
  const { device_code, user_code } = await start()
  await jamie.press(await toConsent(user_code), 'Allow')
  await run(server.db, sql`update grants set revoked_at = now() where client_id = ${app.id}`)
  expect(await ask(device_code)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
})

test('each device has an access of its own', async () => {
  const pair = await server.app({ type: 'device', name: 'Pair' })
  for (const _ of ['one', 'two']) {
    const { device_code, user_code } = await start(pair)
    await jamie.press(await toConsent(user_code), 'Allow')
    expect((await ask(device_code, pair)).status).toBe(200)
  }
  const { devices } = await one<{ devices: number }>(
    server.db,
    sql`select count(distinct device_id)::int as devices from grants where client_id = ${pair.id}`,
  )
  expect(devices).toBe(2)
})

test('nobody but its makers can connect an app that waits for approval', async () => {
  const waiting = await server.app({ type: 'device', name: 'Lamp' })
  await run(server.db, sql`update clients set state = 'pending' where id = ${waiting.id}`)
  const { device_code, user_code } = await start(waiting)
  expect((await toConsent(user_code)).text).toContain('cannot be used yet')
  expect(await ask(device_code, waiting)).toMatchObject({ body: { error: 'authorization_pending' } })
})

test('an app of another kind gets no device code', async () => {
  const web = await server.app()
  const answer = await web.post('/device_authorization', { scope: 'openid' })
  expect(answer).toMatchObject({ status: 400, body: { error: 'unauthorized_client' } })
  expect(answer.body.error_description).toContain('grant type is not allowed for this client')
})

test('"Use another account" lets another person enter the code', async () => {
  const { device_code, user_code } = await start()
  const robin = await server.person('Robin')
  const form = await jamie.press(await toConsent(user_code), 'Use another account')
  expect(form.title).toContain('Connect a device')
  const page = await jamie.press(await jamie.press(form, 'Continue', { user_code }), 'Continue')
  const consent = await jamie.press(page, 'Sign in', { email: robin.email, password: 'five wet umbrellas' })
  await jamie.press(consent, 'Allow')
  const { body } = await ask(device_code)
  expect(await server.photos.introspect(body.access_token)).toMatchObject({ active: true, sub: robin.id })
})

describe('a sign-in that was left half-way', () => {
  test('leaves the code open to the browser in which it was typed, until somebody decides', async () => {
    const { device_code, user_code } = await start()
    await toConsent(user_code)
    await type(user_code)

    const consent = await toConsent(user_code)
    expect(consent.title).toContain('wants access')
    await jamie.press(consent, 'Allow')

    expect((await ask(device_code)).status).toBe(200)
    expect((await type(user_code)).text).toContain('used already')
  })

  test('leaves it to nobody else', async () => {
    const { user_code } = await start()
    await toConsent(user_code)
    const robin = await server.person('Robin')

    expect((await type(user_code, robin)).text).toContain('used already')
  })

  test('gives one decision where it goes on in two tabs', async () => {
    const { device_code, user_code } = await start()
    const [first, second] = [await toConsent(user_code), await toConsent(user_code)]

    const refused = await jamie.press(second, 'Don’t allow')
    await jamie.press(first, 'Allow')

    expect(refused.text).toContain('Nothing was allowed')
    expect((await ask(device_code)).body.error).toBe('access_denied')
  })
})

test('neither code is kept as it is', async () => {
  const { device_code, user_code } = await start()
  await toConsent(user_code)
  const rows = await one<{ text: string }>(
    server.db,
    sql`select concat((select json_agg(t) from tokens t), (select json_agg(p) from provider_state p),
                      (select json_agg(s) from sessions s)) as text`,
  )
  expect(rows.text).not.toContain(device_code)
  expect(rows.text).not.toContain(user_code.replace('-', ''))
  expect(rows.text).not.toContain(user_code)
})

test('what administers is given to a device bound to a key alone', async () => {
  const ada = await administrator(server, 'Ada')
  const remote = await server.app({ type: 'device', name: 'Remote', scopes: ['openid', 'users:read'] })
  const client = await remote.client()
  const DPoP = openid.getDPoPHandle(client, await openid.randomDPoPKeyPair())
  const asked = await openid.initiateDeviceAuthorization(client, { scope: 'openid users:read' })
  const consent = await toConsent(asked.user_code, ada)
  await ada.press(consent, 'Allow', { scope: ['users:read'] })

  const bearer = await ask(asked.device_code, remote)
  expect(bearer).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
  expect(bearer.body.access_token).toBeUndefined()
  await run(server.db, sql`update tokens set polled_at = null`)
  const options = { DPoP }
  const tokens = await openid.pollDeviceAuthorizationGrant(
    client,
    { ...asked, interval: 0 },
    undefined,
    options,
  )
  const users = new URL(`${server.origin}/api/v1/users`)
  const answered = await openid.fetchProtectedResource(
    client,
    tokens.access_token,
    users,
    'GET',
    null,
    undefined,
    options,
  )

  expect(tokens).toMatchObject({ token_type: 'dpop', scope: 'openid users:read' })
  expect(answered.status).toBe(200)
  expect((await remote.refresh(tokens.refresh_token)).body.error).toMatch(/^invalid_/)
  expect((await openid.refreshTokenGrant(client, tokens.refresh_token!, undefined, options)).token_type).toBe(
    'dpop',
  )
})

test('a scope that administers, given to a device later, ends its bearer tokens with the next renewal', async () => {
  const { app: late, tokens } = await connected()

  await updateClient(server.db, late.id, { scopes: [...SCOPE.split(' '), 'users:read'] }, SYSTEM)
  await heard(server)

  expect((await late.refresh(tokens.refresh_token)).body).toMatchObject({ error: 'invalid_grant' })
})

describe('as at the authorization endpoint:', () => {
  const LONG_AGO = 1000

  async function begin(of: App, more: Record<string, string>) {
    const { status, body } = await of.post('/device_authorization', { scope: SCOPE, ...more })
    expect([status, body]).toEqual([200, expect.objectContaining({ user_code: expect.any(String) })])
    return body as { device_code: string; user_code: string }
  }

  /** Somebody who signed in a while ago. */
  async function signedIn(secondsAgo = LONG_AGO): Promise<Person> {
    const who = await server.person('Kim')
    await who.account()
    await age(who, secondsAgo)
    return who
  }

  async function age(who: Person, seconds: number): Promise<void> {
    await run(
      server.db,
      sql`update sessions
          set payload = jsonb_set(payload::jsonb, '{loginTs}', to_jsonb((payload->>'loginTs')::int - ${seconds}::int))::json
          where user_id = ${who.id}`,
    )
  }

  /** From the code to the end. @returns which pages there were, and the last one. */
  async function walk(user_code: string, who: Person): Promise<{ pages: string[]; last: Page }> {
    const pages: string[] = []
    let last = await who.press(await type(user_code, who), 'Continue')
    while (pages.length < 6) {
      const isSignIn = last.title.startsWith('Sign in')
      if (!isSignIn && !last.title.includes('wants access')) break
      pages.push(isSignIn ? 'sign in' : 'consent')
      last = isSignIn ? await who.signIn(last) : await who.press(last, 'Allow')
    }
    return { pages, last }
  }

  async function authTime(device_code: string): Promise<number | undefined> {
    const { status, body } = await ask(device_code)
    expect([status, body.error]).toEqual([200, undefined])
    return decodeJwt(body.id_token).auth_time as number | undefined
  }

  const isNow = (seconds: number | undefined) => Math.abs((seconds ?? 0) - Date.now() / 1000) < LONG_AGO / 2

  test.each<[string, Record<string, string>]>([
    ['prompt=login', { prompt: 'login' }],
    ['prompt=login consent', { prompt: 'login consent' }],
    ['max_age=0', { max_age: '0' }],
    ['a sign-in older than max_age', { max_age: '900' }],
  ])('%s wants a new sign-in, once, and the ID token says when it was', async (_, params) => {
    const who = await signedIn()
    const { device_code, user_code } = await begin(app, params)

    const { pages, last } = await walk(user_code, who)

    expect(pages).toEqual(['sign in', 'consent'])
    expect(last.text).toContain('Your device is connected')
    expect(isNow(await authTime(device_code))).toBe(true)
  })

  test.each<[string, Record<string, string>]>([
    ['a sign-in younger than max_age', { max_age: '3600' }],
    ['prompt=consent', { prompt: 'consent' }],
    ['no wish', {}],
  ])('%s wants none, and the decision all the same', async (_, params) => {
    const who = await signedIn()
    const { device_code, user_code } = await begin(app, params)

    const { pages } = await walk(user_code, who)

    expect(pages).toEqual(['consent'])
    expect((await ask(device_code)).status).toBe(200)
  })

  test('a sign-in that is too old when the person decides is asked for once more, and the decision stands', async () => {
    const who = await signedIn(0)
    const { device_code, user_code } = await begin(app, { max_age: '900' })
    const consent = await who.press(await type(user_code, who), 'Continue')
    expect(consent.title).toContain('wants access')
    await age(who, LONG_AGO)

    const signIn = await who.press(consent, 'Allow')
    expect(signIn.title).toContain('Sign in')
    expect(await ask(device_code)).toMatchObject({ body: { error: 'authorization_pending' } })
    const done = await who.signIn(signIn)

    expect(done.text).toContain('Your device is connected')
    expect(isNow(await authTime(device_code))).toBe(true)
  })

  test('prompt=login may be answered by another account, which then decides', async () => {
    const who = await signedIn()
    const robin = await server.person('Robin')
    const { device_code, user_code } = await begin(app, { prompt: 'login' })
    const signIn = await who.press(await type(user_code, who), 'Continue')

    let page = await who.press(signIn, 'Sign in', { email: robin.email, password: PASSWORD })
    // The provider ends the first session by a form of its own.
    if (page.html.includes('/session/end/confirm')) page = await who.press(page, 'Continue')
    expect(page.text).toContain(`Signed in as ${robin.email}`)
    await who.press(page, 'Allow')

    const { body } = await ask(device_code)
    expect(decodeJwt(body.id_token).sub).toBe(robin.id)
  })

  test('“Use another account” keeps what the device asked for', async () => {
    const who = await signedIn()
    const { device_code, user_code } = await begin(app, { prompt: 'login' })
    const consent = await who.signIn(await who.press(await type(user_code, who), 'Continue'))
    const form = await who.press(consent, 'Use another account')
    await who.account()
    await age(who, LONG_AGO)

    const page = await who.press(await who.press(form, 'Continue', { user_code }), 'Continue')
    expect(page.title).toContain('Sign in')
    await who.press(await who.signIn(page), 'Allow')

    expect(isNow(await authTime(device_code))).toBe(true)
  })

  test('an id_token_hint lets nobody decide but the person it names', async () => {
    const web = await server.app()
    const robin = await server.person('Robin')
    await web.connect(robin)
    const { device_code, user_code } = await begin(app, {})
    await jamie.press(await toConsent(user_code), 'Allow')
    const { id_token } = (await ask(device_code)).body

    const second = await begin(app, { id_token_hint: id_token })
    const page = await robin.press(await type(second.user_code, robin), 'Continue')
    expect(page.title).toContain('Sign in')
    const refused = await robin.signIn(page)
    expect(refused.text).toContain('asked for another account')
    expect(await ask(second.device_code)).toMatchObject({ status: 400, body: { error: 'login_required' } })

    const third = await begin(app, { id_token_hint: id_token })
    expect((await walk(third.user_code, jamie)).pages).toEqual(['consent'])
    const stored = await one<{ text: string }>(server.db, sql`select json_agg(t)::text as text from tokens t`)
    expect(stored.text).not.toContain(id_token)
  })

  test.each([
    ['none', 'a person decides about each device'],
    ['none login', 'a person decides about each device'],
    ['create', 'unsupported prompt value'],
  ])('prompt=%s is refused', async (prompt, why) => {
    const answer = await app.post('/device_authorization', { scope: SCOPE, prompt })

    expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
    expect(answer.body.error_description).toContain(why)
  })

  test('max_age that is no number of seconds is refused', async () => {
    const answer = await app.post('/device_authorization', { scope: SCOPE, max_age: '-1' })

    expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
  })

  test('deciding does not end what another tab is at', async () => {
    const who = await signedIn(0)
    const web = await server.app()
    const other = await who.open((await web.begin({ prompt: 'consent' })).url)
    const before = who.cookie('_session')

    const { user_code } = await begin(app, {})
    await walk(user_code, who)

    expect(who.cookie('_session')).toBe(before)
    expect((await who.press(other, 'Allow')).away!.searchParams.has('code')).toBe(true)
  })
})

async function connected() {
  const late = await server.app({ type: 'device', name: 'Late' })
  const { user_code, device_code } = await start(late)
  await jamie.press(await toConsent(user_code), 'Allow')
  const { body: tokens } = await ask(device_code, late)
  return { app: late, tokens }
}
