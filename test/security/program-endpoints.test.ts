// What an attacker tried at the endpoints for programs: the Admin API, tokens that APIs read themselves, ids that are addresses.
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { decodeJwt } from 'jose'
import { SYSTEM } from '../../src/base/audit-events.ts'
import { listRejectedRequests } from '../../src/core/diagnostics/store.ts'
import { setRole } from '../../src/core/users/roles.ts'
import { disableUser, enableUser, findUser } from '../../src/core/users/store.ts'
import { run, sql } from '../../src/db/pool.ts'
import { type ApiFixture, startApiFixture, tokenOf } from '../api/api-fixture.ts'
import { administrator } from '../pages/admin/admin-fixture.ts'
import { type DocumentHost, HOST, PRINTER, startDocumentHost } from '../support/documents.ts'
import { type Api, App, startServerFixture } from '../support/flow.ts'
import { until } from '../support/patience.ts'

const NOTES = {
  identifier: 'https://notes.example',
  name: 'Notes',
  scopes: [{ name: 'notes.read', sentence: 'Read your notes' }],
  token_format: 'jwt' as const,
}

let fixture: ApiFixture
let notes: Api
beforeAll(async () => {
  fixture = await startApiFixture({ API_REQUESTS_PER_MINUTE: '6000' })
  notes = await fixture.server.api({ ...NOTES, scopes: [...NOTES.scopes] })
})
afterAll(() => fixture.stop())

describe('a body of the Admin API', () => {
  test.each([
    ['lists', '[', ']'],
    ['objects', '{"a":', '}'],
  ])('that is thousands of %s deep is refused like any other', async (_, open, close) => {
    const depth = 9_000
    const body = `{"name":${open.repeat(depth)}${open === '[' ? '' : '1'}${close.repeat(depth)}}`

    const { status, body: told } = await fixture.call('POST', '/clients', { body })

    expect([status, told.code]).toEqual([422, 'invalid'])
  })
})

test('a key for a creation holds however the address is written', async () => {
  const headers = { 'Idempotency-Key': randomUUID() }
  const body = { name: 'web server 2' }
  const { id } = fixture.service
  const path = `/clients/${id}/secrets`

  const first = await fixture.call('POST', path, { body, headers })
  const others = await Promise.all(
    [`${path}/`, `/clients/${id.replace('_', '%5F')}/secrets`].map((each) =>
      fixture.call('POST', each, { body, headers }),
    ),
  )

  expect(first.body.client_secret).toMatch(/^vk_cs_/)
  expect(others.map((told) => told.headers.get('idempotency-replayed'))).toEqual(['true', 'true'])
  expect(others.map((told) => told.body.client_secret)).toEqual([null, null])
})

test.each([
  [
    '/resources',
    { identifier: 'https://a.example/\u202e', name: 'A', scopes: [{ name: 'a.b', sentence: 'A' }] },
  ],
  [
    '/resources',
    {
      identifier: 'https://a.example',
      name: 'A',
      scopes: [{ name: 'a.b', sentence: 'A', detail: 'not \u202eeb' }],
    },
  ],
  ['/registration-tokens', { name: 'CI \u202e', scopes: ['openid'] }],
])('what turns text around is no part of %s %j', async (path, body) => {
  const { status, body: told } = await fixture.call('POST', path, { body })

  expect([status, told.code]).toEqual([422, 'invalid'])
})

test.each(['role', 'disablement'])(
  'a token that makes no administrators does not undo, by asking all the time, what is decided of one: %s',
  async (what) => {
    const { db } = fixture.server
    const weak = await fixture.server.app({ type: 'service', name: 'Weak', scopes: ['users:write'] })
    const token = await tokenOf(weak, ['users:write'])
    const mallory = await administrator(fixture.server, 'Mallory')
    const ask = () =>
      what === 'role'
        ? fixture.call('PUT', `/users/${mallory.id}/role`, { token, body: { role: 'admin' } })
        : fixture.call('DELETE', `/users/${mallory.id}/disablement`, { token })

    for (let round = 0; round < 25; round++) {
      const asked = Promise.all(Array.from({ length: 12 }, ask))
      await new Promise((resolve) => setTimeout(resolve, round % 12))
      if (what === 'role') await setRole(db, mallory.id, 'user', SYSTEM)
      else await disableUser(db, mallory.id, SYSTEM)
      await asked
      const { role, disabled_at } = (await findUser(db, mallory.id))!
      expect([role, disabled_at !== null]).toEqual(what === 'role' ? ['user', false] : ['admin', true])
      if (what === 'role') await setRole(db, mallory.id, 'admin', SYSTEM)
      else await enableUser(db, mallory.id, SYSTEM)
    }
  },
)

