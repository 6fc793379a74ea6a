// Deciding about an app: what is asked, what is remembered, and that exactly this much is allowed.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { SYSTEM } from '../../src/base/audit-events.ts'
import { revokeApp } from '../../src/core/grants/account-apps.ts'
import { changeScope } from '../../src/core/resources/update.ts'
import { many, one, run, sql } from '../../src/db/pool.ts'
import {
  type Api,
  type App,
  PASSWORD,
  type Page,
  type Person,
  PHOTOS,
  type ServerFixture,
  startServerFixture,
} from '../support/flow.ts'
import { heard } from '../support/heard.ts'

const ALL = 'openid profile email photos.read photos.share prints.order'

let server: ServerFixture & { photos: Api }
let app: App
let jamie: Person
beforeAll(async () => {
  server = await startServerFixture()
})
afterAll(() => server.stop())
beforeEach(async () => {
  app = await server.app()
  jamie = await server.person('Jamie')
})

describe('the page', () => {
  test('says who asks, as whom, for what, and where it leads', async () => {
    const page = await consentPage()

    expect(page.text).toContain('Photo Printer wants access to your account')
    expect(page.text).toContain('printer.example Not verified')
    expect(page.text).toContain(`Signed in as ${jamie.email}`)
    expect(page.text).toContain('Know who you are Your name and email address')
    expect(page.text).toContain('Order prints This spends your money')
    expect(page.text).toContain('You will go to printer.example')
  })

  test('leads to what the app says about data and terms, where it says so', async () => {
    const pages = { policy_uri: 'https://printer.example/privacy', tos_uri: 'https://printer.example/terms' }
    const own = await server.app({ name: 'Careful', ...pages })
    const page = await jamie.signIn(await jamie.open((await own.begin()).url))

    for (const address of Object.values(pages)) expect(page.html).toContain(`href="${address}"`)
    expect(page.text).toContain('What Careful says itself: privacy policy , terms')
    expect((await consentPage()).text).not.toContain('says itself')
  })

  test('ticks nothing in advance that is dangerous', async () => {
    const page = await consentPage()

    expect(ticked(page)).toEqual(['photos.read', 'photos.share'])
  })

  test('may not be framed, and is not kept by caches', async () => {
    const page = await consentPage()

    expect(page.headers.get('content-security-policy')).toContain("frame-ancestors 'none'")
    expect(page.headers.get('cache-control')).toBe('no-store')
  })
})

describe('what is allowed', () => {
  test('is what was ticked: the rest stays out of the token, and is not asked again', async () => {
    const { access_token } = await app.connect(jamie, { scope: ALL }, { scope: ['photos.read'] })

    expect(await scopes(access_token)).toEqual(['photos.read'])
    const again = await app.connect(jamie, { scope: ALL })
    expect(await scopes(again.access_token)).toEqual(['photos.read'])
  })

  test('never goes past what was asked, whatever the form says', async () => {
    const pending = await app.begin({ scope: 'openid photos.read' })
    const page = await jamie.signIn(await jamie.open(pending.url))

    const { away } = await jamie.press(page, 'Allow', {
      scope: ['photos.read', 'prints.order', 'email', '__proto__'],
    })

    const tokens = await app.finish(away!, pending)
    expect(await scopes(tokens.access_token)).toEqual(['photos.read'])
    expect(tokens.claims()).not.toHaveProperty('email')
    expect((await consentRow()).scopes.sort()).toEqual(['openid', 'photos.read'])
  })

  test('is what the page said: where a scope means something else by now, it is shown again', async () => {
    const shared = { name: 'photos.share', sentence: 'Share your photos', detail: '', dangerous: false }
    const page = await consentPage()
    await changeScope(
      server.db,
      PHOTOS.identifier,
      'photos.share',
      { ...shared, sentence: 'Sell them' },
      SYSTEM,
    )
    await heard(server)

    const again = await jamie.press(page, 'Allow')

    expect(again.status).toBe(422)
    expect(again.text).toContain('has changed in the meantime')
    expect(again.text).toContain('Sell them')
    expect(await many(server.db, sql`select from consents where user_id = ${jamie.id}`)).toEqual([])
    expect((await jamie.press(again, 'Allow')).away!.searchParams.has('code')).toBe(true)
    await changeScope(server.db, PHOTOS.identifier, 'photos.share', shared, SYSTEM)
    await heard(server)
  })

  test('may be nothing but who the person is', async () => {
    const tokens = await app.connect(jamie, { scope: ALL }, { scope: [] })

    expect(tokens.scope ?? '').not.toMatch(/photos|prints/)
    expect((await server.photos.introspect(tokens.access_token)).active).toBe(false)
    expect(await consentRow()).toMatchObject({
      scopes: expect.arrayContaining(['openid', 'profile', 'email']),
      rejected_scopes: expect.arrayContaining(['photos.read', 'photos.share', 'prints.order']),
    })
  })

  test('must be something: with nothing ticked and nothing else asked the page says so', async () => {
    const pending = await app.begin({ scope: 'photos.read', nonce: undefined })
    const page = await jamie.signIn(await jamie.open(pending.url))

    const again = await jamie.press(page, 'Allow', { scope: [] })

    expect(again.status).toBe(422)
    expect(again.text).toContain('Tick at least one thing, or choose “Don’t allow”.')
  })

  test('is recorded: who, what, from where', async () => {
    await app.connect(jamie, { scope: ALL }, { scope: ['photos.read'] })

    const [event] = await server.events({ type: 'consent.given', user_id: jamie.id })
    expect(event).toMatchObject({
      actor_type: 'user',
      actor_id: jamie.id,
      client_id: app.id,
      ip: '127.0.0.1',
      request_id: expect.any(String),
      user_agent: expect.stringContaining('Firefox'),
    })
    expect(event!.data).toEqual({
      scopes: expect.arrayContaining(['openid', 'photos.read']),
      rejected_scopes: expect.arrayContaining(['photos.share', 'prints.order']),
    })
  })
})

