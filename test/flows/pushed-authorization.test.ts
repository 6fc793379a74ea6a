// Pushed authorization requests (RFC 9126): the request is checked beforehand, and its address is good for one use.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import * as openid from 'openid-client'
import { digest } from '../../src/base/credentials.ts'
import { run, sql } from '../../src/db/pool.ts'
import {
  type App,
  atTime,
  PASSWORD,
  type Pending,
  type Person,
  type ServerFixture,
  startServerFixture,
} from '../support/flow.ts'

let server: ServerFixture
let app: App
let jamie: Person
beforeAll(async () => {
  server = await startServerFixture()
  app = await server.app()
  jamie = await server.person('Jamie')
})
afterAll(() => server.stop())

test('a pushed request leads through sign-in and consent to tokens', async () => {
  const pending = await app.begin()
  const url = await openid.buildAuthorizationUrlWithPAR(await app.client(), pending.url.searchParams)
  expect([...url.searchParams.keys()].sort()).toEqual(['client_id', 'request_uri'])

  const signIn = await jamie.open(url)
  expect(signIn.title).toBe('Sign in · Valetkey')
  const consent = await jamie.signIn(signIn)
  expect(consent.text).toContain('Look at your photos')
  const { away } = await jamie.press(consent, 'Allow')

  const tokens = await app.finish(away!, pending)
  expect(tokens.scope).toBe('openid profile email photos.read')
  expect(tokens.claims()!.sub).toBe(jamie.id)
})

test('a request_uri is good for one use', async () => {
  const pending = await app.begin()
  const uri = await push(pending)
  expect((await jamie.open(uri)).away!.searchParams.has('code')).toBe(true)

  const again = await jamie.open(uri)

  expect(again.status).toBe(400)
  expect(again.away).toBeUndefined()
  expect(again.text).toContain('invalid_request_uri')
})

test('reloading before signing in is no second use', async () => {
  const uri = await push(await app.begin())
  const stranger = jamie.elsewhere()

  await stranger.open(uri)
  const page = await stranger.open(uri)

  expect(page.title).toBe('Sign in · Valetkey')
  const { away } = await stranger.signIn(page)
  expect(away!.searchParams.get('code')).toMatch(/^vk_ac_/)
})

test('"Use another account" goes on with a pushed request', async () => {
  const robin = await server.person('Robin')
  const pending = await app.begin({ prompt: 'consent' })
  const consent = await jamie.open(await push(pending))

  const signIn = await jamie.press(consent, 'Use another account')
  expect(signIn.title).toBe('Sign in · Valetkey')
  const page = await jamie.press(signIn, 'Sign in', { email: robin.email, password: 'five wet umbrellas' })
  const { away } = await jamie.press(page, 'Allow')

  expect((await app.finish(away!, pending)).claims()!.sub).toBe(robin.id)
})

describe('a pushed request is used once, whatever stood between it and its answer (RFC 9126 §4)', () => {
  test('sign-in and consent', async () => {
    const visitor = jamie.elsewhere()
    const newcomer = await server.app({ name: 'Newcomer' })
    const uri = await push(await newcomer.begin(), newcomer)
    expect((await visitor.authorize(uri)).searchParams.has('code')).toBe(true)

    await expectUsed(visitor, uri)
  })

  test('prompt=login', async () => {
    const visitor = await signedIn()
    const uri = await push(await app.begin({ prompt: 'login' }))
    const { away } = await visitor.signIn(await visitor.open(uri))
    expect(away!.searchParams.has('code')).toBe(true)

    await expectUsed(visitor, uri)
  })

  test('another account, of which no address says what was pushed', async () => {
    const robin = await server.person('Robin')
    const visitor = await signedIn()
    const pending = await app.begin({ prompt: 'consent' })
    const uri = await push(pending)
    const consent = await visitor.open(uri)

    const signIn = await visitor.press(consent, 'Use another account')
    expect(signIn.url.href).toBe(`${server.origin}${signIn.url.pathname}`)
    expect(signIn.url.pathname).toMatch(/^\/interaction\/[^/]+$/)
    const asked = await visitor.press(signIn, 'Sign in', { email: robin.email, password: PASSWORD })
    const { away } = await visitor.press(asked, 'Allow')

    expect((await app.finish(away!, pending)).claims()!.sub).toBe(robin.id)
    await expectUsed(visitor, uri)
  })

  test('“Don’t allow”', async () => {
    const visitor = await signedIn()
    const uri = await push(await app.begin({ prompt: 'consent' }))
    const { away } = await visitor.press(await visitor.open(uri), 'Don’t allow')
    expect(away!.searchParams.get('error')).toBe('access_denied')

    await expectUsed(visitor, uri)
  })

  test('an error that no page came before', async () => {
    const stranger = jamie.elsewhere()
    const uri = await push(await app.begin({ prompt: 'none' }))
    const { away } = await stranger.open(uri)
    expect(away!.searchParams.get('error')).toBe('login_required')

    await expectUsed(stranger, uri)
  })

  test('of two browsers that began with it one gets a code, also when it has been forgotten since', async () => {
    for (const isForgotten of [false, true]) {
      const uri = await push(await app.begin())
      const [mine, other] = [jamie.elsewhere(), jamie.elsewhere()]
      const [first, second] = [await mine.open(uri), await other.open(uri)]
      if (isForgotten) await run(server.db, sql`delete from provider_state where kind like 'pushed%'`)

      const pages = await Promise.all([mine.signIn(first), other.signIn(second)])

      const won = pages.filter(({ away }) => away?.searchParams.has('code'))
      const [lost] = pages.filter((page) => !won.includes(page))
      expect(won).toHaveLength(1)
      expect(lost!.away!.searchParams.get('error')).toBe('invalid_request_uri')
    }
  })

  test('all pages of one request together take an hour at most', async () => {
    const visitor = jamie.elsewhere()
    const uri = await push(await app.begin({ prompt: 'login consent' }))
    const signIn = await visitor.open(uri)

    const page = await atTime(40 * 60, () => visitor.signIn(signIn))
    const inTime = await atTime(59 * 60, () => visitor.open(page.url))
    const late = await atTime(61 * 60, () => visitor.open(page.url))

    expect([page.title, inTime.status, late.status]).toEqual([
      expect.stringContaining('wants access'),
      200,
      410,
    ])
  })

  test('the digest of an address is no address', async () => {
    const uri = await push(await app.begin())
    const named = new URL(uri)
    const urn = 'urn:ietf:params:oauth:request_uri:'
    const id = uri.searchParams.get('request_uri')!.slice(urn.length)
    named.searchParams.set('request_uri', `${urn}sha256:${digest(id).toString('base64url')}`)

    const visitor = await signedIn()
    const page = await visitor.open(named)

    expect(page).toMatchObject({ status: 400, away: undefined })
    expect((await visitor.open(uri)).away!.searchParams.has('code')).toBe(true)
  })
})

