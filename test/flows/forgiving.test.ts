// What real clients send and other servers forgive: it opens nothing, so it works here, too.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { listRejectedRequests } from '../../src/core/diagnostics/store.ts'
import {
  type Api,
  App,
  type Person,
  PHOTOS,
  type ServerFixture,
  startServerFixture,
} from '../support/flow.ts'
import { until } from '../support/patience.ts'

let server: ServerFixture & { photos: Api }
let web: App
let spa: App
let jamie: Person
beforeAll(async () => {
  server = await startServerFixture({ DYNAMIC_REGISTRATION: 'open' })
  web = await server.app()
  spa = await server.app({ type: 'spa' })
  jamie = await server.person('Jamie')
})
afterAll(() => server.stop())

function basic(id: string, secret: string): string {
  return Buffer.from(`${id}:${secret}`).toString('base64')
}

async function post(path: string, form: Record<string, string>, authorization: string): Promise<Response> {
  const headers = { Authorization: authorization }
  return fetch(`${server.origin}${path}`, { method: 'POST', headers, body: new URLSearchParams(form) })
}

describe('/revoke', () => {
  test.each(['vk_at_nothing', 'a.b.c'])('answers an empty body without a type (%s)', async (token) => {
    const { status, headers, body } = await web.post('/revoke', { token })

    expect([status, body, headers.get('content-type')]).toEqual([200, '', null])
  })
})

describe('client authentication', () => {
  test('any number of blanks may follow the scheme', async () => {
    const { form } = await web.code(jamie)

    const answer = await post('/token', form, `Basic   ${basic(web.id, web.secret!)} `)

    expect(answer.status).toBe(200)
    const { access_token } = (await answer.json()) as { access_token: string }
    const headers = { Authorization: `Bearer  ${access_token}` }
    expect((await fetch(`${server.origin}/userinfo`, { headers })).status).toBe(200)
  })

  test('a public client may name itself with an empty secret (RFC 6749 §2.3.1)', async () => {
    const { form } = await spa.code(jamie)

    expect((await post('/token', form, `Basic ${basic(spa.id, '')}`)).status).toBe(200)
  })

  test('a confidential client that does is not authenticated, and is told how', async () => {
    const { form } = await web.code(jamie)

    const answer = await post('/token', form, `Basic ${basic(web.id, '')}`)

    expect(answer.status).toBe(401)
    expect(((await answer.json()) as { error: string }).error).toBe('invalid_client')
    expect(answer.headers.get('www-authenticate')).toMatch(/^Basic realm=/)
    expect((await web.post('/token', form)).status).toBe(200)
  })

  test('the header and the form must name the same client', async () => {
    const { form } = await spa.code(jamie)

    const answer = await post('/token', { ...form, client_id: web.id }, `Basic ${basic(spa.id, '')}`)

    expect(answer.status).toBe(400)
    expect(((await answer.json()) as { error: string }).error).toBe('invalid_request')
  })
})

describe('what a client may not use is unauthorized_client (RFC 6749)', () => {
  test.each([
    [
      'a grant type',
      () => web.post('/token', { grant_type: 'urn:ietf:params:oauth:grant-type:device_code' }),
    ],
    ['client credentials', () => spa.post('/token', { grant_type: 'client_credentials' })],
    ['the device flow', () => web.post('/device_authorization', { scope: 'openid' })],
  ])('%s', async (_, send) => {
    const { status, body } = await send()

    expect([status, body.error]).toEqual([400, 'unauthorized_client'])
  })
})

describe('the address of an API', () => {
  test.each([`${PHOTOS.identifier}/`, 'HTTPS://PHOTOS.example', 'https://photos.example:443'])(
    'as %s is the same API, in each request',
    async (resource) => {
      const { form } = await web.code(jamie, { scope: 'openid photos.read', resource })

      const { status, body } = await web.post('/token', { ...form, resource })

      expect(status).toBe(200)
      expect(await server.photos.introspect(body.access_token)).toMatchObject({ aud: PHOTOS.identifier })
      expect((await web.refresh(body.refresh_token, { resource })).status).toBe(200)
    },
  )

  test.each(['https://photos.example/other', 'http://photos.example', 'https://photos.example.evil.example'])(
    'as %s is another one',
    async (resource) => {
      const { away } = await jamie.open((await web.begin({ resource })).url)

      expect(away!.searchParams.get('error')).toBe('invalid_target')
    },
  )
})

test('an address of an API that is slashes only takes no longer than another', async () => {
  const credentials = { Authorization: `Basic ${basic(web.id, web.secret!)}` }
  const ask = (resource: string) =>
    fetch(`${server.origin}/token`, {
      method: 'POST',
      headers: { ...credentials, 'Content-Type': 'application/x-www-form-urlencoded' },
      // Not encoded: 50 kB of them fit into a form.
      body: `grant_type=client_credentials&resource=https://photos.example${resource}`,
    })
  await ask('/other')
  const before = process.cpuUsage()

  expect((await ask(`${'/'.repeat(50_000)}x`)).status).toBe(400)

  // Processor time, which a slow machine does not lengthen much: some ten milliseconds, where a pattern that tries again at each slash takes seconds.
  const { user, system } = process.cpuUsage(before)
  expect((user + system) / 1_000).toBeLessThan(500)
})

describe('a redirect URI with a query', () => {
  const QUERIES = ['?tenant=a%20b&x=%7E~', '?a=1&a=2', '?plain', '?a=%2f&b=', '?']

  test.each(QUERIES)('%s comes back byte by byte, with the answer behind it', async (query) => {
    const uri = `https://printer.example/callback${query}`
    const app = await server.app({ redirect_uris: [uri], name: 'Printer' })
    const { url, state } = await app.begin()
    const consent = await jamie.open(url)
    const allowed = await jamie.press(consent, 'Allow')

    const location = allowed.headers.get('location')!
    expect(location.startsWith(query === '?' ? `${uri}code=` : `${uri}&code=`)).toBe(true)
    expect(new URL(location).searchParams.get('state')).toBe(state)
    const wrong = await jamie.open((await app.begin({ prompt: 'none login' })).url)
    expect(wrong.headers.get('location')!.startsWith(`${uri}${query === '?' ? '' : '&'}error=`)).toBe(true)
  })
})

test('an app with addresses of the web and of the device may use any port there', async () => {
  const answer = await fetch(`${server.origin}/register`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({
      client_name: 'Editor',
      redirect_uris: ['https://editor.example/redirect', 'http://127.0.0.1/'],
      token_endpoint_auth_method: 'none',
      scope: 'openid',
    }),
  })
  const { client_id } = (await answer.json()) as { client_id: string }
  const editor = new App(server.origin, client_id, undefined, 'http://127.0.0.1:53117/')

  const { text, away } = await jamie.open((await editor.begin({ scope: 'openid' })).url)

  expect(away).toBeUndefined()
  expect(text).toContain('Editor')
})

test('a sign-out that is refused reaches the errors of the app', async () => {
  const app = await server.app({ name: 'Leaver' })
  const address = new URLSearchParams({
    client_id: app.id,
    post_logout_redirect_uri: 'https://printer.example/by',
  })

  expect((await jamie.open(`/session/end?${address}`)).status).toBe(400)

  await until(async () => (await listRejectedRequests(server.db, app.id)).length > 0)
  expect(await listRejectedRequests(server.db, app.id)).toEqual([
    expect.objectContaining({
      kind: 'post_logout_mismatch',
      endpoint: '/session/end',
      expected: 'https://printer.example/bye',
      received: 'https://printer.example/by',
    }),
  ])
})
