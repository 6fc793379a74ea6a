// What programs send and get: JSON whatever they accept, one credential a request, and no more stored of a request than 8 kB.
import { request as httpRequest } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { createClient } from '../../src/core/clients/create.ts'
import { checkClientId } from '../../src/core/clients/ids.ts'
import { many, sql } from '../../src/db/pool.ts'
import { type App, asking, call, populate, send, type World } from '../support/attack.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { startApp, type TestApp } from '../support/server.ts'
import { TABLE } from './route-access.ts'

const FORM = { 'content-type': 'application/x-www-form-urlencoded' }
const OAUTH = ['/token', '/introspect', '/revoke', '/par', '/device_authorization', '/userinfo']

let database: TestDatabase
let world: World
let app: TestApp
let tv: App
beforeAll(async () => {
  database = await createTestDatabase()
  world = await populate(database.db)
  app = await startApp({ db: database.db })
  const made = await createClient(
    database.db,
    { name: 'Frame', type: 'device', scopes: ['openid'] },
    { type: 'cli' },
  )
  tv = { ...world.spa, id: made.client.id }
})
afterAll(async () => {
  await app?.stop()
  await database?.drop()
})

describe.each(OAUTH)('%s', (path) => {
  test.each([
    ['nothing of use', 'POST', 'x=1', FORM],
    ['a wrong method', 'DELETE', '', {}],
    ['a wrong type', 'POST', '{}', { 'content-type': 'application/json' }],
    ['bytes that are no address', 'POST', '', FORM],
  ])('answers %s in OAuth JSON to a browser, too', async (what, method, body, headers) => {
    const address = what.startsWith('bytes') ? `${path}?a=%00` : path

    const {
      status,
      headers: answered,
      text,
    } = await send(method, app.origin, address, {
      headers: { ...headers, accept: 'text/html' },
      body,
    })

    expect(status).toBeGreaterThanOrEqual(400)
    expect(status).toBeLessThan(500)
    expect(answered.get('content-type')).toMatch(/^application\/json/)
    expect(JSON.parse(text)).toMatchObject({ error: expect.stringMatching(/^[a-z_]+$/) })
  })

  test.each(['authorization', 'dpop'])('refuses two %s headers', async (name) => {
    const { status, body } = await twice(path, name)

    expect([status, JSON.parse(body)]).toEqual([
      400,
      { error: 'invalid_request', error_description: expect.stringContaining('more than one') },
    ])
  })
})

test.each(['/api/v1/clients', '/register', '/account'])(
  'two Authorization headers at %s are refused',
  async (path) => {
    expect((await twice(path, 'authorization')).status).toBe(400)
  },
)

describe('a credential that comes twice in a body', () => {
  test.each([
    ['client_secret', { client_secret: 'x' }],
    ['client_id', { client_id: 'x' }],
  ])('%s', async (name, second) => {
    const { id, secret } = world.service
    const fields = new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: id,
      client_secret: secret!,
    })
    fields.append(name, Object.values(second)[0]!)

    const { status, text } = await send('POST', app.origin, '/token', { form: fields })

    expect([status, JSON.parse(text).error]).toEqual([400, 'invalid_request'])
  })

  test('a secret in header and body', async () => {
    const { id, secret } = world.service
    const basic = `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`

    const { status, text } = await send('POST', app.origin, '/token', {
      headers: { authorization: basic },
      form: { grant_type: 'client_credentials', client_id: id, client_secret: secret! },
    })

    expect([status, JSON.parse(text).error]).toEqual([400, 'invalid_request'])
  })

  test('a token in header and body', async () => {
    const { status, text } = await send('POST', app.origin, '/userinfo', {
      headers: { authorization: 'Bearer vk_at_x' },
      form: { access_token: 'vk_at_x' },
    })

    expect([status, JSON.parse(text).error]).toEqual([400, 'invalid_request'])
  })
})

describe('what is stored of a request is at most 8 kB', () => {
  const long = { state: 'x'.repeat(20_000) }

  test('/par', async () => {
    const { status, body } = await call(app.origin, '/par', world.web, { ...asking(world.web), ...long })

    expect([status, body.error]).toEqual([400, 'invalid_request'])
    expect(await many(database.db, sql`select from provider_state`)).toEqual([])
  })

  test('/device_authorization', async () => {
    const { status, body } = await call(app.origin, '/device_authorization', tv, {
      scope: 'openid',
      login_hint: 'x'.repeat(20_000),
    })

    expect([status, body.error]).toEqual([400, 'invalid_request'])
    expect(await many(database.db, sql`select from tokens where kind = 'device_code'`)).toEqual([])
  })
})

test('nobody pushes requests in the name of our own pages', async () => {
  const { status, text } = await send('POST', app.origin, '/par', {
    form: {
      client_id: 'valetkey-account',
      response_type: 'none',
      scope: 'openid',
      redirect_uri: `${app.origin}/account/signed-in`,
      code_challenge: 'x'.repeat(43),
      code_challenge_method: 'S256',
    },
  })

  expect([status, JSON.parse(text).error]).toEqual([400, 'unauthorized_client'])
  expect(await many(database.db, sql`select from provider_state`)).toEqual([])
})

test('no app gets an id that is a word of our own addresses', () => {
  const rows = Object.keys(TABLE).map((row) => row.split(' ')[1]!)
  const prefixes = new Set(
    rows.flatMap((path) => path.match(/^.*(?=:(client_id|blocked_id)(\/|$))/)?.[0] ?? []),
  )
  const words = rows.flatMap((path) =>
    [...prefixes].flatMap((prefix) => {
      const word = path.startsWith(prefix) ? path.slice(prefix.length).split('/')[0]! : ''
      return word && !word.startsWith(':') ? [word] : []
    }),
  )

  expect(words.length).toBeGreaterThan(0)
  const free = [...new Set(words)].filter((word) => {
    try {
      checkClientId(word)
      return true
    } catch {
      return false
    }
  })
  expect(free).toEqual([])
})

/** A request with the same header twice, as separate lines. */
function twice(path: string, name: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const req = httpRequest(`${app.origin}${path}`, {
      method: path.startsWith('/api') || path === '/account' ? 'GET' : 'POST',
      headers: { ...FORM, [name]: ['Basic eDp5', 'Basic eTp6'] },
    })
    req.on('response', (res) => {
      let body = ''
      res.setEncoding('utf8').on('data', (chunk: string) => {
        body += chunk
      })
      res.on('end', () => resolve({ status: res.statusCode!, body }))
    })
    req.on('error', reject)
    req.end()
  })
}