describe('a JWT for an API', () => {
  test('is not had by an app that asked the person for nothing of that API', async () => {
    const app = await fixture.server.app({ name: 'Curious', scopes: ['openid'] })

    const { access_token } = await app.connect(fixture.ada, { scope: 'openid', resource: NOTES.identifier })
    const { code, form } = await app.code(fixture.ada, { scope: 'openid', resource: NOTES.identifier })
    const named = await app.post('/token', { ...form, code, resource: NOTES.identifier })

    for (const token of [access_token, named.body.access_token]) {
      expect(token).toMatch(/^vk_at_/)
      expect(await notes.introspect(token)).toEqual({ active: false })
    }
  })

  test('is not had where the person allowed nothing of that API', async () => {
    const app = await fixture.server.app({ name: 'Declined', scopes: ['openid', 'notes.read'] })
    const pending = await app.begin({ scope: 'openid notes.read', resource: NOTES.identifier })
    const back = await fixture.ada.authorize(pending.url, { scope: [] })

    const answer = await app.post('/token', {
      grant_type: 'authorization_code',
      code: back.searchParams.get('code')!,
      redirect_uri: app.redirectUri,
      code_verifier: pending.verifier,
      resource: NOTES.identifier,
    })

    expect(answer.body).toMatchObject({ access_token: expect.stringMatching(/^vk_at_/) })
    expect(await notes.introspect(answer.body.access_token)).toEqual({ active: false })
  })

  test.each([NOTES.identifier, 'https://photos.example'])(
    'nor any token for %s, by a program that may ask for nothing of it',
    async (resource) => {
      const service = await fixture.server.app({
        type: 'service',
        name: 'Bystander',
        scopes: ['prints.order'],
      })
      const nobody = await fixture.server.app({ type: 'service', name: 'Nobody', scopes: [] })
      const asking = { grant_type: 'client_credentials', resource }

      const answers = await Promise.all([
        nobody.post('/token', asking),
        service.post('/token', { ...asking, scope: 'prints.order' }),
      ])

      const [none, some] = answers.map(({ status, body }) => [status, body.error])
      expect(none).toEqual([400, 'invalid_target'])
      expect(some![0]).toBe(resource === NOTES.identifier ? 400 : 200)
    },
  )

  test('that is asked about or revoked is no mistake that an app made', async () => {
    const app = await fixture.server.app({ name: 'Orderly', scopes: ['openid', 'notes.read'] })
    const { access_token } = await app.connect(fixture.ada, { scope: 'openid notes.read' })
    expect(decodeJwt(access_token).aud).toBe(NOTES.identifier)

    await app.introspect(access_token)
    await app.post('/revoke', { token: access_token })
    // Written in the order in which it happened: when this one is there, the others would be.
    await app.post('/token', {
      grant_type: 'authorization_code',
      code: 'none',
      redirect_uri: app.redirectUri,
    })

    const errors = async () =>
      (await listRejectedRequests(fixture.server.db, app.id)).map(({ endpoint }) => endpoint)
    await until(async () => (await errors()).length > 0)
    expect(await errors()).toEqual(['/token'])
    expect(await app.introspect(access_token)).toEqual({ active: false })
  })
})

describe('an app at the longest address that is a client id', () => {
  let host: DocumentHost
  beforeAll(async () => {
    host = await startDocumentHost()
  })
  afterAll(() => host.stop())

  test('is seen and stopped over the Admin API', async () => {
    const server = await startServerFixture(
      { CLIENT_ID_METADATA_DOCUMENTS: 'on' },
      { fetchOutside: host.fetchOutside },
    )
    try {
      const path = `/${'a'.repeat(500 - `https://${HOST}/`.length)}`
      const id = host.put(path, PRINTER)
      expect(id).toHaveLength(500)
      const alice = await server.person('Alice')
      const app = new App(server.origin, id, undefined, PRINTER.redirect_uris[0]!)
      await alice.open((await app.begin({ scope: 'openid' })).url)

      const service = await server.app({ type: 'service', scopes: ['clients:read', 'clients:write'] })
      const { body } = await service.post('/token', {
        grant_type: 'client_credentials',
        scope: 'clients:write',
      })
      const address = `${server.origin}/api/v1/clients/${encodeURIComponent(id)}/suspension`
      const { status } = await fetch(address, {
        method: 'PUT',
        headers: { Authorization: `Bearer ${body.access_token}` },
      })

      expect(status).toBe(200)
      const suspended = await run(
        server.db,
        sql`select from clients where id = ${id} and suspended_at is not null`,
      )
      expect(suspended).toBe(1)
    } finally {
      await server.stop()
    }
  })
})
