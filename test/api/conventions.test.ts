// The conventions that hold for every operation: pages, versions, repeated requests, limits, and what is refused how.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { sweepAnswers } from '../../src/api/idempotency.ts'
import { SYSTEM } from '../../src/base/audit-events.ts'
import { createUser } from '../../src/core/users/store.ts'
import { many, one, run, sql } from '../../src/db/pool.ts'
import { tally } from '../support/attack.ts'
import { freePort, startApp, type TestApp } from '../support/server.ts'
import { type ApiFixture, startApiFixture, tokenFor, tokenOf } from './api-fixture.ts'

let fixture: ApiFixture
let call: ApiFixture['call']
/** Another node over the same database, behind the same name. */
let other: TestApp
let elsewhere: string
beforeAll(async () => {
  fixture = await startApiFixture({ API_REQUESTS_PER_MINUTE: '100000' })
  call = fixture.call
  const port = await freePort()
  elsewhere = `http://localhost:${port}`
  other = await startApp({
    db: fixture.server.db,
    env: { ISSUER_URL: fixture.server.origin, PORT: `${port}`, API_REQUESTS_PER_MINUTE: '100000' },
  })
})
afterAll(async () => {
  await other.stop()
  await fixture.stop()
})

const SERVICE = { name: 'Nightly', type: 'service' }
const WEB = { name: 'Printer', type: 'web', redirect_uris: ['https://printer.example/callback'] }

describe('pages', () => {
  test('a walk through 250 apps meets each once, whatever comes and goes meanwhile', async () => {
    const { db } = fixture.server
    await run(
      db,
      sql`insert into clients (id, name, type) select 'walk-' || n, 'Walking ' || n, 'service' from generate_series(1, 250) n`,
    )
    const seen: string[] = []
    let path: string | undefined = '/clients?q=Walking&limit=40'
    for (let i = 0; path; i++) {
      const { body, headers }: Awaited<ReturnType<typeof call>> = await call('GET', path)
      seen.push(...body.items.map(({ id }: { id: string }) => id))
      const link = /^<([^>]+)>; rel="next"$/.exec(headers.get('link') ?? '')?.[1] ?? null
      expect(link).toBe(body.next)
      path = body.next?.slice(`${fixture.server.origin}/api/v1`.length)
      // A newer one, and the end of the one where the next page begins.
      if (i === 1) {
        await call('POST', '/clients', { body: { ...SERVICE, name: 'Walking late' } })
        await call('DELETE', `/clients/${seen.at(-1)}`)
      }
    }

    expect(new Set(seen).size).toBe(250)
    expect(seen).toHaveLength(250)
  })

  test('so does a walk through accounts and events', async () => {
    for (let i = 0; i < 12; i++) {
      await createUser(fixture.server.db, { email: `walk${i}@example.com`, name: `Walker ${i}` }, SYSTEM)
    }
    for (const [start, count] of [
      ['/users?q=Walker&limit=5', 12],
      ['/audit-events?type=user.created&limit=5', undefined],
    ] as const) {
      const seen: string[] = []
      for (let path: string | undefined = start; path; ) {
        const { body }: Awaited<ReturnType<typeof call>> = await call('GET', path)
        seen.push(...body.items.map(({ id }: { id: string }) => id))
        path = body.next?.slice(`${fixture.server.origin}/api/v1`.length)
      }
      expect(new Set(seen).size).toBe(seen.length)
      const { total } = await one<{ total: number }>(
        fixture.server.db,
        sql`select count(*)::int as total from audit_events where type = 'user.created'`,
      )
      expect(seen).toHaveLength(count ?? total)
    }
  })
})

describe('If-Match', () => {
  test('of 20 who change what they have seen, on two nodes, one does', async () => {
    const { body, headers } = await call('POST', '/clients', { body: WEB })
    const sent = { 'If-Match': headers.get('etag')! }
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        call('PATCH', `/clients/${body.id}`, {
          body: { name: `Printer ${i}` },
          headers: sent,
          origin: i % 2 ? elsewhere : fixture.server.origin,
        }),
      ),
    )

    expect(tally(answers)).toEqual({ 200: 1, 412: 19 })
    const winner = answers.find(({ status }) => status === 200)!
    expect((await call('GET', `/clients/${body.id}`)).body).toMatchObject({
      name: winner.body.name,
      version: 2,
    })
    expect(winner.headers.get('etag')).toBe('"2"')
  })

  test('it is demanded, and only the strong one counts', async () => {
    const { body } = await call('POST', '/clients', { body: WEB })
    const path = `/clients/${body.id}`
    const change = (headers: Record<string, string>) => call('PATCH', path, { body: { name: 'X' }, headers })

    expect((await change({})).body.code).toBe('precondition_required')
    for (const wrong of ['W/"1"', '"9"', '1', 'nonsense']) {
      expect([wrong, (await change({ 'If-Match': wrong })).status]).toEqual([wrong, 412])
    }
    expect((await call('DELETE', path, { headers: { 'If-Match': '"7"' } })).status).toBe(412)
    expect((await call('PUT', `${path}/suspension`, { headers: { 'If-Match': '"7"' } })).status).toBe(412)
    expect((await change({ 'If-Match': '"8", "1"' })).status).toBe(200)
    expect((await change({ 'If-Match': '*' })).status).toBe(200)
  })
})

