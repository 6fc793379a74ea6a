// The device authorization grant (RFC 8628): a program without a browser shows a code, a person types it in elsewhere.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import * as openid from 'openid-client'
import { digest } from '../../src/credentials.ts'
import { one, run, sql } from '../../src/db/pool.ts'
import { type App, type Page, type Person, startStage } from '../support/flow.ts'

let stage: Awaited<ReturnType<typeof startStage>>
let app: App
let jamie: Person
beforeAll(async () => {
  stage = await startStage()
  app = await stage.app({ type: 'device', name: 'Picture Frame' })
  jamie = await stage.person('Jamie')
})
afterAll(() => stage.stop())

const GRANT = 'urn:ietf:params:oauth:grant-type:device_code'
const SCOPE = 'openid profile email photos.read'

async function start(of: App = app): Promise<openid.DeviceAuthorizationResponse> {
  return openid.initiateDeviceAuthorization(await of.client(), { scope: SCOPE })
}

/** Asks for the tokens once, whatever was asked before. */
async function ask(code: string, of: App = app) {
  await run(stage.db, sql`update tokens set polled_at = null where hash = ${digest(code)}`)
  return of.post('/token', { grant_type: GRANT, device_code: code })
}

/** Types a code in, as far as the page that asks whether the device is one's own. */
async function type(user_code: string, who: Person = jamie): Promise<Page> {
  const form = await who.open(`${stage.origin}/device`)
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
    verification_uri: `${stage.origin}/device`,
    verification_uri_complete: `${stage.origin}/device?user_code=${asked.user_code}`,
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
  expect(await stage.photos.introspect(tokens.access_token)).toMatchObject({
    active: true,
    sub: jamie.id,
    scope: 'photos.read',
  })
  const next = await openid.refreshTokenGrant(client, tokens.refresh_token!)
  expect(await stage.photos.introspect(next.access_token)).toMatchObject({ active: true })
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
    stage.db,
    sql`update tokens set polled_at = polled_at - interval '5 seconds' where hash = ${digest(device_code)}`,
  )
  expect((await app.post('/token', form)).body.error).toBe('authorization_pending')
})

test('an expired code is no good to anybody', async () => {
  const { device_code, user_code } = await start()
  await run(
    stage.db,
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
  await jamie.open(`${stage.origin}/device`)
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
  const robin = await stage.person('Robin')
  const [mine, theirs] = [await type(user_code), await type(user_code, robin)]
  const pages = await Promise.all([jamie.press(mine, 'Continue'), robin.press(theirs, 'Continue')])
  expect(pages.filter(({ url }) => url.pathname.startsWith('/interaction/'))).toHaveLength(1)
  // Refused when it is looked up, or when it is decided: whichever comes first.
  expect(pages.filter(({ status }) => status === 400 || status === 422)).toHaveLength(1)
})

test('a code is of the app that asked for it', async () => {
  const other = await stage.app({ type: 'device', name: 'Kettle' })
  const { device_code, user_code } = await start()
  await jamie.press(await toConsent(user_code), 'Allow')
  expect(await ask(device_code, other)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
  expect(await ask(device_code)).toMatchObject({ status: 200 })
})

test('an app that was removed gets nothing, and its tokens are dead', async () => {
  const { device_code, user_code } = await start()
  await jamie.press(await toConsent(user_code), 'Allow')
  await run(stage.db, sql`update grants set revoked_at = now() where client_id = ${app.id}`)
  expect(await ask(device_code)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
})

test('each device has an access of its own', async () => {
  const pair = await stage.app({ type: 'device', name: 'Pair' })
  for (const _ of ['one', 'two']) {
    const { device_code, user_code } = await start(pair)
    await jamie.press(await toConsent(user_code), 'Allow')
    expect((await ask(device_code, pair)).status).toBe(200)
  }
  const { devices } = await one<{ devices: number }>(
    stage.db,
    sql`select count(distinct device_id)::int as devices from grants where client_id = ${pair.id}`,
  )
  expect(devices).toBe(2)
})

test('nobody but its makers can connect an app that waits for approval', async () => {
  const waiting = await stage.app({ type: 'device', name: 'Lamp' })
  await run(stage.db, sql`update clients set state = 'pending' where id = ${waiting.id}`)
  const { device_code, user_code } = await start(waiting)
  expect((await toConsent(user_code)).text).toContain('cannot be used yet')
  expect(await ask(device_code, waiting)).toMatchObject({ body: { error: 'authorization_pending' } })
})

test('an app of another kind gets no device code', async () => {
  const web = await stage.app()
  const answer = await web.post('/device_authorization', { scope: 'openid' })
  expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
  expect(answer.body.error_description).toContain('device_code is not allowed for this client')
})

test('"Use another account" lets another person enter the code', async () => {
  const { device_code, user_code } = await start()
  const robin = await stage.person('Robin')
  const form = await jamie.press(await toConsent(user_code), 'Use another account')
  expect(form.title).toContain('Connect a device')
  const page = await jamie.press(await jamie.press(form, 'Continue', { user_code }), 'Continue')
  const consent = await jamie.press(page, 'Sign in', { email: robin.email, password: 'five wet umbrellas' })
  await jamie.press(consent, 'Allow')
  const { body } = await ask(device_code)
  expect(await stage.photos.introspect(body.access_token)).toMatchObject({ active: true, sub: robin.id })
})

test('neither code is kept as it is', async () => {
  const { device_code, user_code } = await start()
  await toConsent(user_code)
  const rows = await one<{ text: string }>(
    stage.db,
    sql`select concat((select json_agg(t) from tokens t), (select json_agg(p) from provider_state p),
                      (select json_agg(s) from sessions s)) as text`,
  )
  expect(rows.text).not.toContain(device_code)
  expect(rows.text).not.toContain(user_code.replace('-', ''))
  expect(rows.text).not.toContain(user_code)
})