describe('what is remembered', () => {
  test('outlives the session: after signing out and in again nothing is asked', async () => {
    await app.connect(jamie)
    await jamie.press(await jamie.open('/session/end'), 'Sign out')

    const { away } = await jamie.signIn(await jamie.open((await app.begin()).url))

    expect(away!.searchParams.get('code')).toMatch(/^vk_ac_/)
  })

  test('holds on another device, which gets a grant of its own', async () => {
    await app.connect(jamie, { scope: ALL }, { scope: ['photos.read'] })
    const phone = jamie.elsewhere()

    const pending = await app.begin({ scope: ALL })
    const { away } = await phone.signIn(await phone.open(pending.url))

    const tokens = await app.finish(away!, pending)
    expect(await scopes(tokens.access_token)).toEqual(['photos.read'])
    const grants = await many<{ device: string }>(
      server.db,
      sql`select device from grants where user_id = ${jamie.id} order by created_at`,
    )
    expect(grants).toEqual([{ device: 'Firefox on Linux' }, { device: 'Safari on iPhone' }])
  })

  test('is per person', async () => {
    await app.connect(jamie)
    const robin = await server.person('Robin')

    const page = await robin.signIn(await robin.open((await app.begin()).url))

    expect(page.title).toContain('wants access')
  })

  test('is per app', async () => {
    await app.connect(jamie)
    const other = await server.app({ name: 'Other App' })

    expect((await jamie.open((await other.begin()).url)).title).toContain('Other App wants access')
  })

  test('a new scope is asked, marked, and added to what was allowed', async () => {
    await app.connect(jamie, { scope: 'openid photos.read' })
    const pending = await app.begin({ scope: 'openid photos.read photos.share' })

    const page = await jamie.open(pending.url)

    expect(page.text).toContain('Share your photos New')
    expect(page.text).not.toContain('Look at your photos New')
    expect(ticked(page)).toEqual(['photos.read', 'photos.share'])
    const tokens = await app.finish((await jamie.press(page, 'Allow')).away!, pending)
    expect(await scopes(tokens.access_token)).toEqual(['photos.read', 'photos.share'])
    // What was asked earlier stays answered.
    expect((await jamie.open((await app.begin({ scope: 'openid photos.read' })).url)).away).toBeDefined()
  })

  test('asking for less gives less, and takes nothing back', async () => {
    await app.connect(jamie, { scope: 'openid photos.read photos.share' })

    const less = await app.connect(jamie, { scope: 'openid photos.read' })
    const full = await app.connect(jamie, { scope: 'openid photos.read photos.share' })

    expect(await scopes(less.access_token)).toEqual(['photos.read'])
    expect(await scopes(full.access_token)).toEqual(['photos.read', 'photos.share'])
  })

  test('a later decision replaces an earlier one', async () => {
    await app.connect(jamie, { scope: ALL }, { scope: ['photos.read', 'prints.order'] })

    const tokens = await app.connect(jamie, { scope: ALL, prompt: 'consent' }, { scope: ['photos.share'] })

    expect(await scopes(tokens.access_token)).toEqual(['photos.share'])
    const phone = await app.connect(jamie.elsewhere(), { scope: ALL })
    expect(await scopes(phone.access_token)).toEqual(['photos.share'])
  })
})