describe('Idempotency-Key', () => {
  const count = async (name: string) =>
    (await many(fixture.server.db, sql`select id from clients where name = ${name}`)).length

  test('of 20 requests with one key at once, on two nodes, one makes something, and all are told the same', async () => {
    const body = { ...SERVICE, name: 'Only once' }
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        call('POST', '/clients', {
          body,
          headers: { 'Idempotency-Key': 'k-1' },
          origin: i % 2 ? elsewhere : fixture.server.origin,
        }),
      ),
    )

    expect(await count('Only once')).toBe(1)
    expect(tally(answers)).toEqual({ 201: 20 })
    expect(new Set(answers.map(({ body: { id } }) => id)).size).toBe(1)
    const [first, ...more] = answers.filter(({ body: { client_secret } }) => client_secret !== null)
    expect(more).toEqual([])
    expect(first!.headers.get('idempotency-replayed')).toBeNull()
    for (const each of answers.filter((answer) => answer !== first)) {
      expect(each.headers.get('idempotency-replayed')).toBe('true')
      expect(each.headers.get('location')).toBe(first!.headers.get('location'))
      expect({ ...each.body, client_secret: first!.body.client_secret }).toEqual(first!.body)
    }
  })

  test('no secret is kept for a repeated answer', async () => {
    const headers = { 'Idempotency-Key': 'k-secret' }
    const made = [
      await call('POST', '/clients', { body: SERVICE, headers }),
      await call('POST', '/registration-tokens', { body: { scopes: ['openid'] }, headers }),
      await call('POST', `/clients/${fixture.service.id}/secrets`, { body: { name: 'two' }, headers }),
    ]
    const secrets = made.map(({ body }) => body.client_secret ?? body.token)
    expect(secrets.every((secret) => /^vk_(cs|ri)_/.test(secret))).toBe(true)

    const kept = JSON.stringify(await many(fixture.server.db, sql`select answer::text from api_answers`))
    const again = await call('POST', '/registration-tokens', { body: { scopes: ['openid'] }, headers })
    expect(again.body).toMatchObject({ id: made[1]!.body.id, token: null })
    for (const secret of secrets) expect(kept).not.toContain(secret.slice(12))
  })

  test('another request under the same key is refused, and changes nothing', async () => {
    const headers = { 'Idempotency-Key': 'k-2' }
    await call('POST', '/clients', { body: { ...SERVICE, name: 'Before' }, headers })
    const refused = await call('POST', '/clients', { body: { ...SERVICE, name: 'After' }, headers })

    expect([refused.status, refused.body.code]).toEqual([422, 'idempotency_key_reused'])
    expect(await count('After')).toBe(0)
    // The order of members says nothing.
    const turned = { type: 'service', name: 'Before' }
    expect((await call('POST', '/clients', { body: turned, headers })).status).toBe(201)
    expect(await count('Before')).toBe(1)
  })

  test('what was refused leaves the key free', async () => {
    const headers = { 'Idempotency-Key': 'k-3' }
    const bad = await call('POST', '/clients', {
      body: { ...SERVICE, name: 'Third', scopes: ['nothing'] },
      headers,
    })

    expect(bad.status).toBe(422)
    expect((await call('POST', '/clients', { body: { ...SERVICE, name: 'Third' }, headers })).status).toBe(
      201,
    )
  })

  test('a key is the client’s own, the person’s own, and that of one address', async () => {
    const headers = { 'Idempotency-Key': 'k-4' }
    const body = { ...SERVICE, name: 'Shared key' }
    const scopes = ['clients:read', 'clients:write']
    const office = await fixture.server.app({ name: 'Office', scopes: ['openid', ...scopes] })
    const service = await fixture.server.app({ type: 'service', name: 'Another', scopes })
    const tokens = [
      fixture.token,
      await tokenOf(service, scopes),
      await tokenFor(office, fixture.ada, scopes),
    ]

    for (const token of tokens) await call('POST', '/clients', { token, body, headers })

    expect(await count('Shared key')).toBe(3)
  })

  test('it is kept for a day, and swept', async () => {
    const { db } = fixture.server
    const headers = { 'Idempotency-Key': 'k-5' }
    const body = { ...SERVICE, name: 'Daily' }
    await call('POST', '/clients', { body, headers })
    const { hours } = await one<{ hours: number }>(
      db,
      sql`select round(extract(epoch from max(expires_at) - now()) / 3600)::int as hours from api_answers`,
    )
    expect(hours).toBe(24)
    expect(await sweepAnswers(db)).toBe(0)
    await run(db, sql`update api_answers set expires_at = now() - interval '1 second'`)

    expect((await call('POST', '/clients', { body, headers })).headers.get('idempotency-replayed')).toBeNull()
    expect(await count('Daily')).toBe(2)
    expect(await sweepAnswers(db)).toBeGreaterThan(0)
    expect((await call('POST', '/clients', { body, headers })).headers.get('idempotency-replayed')).toBe(
      'true',
    )
  })

  test('a key that is none is refused', async () => {
    const refused = await call('POST', '/clients', {
      body: SERVICE,
      headers: { 'Idempotency-Key': 'x'.repeat(256) },
    })

    expect(refused.status).toBe(400)
  })
})

