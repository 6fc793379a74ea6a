// What a request asks for: the scopes that it names, without those that nobody knows; or the default ones, when it names none.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { listRejectedRequests } from '../../src/core/diagnostics/store.ts'
import { one, sql } from '../../src/db/pool.ts'
import {
  type Answer,
  type Api,
  type App,
  type Person,
  PHOTOS,
  type ServerFixture,
  startServerFixture,
} from '../support/flow.ts'
import { until } from '../support/patience.ts'

const CALENDAR = {
  identifier: 'https://calendar.example',
  name: 'Calendar',
  scopes: [
    { name: 'calendar.read', sentence: 'See your appointments' },
    { name: 'calendar.write', sentence: 'Change your appointments', by_default: false },
  ],
}

let server: ServerFixture & { photos: Api }
let jamie: Person
let app: App
beforeAll(async () => {
  server = await startServerFixture()
  await server.api(CALENDAR)
  jamie = await server.person('Jamie')
  app = await server.app({
    scopes: ['openid', 'email', 'photos.read', 'prints.order', 'calendar.read', 'calendar.write'],
  })
})
afterAll(() => server.stop())

/** Where an app can begin, and how it learns what it was refused. */
const BEGINNINGS = {
  async '/auth'(of: App, params: Record<string, string | undefined>) {
    const { away } = await jamie.open((await of.begin({ nonce: undefined, ...params })).url)
    return away?.searchParams.get('error') ?? undefined
  },
  async '/par'(of: App, params: Record<string, string | undefined>) {
    const { url } = await of.begin({ nonce: undefined, ...params })
    return errorOf(await of.post('/par', Object.fromEntries(url.searchParams)))
  },
  async '/device_authorization'(_of: App, params: Record<string, string | undefined>) {
    const device = await server.app({ type: 'device', name: 'TV', scopes: ['openid', 'photos.read'] })
    return errorOf(await device.post('/device_authorization', sent(params)))
  },
  async '/token'(_of: App, params: Record<string, string | undefined>) {
    const service = await server.app({ type: 'service', name: 'Nightly', scopes: ['photos.read'] })
    return errorOf(await service.post('/token', { grant_type: 'client_credentials', ...sent(params) }))
  },
}

function sent(params: Record<string, string | undefined>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(params).filter((entry): entry is [string, string] => entry[1] !== undefined),
  )
}

function errorOf({ body }: Answer): string | undefined {
  return body.error
}