test('a browser that signs out and in again is still one device', async () => {
  await app.connect(jamie)
  await jamie.press(await jamie.open('/session/end'), 'Sign out')

  await app.connect(jamie)

  expect((await jamie.account('/account/apps')).text).toContain('1 device')
  const devices = sql`select distinct device_id from grants where user_id = ${jamie.id} and revoked_at is null`
  expect(await many(server.db, devices)).toHaveLength(1)
})

// The list of apps tells the latest decision; a connection that holds more than it tells must not outlive it.
test('unticking something ends the connections that still hold it, on every device', async () => {
  const laptop = await app.connect(jamie, { scope: ALL }, { scope: ['photos.read', 'prints.order'] })

  await app.connect(jamie.elsewhere(), { scope: ALL, prompt: 'consent' }, { scope: ['photos.read'] })

  expect((await jamie.open('/account/apps')).text).not.toContain('Order prints')
  expect(await scopes(laptop.access_token)).not.toContain('prints.order')
  const { body } = await app.refresh(laptop.refresh_token)
  expect(body.scope ?? '').not.toContain('prints.order')
})

describe('for a time', () => {
  test('access for a day ends by itself, with everything on it', async () => {
    const tokens = await app.connect(jamie, {}, { keep: 'day' })
    const { hours } = await one<{ hours: number }>(
      server.db,
      sql`select extract(epoch from ends_at - now())::float8 / 3600 as hours from grants where user_id = ${jamie.id}`,
    )
    expect(hours).toBeCloseTo(24, 1)
    expect((await jamie.account('/account/apps')).text).toContain('access ends')

    await aDayPasses()

    expect(await app.introspect(tokens.access_token)).toEqual({ active: false })
    expect(await server.photos.introspect(tokens.access_token)).toEqual({ active: false })
    expect((await app.refresh(tokens.refresh_token)).body.error).toBe('invalid_grant')
    expect((await jamie.account('/account/apps')).text).toContain('No app has access to your account')
  })

  test('afterwards the app must ask again', async () => {
    await app.connect(jamie, {}, { keep: 'day' })
    await aDayPasses()

    const page = await jamie.open((await app.begin()).url)

    expect(page.title).toContain('wants access')
  })

  test('allowing anew does not bring back what ended: not the tokens, not the scopes', async () => {
    const ended = await app.connect(jamie, { scope: 'openid photos.read photos.share' }, { keep: 'day' })
    await aDayPasses()

    const anew = await app.connect(jamie, { scope: 'openid photos.read' }, { keep: 'always' })

    expect(await scopes(anew.access_token)).toEqual(['photos.read'])
    expect(await app.introspect(ended.access_token)).toEqual({ active: false })
    expect(await app.introspect(ended.refresh_token!)).toEqual({ active: false })
    expect((await app.refresh(ended.refresh_token)).body.error).toBe('invalid_grant')
    expect((await consentRow()).scopes.sort()).toEqual(['openid', 'photos.read'])
  })

  test('a day is chosen for all devices: what was for ever ends with it', async () => {
    const before = await app.connect(jamie)
    await app.connect(jamie.elsewhere(), { prompt: 'consent' }, { keep: 'day' })

    await aDayPasses()

    expect(await app.introspect(before.access_token)).toEqual({ active: false })
  })

  test.each([
    ['year', 365],
    ['month', 30],
  ])('for a %s means %i days', async (keep, days) => {
    await app.connect(jamie, {}, { keep })

    const { left } = await one<{ left: number }>(
      server.db,
      sql`select extract(epoch from expires_at - now())::float8 / 86400 as left from consents where user_id = ${jamie.id}`,
    )
    expect(left).toBeCloseTo(days, 1)
  })

  test('a time that is not offered is refused', async () => {
    const page = await consentPage()

    const again = await jamie.press(page, 'Allow', { keep: 'forever-and-a-day' })

    expect(again.status).toBe(422)
    expect(again.text).toContain('Choose again')
  })
})