describe('what is refused', () => {
  test('members and parameters that are not known, by name', async () => {
    const body = {
      ...WEB,
      registered_by: 'itself',
      state: 'active',
      verified_at: '2026-01-01',
      __proto__x: 1,
    }
    const made = await call('POST', '/clients', { body })
    expect(made.status).toBe(422)
    expect(Object.keys(made.body.errors).sort()).toEqual([
      '__proto__x',
      'registered_by',
      'state',
      'verified_at',
    ])

    const proto = '{"name":"X","type":"service","__proto__":{"first_party":true}}'
    expect((await call('POST', '/clients', { body: proto })).status).toBe(400)
    const patched = await call('PATCH', `/clients/${fixture.service.id}`, {
      body: { type: 'web', version: 9 },
      headers: { 'If-Match': '*' },
    })
    expect(Object.keys(patched.body.errors).sort()).toEqual(['type', 'version'])
    const asked = await call('GET', '/clients?Limit=5&q=ab')
    expect([asked.status, asked.body.errors]).toEqual([
      400,
      { Limit: 'is not known here', q: 'must have at least 3 characters' },
    ])
  })

  test.each<[string, string, Parameters<ApiFixture['call']>[2], number, string]>([
    ['no JSON', '/clients', { body: '{' }, 400, 'malformed'],
    ['no object', '/clients', { body: '[]' }, 422, 'invalid'],
    ['nothing', '/clients', { headers: { 'Content-Type': 'application/json' } }, 422, 'invalid'],
    [
      'a form',
      '/clients',
      { body: 'name=X', headers: { 'Content-Type': 'application/x-www-form-urlencoded' } },
      415,
      'unsupported_media_type',
    ],
    [
      'what is compressed',
      '/clients',
      { body: {}, headers: { 'Content-Encoding': 'gzip' } },
      415,
      'unsupported_media_type',
    ],
    ['too much', '/clients', { body: { name: 'x'.repeat(60_000) } }, 413, 'too_large'],
    ['NUL', '/clients', { body: { ...WEB, name: 'a\0b' } }, 422, 'invalid'],
    [
      'half a character',
      '/clients',
      { body: { ...WEB, redirect_uris: ['https://x.example/\ud800'] } },
      422,
      'invalid',
    ],
    ['a place that is not there', '/nowhere', {}, 404, 'not_found'],
  ])('%s', async (_, path, sent, status, code) => {
    const refused = await call('POST', path, sent)

    expect([refused.status, refused.body.code]).toEqual([status, code])
  })

  test('methods that an address does not take, with those that it takes; never as a page', async () => {
    const refused = await call('PUT', '/clients', { headers: { Accept: 'text/html' } })

    expect([refused.status, refused.body.code]).toEqual([405, 'method_not_allowed'])
    expect(refused.headers.get('allow')?.split(', ').sort()).toEqual(['GET', 'HEAD', 'POST'])
    expect((await call('GET', '/clients/%ff', { headers: { Accept: 'text/html' } })).status).toBe(400)
    expect((await call('GET', '', { headers: { Accept: 'text/html' } })).status).toBe(404)
  })

  test.each([
    '/clients/../users',
    '/clients/%2e%2e',
    "/clients/x'--",
    '/clients/nobody',
    '/users/not-a-uuid',
    '/users/00000000-0000-0000-0000-000000000000',
    '/consents/1',
    '/jobs/x',
    '/resources/%20',
    '/resources/bm9ib2R5',
    '/registration-tokens/0',
  ])('an id that names nothing: %s', async (path) => {
    const { status } = await fetch(`${fixture.server.origin}/api/v1${path}`, {
      headers: { Authorization: `Bearer ${fixture.token}` },
    })

    expect([200, 404]).toContain(status)
    expect(status === 200).toBe(path === '/clients/../users')
  })

  test('credentials of an API are no app', async () => {
    const row = await one<{ id: string }>(
      fixture.server.db,
      sql`select id from clients where type = 'resource_server'`,
    )

    expect((await call('GET', `/clients/${row.id}`)).status).toBe(404)
    expect((await call('PUT', `/clients/${row.id}/suspension`)).status).toBe(404)
    expect((await call('POST', `/clients/${row.id}/secrets`, { body: { name: 'mine' } })).status).toBe(404)
  })
})

