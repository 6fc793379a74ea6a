// Pushed authorization requests (RFC 9126): the request is checked beforehand, and its address is good for one use.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import * as openid from 'openid-client'
import { run, sql } from '../../src/db/pool.ts'
import { type App, type Pending, type Person, type Stage, startStage } from '../support/flow.ts'

let stage: Stage
let app: App
let jamie: Person
beforeAll(async () => {
  stage = await startStage()
  app = await stage.app()
  jamie = await stage.person('Jamie')
})
afterAll(() => stage.stop())

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
  expect(tokens.scope).toBe('photos.read')
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
  const robin = await stage.person('Robin')
  const pending = await app.begin({ prompt: 'consent' })
  const consent = await jamie.open(await push(pending))

  const signIn = await jamie.press(consent, 'Use another account')
  expect(signIn.title).toBe('Sign in · Valetkey')
  const page = await jamie.press(signIn, 'Sign in', { email: robin.email, password: 'five wet umbrellas' })
  const { away } = await jamie.press(page, 'Allow')

  expect((await app.finish(away!, pending)).claims()!.sub).toBe(robin.id)
})

test('a request_uri of another client, an unknown one and an old one are refused', async () => {
  const other = await stage.app({ name: 'Thief' })
  const foreign = await push(await app.begin())
  foreign.searchParams.set('client_id', other.id)
  const unknown = new URL(foreign)
  unknown.searchParams.set('client_id', app.id)
  unknown.searchParams.set('request_uri', 'urn:ietf:params:oauth:request_uri:never')
  const old = await push(await app.begin())
  await run(
    stage.db,
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
    [{ scope: 'openid photos.burn' }, 'invalid_scope'],
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

  const answer = await fetch(`${stage.origin}/par`, { method: 'POST', body })

  expect(answer.status).toBe(401)
  expect(await answer.json()).toMatchObject({ error: 'invalid_client' })
})

test('a public client pushes with its id alone', async () => {
  const spa = await stage.app({ type: 'spa', name: 'In a page' })
  const pending = await spa.begin()
  const answer = await spa.post('/par', Object.fromEntries(pending.url.searchParams))

  expect(answer.status).toBe(201)
  expect(answer.body).toEqual({
    request_uri: expect.stringMatching(/^urn:ietf:params:oauth:request_uri:/),
    expires_in: 60,
  })
})

async function push({ url }: Pending): Promise<URL> {
  const { status, body } = await app.post('/par', Object.fromEntries(url.searchParams))
  expect(status).toBe(201)
  return new URL(
    `${stage.origin}/auth?${new URLSearchParams({ client_id: app.id, request_uri: body.request_uri })}`,
  )
}