test('a request_uri of another client, an unknown one and an old one are refused', async () => {
  const other = await server.app({ name: 'Thief' })
  const foreign = await push(await app.begin())
  foreign.searchParams.set('client_id', other.id)
  const unknown = new URL(foreign)
  unknown.searchParams.set('client_id', app.id)
  unknown.searchParams.set('request_uri', 'urn:ietf:params:oauth:request_uri:never')
  const old = await push(await app.begin())
  await run(
    server.db,
    sql`update provider_state set expires_at = now() - interval '1 second' where kind like 'pushed%'`,
  )

  for (const uri of [foreign, unknown, old]) {
    const page = await jamie.open(uri)

    expect(page.status).toBe(400)
    expect(page.away).toBeUndefined()
  }
})

test('a request that is wrong is refused when it is pushed', async () => {
  for (const [params, error] of [
    [{ redirect_uri: 'https://evil.example/' }, 'invalid_request'],
    [{ scope: 'photos.burn', nonce: undefined }, 'invalid_scope'],
    [{ code_challenge: undefined, code_challenge_method: undefined }, 'invalid_request'],
    [{ response_type: 'token' }, 'unsupported_response_type'],
    [{ request_uri: 'urn:ietf:params:oauth:request_uri:x' }, 'request_uri_not_supported'],
  ] as const) {
    const { url } = await app.begin(params)

    const answer = await app.post('/par', Object.fromEntries(url.searchParams))

    expect(answer.status).toBe(400)
    expect(answer.body.error).toBe(error)
    expect(answer.body.request_uri).toBeUndefined()
  }
})

test('pushing needs the client’s secret', async () => {
  const { url } = await app.begin()
  const body = url.searchParams

  const answer = await fetch(`${server.origin}/par`, { method: 'POST', body })

  expect(answer.status).toBe(401)
  expect(await answer.json()).toMatchObject({ error: 'invalid_client' })
})

test('a public client pushes with its id alone', async () => {
  const spa = await server.app({ type: 'spa', name: 'In a page' })
  const pending = await spa.begin()
  const answer = await spa.post('/par', Object.fromEntries(pending.url.searchParams))

  expect(answer.status).toBe(201)
  expect(answer.body).toEqual({
    request_uri: expect.stringMatching(/^urn:ietf:params:oauth:request_uri:/),
    expires_in: 60,
  })
})

async function signedIn(): Promise<Person> {
  const visitor = jamie.elsewhere()
  await visitor.account()
  return visitor
}

async function expectUsed(person: Person, uri: URL): Promise<void> {
  const again = await person.open(uri)
  expect(again).toMatchObject({ status: 400, away: undefined })
  expect(again.text).toContain('invalid_request_uri')
}

async function push({ url }: Pending, by = app): Promise<URL> {
  const { status, body } = await by.post('/par', Object.fromEntries(url.searchParams))
  expect(status).toBe(201)
  return new URL(
    `${server.origin}/auth?${new URLSearchParams({ client_id: by.id, request_uri: body.request_uri })}`,
  )
}