describe('a request without a scope', () => {
  test('with a resource asks for the default scopes of that API, which a person can allow', async () => {
    const pending = await app.begin({ scope: undefined, nonce: undefined, resource: CALENDAR.identifier })

    const page = await jamie.signIn(await jamie.open(pending.url))

    expect(page.text).toContain('See your appointments')
    expect(page.text).not.toContain('Change your appointments')
    expect(page.text).not.toContain('Look at your photos')
    const { away } = await jamie.press(page, 'Allow')
    expect((await app.finish(away!, pending)).scope).toBe('calendar.read')
  })

  test('without a resource asks for the default scopes that the app may have, and for nothing about the person', async () => {
    const { away, text } = await jamie.open((await app.begin({ scope: undefined, nonce: undefined })).url)

    expect(away).toBeUndefined()
    expect(text).toContain('Look at your photos')
    expect(text).toContain('See your appointments')
    expect(text).not.toContain('Order prints')
    expect(text).not.toContain('Your email address')
  })

  test('the same when it is pushed, and by a device', async () => {
    const { url } = await app.begin({ scope: undefined, nonce: undefined, resource: PHOTOS.identifier })
    const pushed = await app.post('/par', Object.fromEntries(url.searchParams))
    const address = new URL(`${server.origin}/auth`)
    address.search = String(new URLSearchParams({ client_id: app.id, request_uri: pushed.body.request_uri }))
    expect((await jamie.open(address)).text).toContain('Look at your photos')

    const device = await server.app({ type: 'device', name: 'TV', scopes: ['openid', 'photos.read'] })
    const asked = await device.post('/device_authorization', { resource: PHOTOS.identifier })
    const entered = await jamie.open(asked.body.verification_uri_complete)
    const confirm = await jamie.press(entered, 'Continue')
    expect((await jamie.press(confirm, 'Continue')).text).toContain('Look at your photos')
  })

  test('a service gets the default scopes of its API', async () => {
    const service = await server.app({
      type: 'service',
      name: 'Nightly',
      scopes: ['calendar.read', 'calendar.write'],
    })

    const { status, body } = await service.post('/token', { grant_type: 'client_credentials' })

    expect(status).toBe(200)
    expect(body.scope).toBe('calendar.read')
  })

  test.each(Object.entries(BEGINNINGS))(
    'is refused at %s where nothing is the default, before any page',
    async (_, begin) => {
      const narrow = await server.app({ name: 'Narrow', scopes: ['openid', 'email', 'prints.order'] })
      const before = await countOfInteractions()

      expect(await begin(narrow, { scope: undefined, resource: CALENDAR.identifier })).toMatch(
        /^invalid_(scope|target)$/,
      )
      expect(await countOfInteractions()).toBe(before)
    },
  )

  test('tells the maker of the app what to send', async () => {
    const narrow = await server.app({ name: 'Narrow', scopes: ['openid', 'email'] })

    const { away } = await jamie.open((await narrow.begin({ scope: undefined, nonce: undefined })).url)

    expect(away!.searchParams.get('error')).toBe('invalid_scope')
    await until(async () => (await listRejectedRequests(server.db, narrow.id)).length > 0)
    expect((await listRejectedRequests(server.db, narrow.id))[0]).toMatchObject({
      kind: 'scope_missing',
      expected: 'any of: openid email',
    })
  })
})

describe('scopes that nobody knows', () => {
  test('are left out of a sign-in, which goes on', async () => {
    const tokens = await app.connect(jamie, { scope: 'openid groups email phone' })

    expect(tokens.scope).toBe('openid email')
    expect(tokens.claims()).toMatchObject({ sub: jamie.id, email: jamie.email })
  })

  test('are noted for the maker of the app, with what may have been meant', async () => {
    const other = await server.app({ name: 'Other', scopes: ['openid', 'photos.read'] })

    await other.connect(jamie, { scope: 'openid photos.red groups' })

    await until(async () => (await listRejectedRequests(server.db, other.id)).length > 0)
    expect(await listRejectedRequests(server.db, other.id)).toEqual([
      expect.objectContaining({
        kind: 'scope_left_out',
        expected: 'did you mean photos.read?',
        received: 'photos.red groups',
      }),
    ])
  })

  test.each(Object.entries(BEGINNINGS))('are refused at %s when they are all there is', async (_, begin) => {
    expect(await begin(app, { scope: 'groups phone' })).toBe('invalid_scope')
  })

  test('are left out beside scopes of an API', async () => {
    const tokens = await app.connect(jamie, { scope: 'photos.read photos.everything', nonce: undefined })

    expect(tokens.scope).toBe('photos.read')
  })

  test('do not open what the app may not ask for', async () => {
    const { away } = await jamie.open((await app.begin({ scope: 'openid photos.share groups' })).url)

    expect(away!.searchParams.get('error')).toBe('invalid_scope')
  })
})

test('a scope of another API than the named one is refused before any page', async () => {
  const params = { scope: 'calendar.read', nonce: undefined, resource: PHOTOS.identifier }
  const { away } = await jamie.open((await app.begin(params)).url)

  expect(away!.searchParams.get('error')).toBe('invalid_scope')
})

test('discovery lists no scope of the Admin API', async () => {
  const { scopes_supported } = (await app.client()).serverMetadata()

  expect(scopes_supported).toEqual(expect.arrayContaining(['openid', 'photos.read', 'calendar.read']))
  expect(scopes_supported!.filter((scope) => /^(users|clients|audit):/.test(scope))).toEqual([])
})

async function countOfInteractions(): Promise<number> {
  const { count } = await one<{ count: number }>(
    server.db,
    sql`select count(*)::int as count from provider_state`,
  )
  return count
}