describe('"Don’t allow"', () => {
  test('says access_denied to the app, and changes nothing', async () => {
    const pending = await app.begin()
    const page = await jamie.signIn(await jamie.open(pending.url))

    const { away } = await jamie.press(page, 'Don’t allow')

    expect(Object.fromEntries(away!.searchParams)).toMatchObject({
      error: 'access_denied',
      state: pending.state,
      iss: server.origin,
    })
    expect(await many(server.db, sql`select from grants where user_id = ${jamie.id}`)).toEqual([])
    expect(await server.events({ type: 'consent.refused', user_id: jamie.id })).toHaveLength(1)
  })

  test('is no decision for ever: the next time the page is there again', async () => {
    await jamie.press(await consentPage(), 'Don’t allow')

    expect((await jamie.open((await app.begin()).url)).title).toContain('wants access')
  })

  test('of a new scope leaves what was allowed before', async () => {
    const { access_token, refresh_token } = await app.connect(jamie, { scope: 'openid photos.read' })
    const page = await jamie.open((await app.begin({ scope: ALL })).url)

    await jamie.press(page, 'Don’t allow')

    expect((await app.introspect(access_token)).active).toBe(true)
    expect((await app.refresh(refresh_token)).status).toBe(200)
  })
})

test('an app of our own is not asked about', async () => {
  const own = await server.app({ name: 'Our Album', first_party: true })
  const pending = await own.begin()

  const { away } = await jamie.signIn(await jamie.open(pending.url))

  const tokens = await own.finish(away!, pending)
  expect(tokens.scope).toBe('openid profile email photos.read')
  const page = await jamie.open('/account/apps')
  expect(page.text).toContain('Our Album')
  expect(page.text).toContain('Built in')
})

test('"Use another account" signs in somebody else, and the request goes on', async () => {
  const robin = await server.person('Robin')
  const pending = await app.begin({ login_hint: jamie.email })
  const page = await jamie.signIn(await jamie.open(pending.url))

  const signIn = await jamie.press(page, 'Use another account')
  expect(signIn.title).toBe('Sign in · Valetkey')
  const consent = await jamie.press(signIn, 'Sign in', { email: robin.email, password: PASSWORD })
  expect(consent.text).toContain(`Signed in as ${robin.email}`)
  const { away } = await jamie.press(consent, 'Allow')

  expect((await app.finish(away!, pending)).claims()!.sub).toBe(robin.id)
  expect((await jamie.open('/account')).text).toContain(robin.email)
})

test('an app that was removed must ask again', async () => {
  await app.connect(jamie)
  await revokeApp(server.db, jamie.id, app.id, SYSTEM)

  const page = await jamie.open((await app.begin()).url)

  expect(page.title).toContain('wants access')
  expect(page.text).not.toContain('New')
})

test('an app that was suspended while the person was deciding gets nothing, and the page says so', async () => {
  const page = await consentPage()
  await run(server.db, sql`update clients set suspended_at = now() where id = ${app.id}`)
  const interaction = page.url

  const later = await jamie.open(interaction)
  const pressed = await jamie.press(page, 'Allow')

  expect(later.status).toBeGreaterThanOrEqual(400)
  expect(later.status).toBeLessThan(500)
  expect(pressed.status).toBeGreaterThanOrEqual(400)
  expect(pressed.status).toBeLessThan(500)
  expect(pressed.away).toBeUndefined()
  expect(await many(server.db, sql`select from grants where user_id = ${jamie.id}`)).toEqual([])
})

async function consentPage(): Promise<Page> {
  const page = await jamie.open((await app.begin({ scope: ALL })).url)
  return page.title.startsWith('Sign in') ? jamie.signIn(page) : page
}

function ticked(page: Page): string[] {
  return [...page.html.matchAll(/<input[^>]*name="scope"[^>]*>/g)]
    .filter(([tag]) => /\bchecked\b/.test(tag))
    .map(([tag]) => /value="([^"]*)"/.exec(tag)![1]!)
    .sort()
}

async function scopes(access_token: string): Promise<string[]> {
  const { scope } = await server.photos.introspect(access_token)
  return (scope ?? '').split(' ').filter(Boolean).sort()
}

function consentRow() {
  return one<{ scopes: string[]; rejected_scopes: string[] }>(
    server.db,
    sql`select scopes, rejected_scopes from consents where user_id = ${jamie.id} and revoked_at is null`,
  )
}

async function aDayPasses(): Promise<void> {
  await run(
    server.db,
    sql`update grants set ends_at = ends_at - interval '25 hours' where user_id = ${jamie.id}`,
  )
  await run(
    server.db,
    sql`update consents set expires_at = expires_at - interval '25 hours' where user_id = ${jamie.id}`,
  )
}