test('text comes back as it was: nothing in it is taken for markup or SQL', async () => {
  const name = `<img src=x onerror=alert(1)>'; drop table clients; --"`
  const made = await call('POST', '/clients', {
    body: { ...WEB, name, description: '</script><script>alert(1)' },
  })

  const read = await call('GET', `/clients/${made.body.id}`)
  expect(read.body).toMatchObject({ name, description: '</script><script>alert(1)' })
  expect(read.headers.get('content-type')).toBe('application/json')
  expect(read.headers.get('x-content-type-options')).toBe('nosniff')
  const found = await call('GET', `/clients?q=${encodeURIComponent(`'; drop table`)}`)
  expect(found.body.items).toHaveLength(1)
})

test('no list and no answer but the first holds a secret', async () => {
  const made = await call('POST', '/clients', { body: SERVICE })
  const secret: string = made.body.client_secret
  const added = await call('POST', `/clients/${made.body.id}/secrets`, { body: { name: 'second' } })
  const shown = [secret, added.body.client_secret as string]
  const read = await Promise.all(
    [
      '/clients?limit=200',
      `/clients/${made.body.id}`,
      `/clients/${made.body.id}/secrets`,
      '/registration-tokens?limit=200',
      '/resources',
      '/keys',
      '/audit-events?limit=200',
      '/audit-events/export',
      '/jobs',
      '/consents?limit=200',
      '/changes',
      '/blocked-clients',
      '/unused-clients?days=1',
      `/clients/${made.body.id}/usage`,
      `/clients/${made.body.id}/refused-requests`,
      '/users?limit=200',
    ].map((path) => call('GET', path)),
  )

  for (const { text } of read) {
    for (const value of shown) expect(text).not.toContain(value.slice(12))
    expect(text).not.toMatch(/vk_(at|rt|ac|ra)_|argon2|hash/)
  }
})

test('who may do nothing here uses up nothing of what their client may do for an administrator', async () => {
  const few = await startApiFixture({ API_REQUESTS_PER_MINUTE: '5' })
  try {
    const office = await few.server.app({ name: 'Office', scopes: ['openid', 'audit:read'] })
    const tokens = [await few.server.person('Jamie'), few.ada].map((who) =>
      tokenFor(office, who, ['audit:read']),
    )
    const [ofJamie, ofAda] = await Promise.all(tokens)
    const statuses = []
    for (let i = 0; i < 6; i++) statuses.push((await few.call('GET', '/overview', { token: ofJamie })).status)

    expect(statuses).toEqual(Array(6).fill(403))
    expect((await few.call('GET', '/overview', { token: ofAda })).status).toBe(200)
  } finally {
    await few.stop()
  }
})

test('each client has its own limit, and is told what is left of it', async () => {
  const few = await startApiFixture({ API_REQUESTS_PER_MINUTE: '5' })
  try {
    const answers = []
    for (let i = 0; i < 6; i++) answers.push(await few.call('GET', '/overview'))

    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 429])
    expect(answers[0]!.headers.get('ratelimit-policy')).toBe('"client";q=5;w=60')
    expect(answers[0]!.headers.get('ratelimit')).toMatch(/^"client";r=4;t=\d+$/)
    const last = answers[5]!
    expect(last.body.code).toBe('too_many_requests')
    expect(last.headers.get('ratelimit')).toMatch(/^"client";r=0;t=\d+$/)
    expect(Number(last.headers.get('retry-after'))).toBeGreaterThan(0)
    const scopes = ['audit:read']
    const neighbour = await few.server.app({ type: 'service', name: 'Neighbour', scopes })
    const token = await tokenOf(neighbour, scopes)
    expect((await few.call('GET', '/overview', { token })).status).toBe(200)
  } finally {
    await few.stop()
  }
})
