// Each operation of the Admin API does what the console does; every answer is held against its schema (api-fixture.ts).
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { OPENID_SCOPES } from '../../src/base/openid-scopes.ts'
import { many, run, sql } from '../../src/db/pool.ts'

import { settled } from '../support/audit.ts'
import type { Person } from '../support/flow.ts'
import { expectNone } from '../support/missing.ts'
import { until } from '../support/patience.ts'
import { type ApiFixture, startApiFixture, TOLD_APART, uncalled } from './api-fixture.ts'

let fixture: ApiFixture
let jamie: Person
const done = new Set<string>()
const call: ApiFixture['call'] = (method, path, sent) => {
  done.add(`${method} ${path.split('?')[0]}`)
  return fixture.call(method, path, sent)
}
beforeAll(async () => {
  fixture = await startApiFixture()
  jamie = await fixture.server.person('Jamie')
})
afterAll(() => fixture.stop())

const WEB = { name: 'Photo Printer', type: 'web', redirect_uris: ['https://printer.example/callback'] }

describe('apps', () => {
  test('an app is registered, read, found, changed and deleted', async () => {
    const made = await call('POST', '/clients', { body: { ...WEB, description: 'Prints photos.' } })

    expect(made.status).toBe(201)
    expect(made.body).toMatchObject({
      ...WEB,
      description: 'Prints photos.',
      registered_by: 'admin',
      state: 'active',
    })
    expect(made.body.client_secret).toMatch(/^vk_cs_/)
    const path = `/clients/${made.body.id}`
    expect(made.headers.get('location')).toBe(`${fixture.server.origin}/api/v1${path}`)
    const etag = made.headers.get('etag')!
    expect(etag).toBe('"1"')

    const read = await call('GET', path)
    expect(read.body).toMatchObject({
      id: made.body.id,
      scopes: OPENID_SCOPES,
    })
    expect(read.headers.get('etag')).toBe(etag)
    expect(read.headers.get('cache-control')).toBe('no-store')
    const found = await call('GET', '/clients?q=photo%20pri&type=web&registered_by=admin&state=active')
    expect(found.body.items.map(({ id }: { id: string }) => id)).toEqual([made.body.id])

    const changed = await call('PATCH', path, {
      body: { name: 'Printer', homepage_uri: 'https://printer.example/' },
      headers: { 'If-Match': etag, 'Content-Type': 'application/merge-patch+json' },
    })
    expect(changed.body).toMatchObject({
      name: 'Printer',
      homepage_uri: 'https://printer.example/',
      description: 'Prints photos.',
      redirect_uris: WEB.redirect_uris,
      pkce_required: true,
      version: 2,
    })
    expect(changed.headers.get('etag')).toBe('"2"')
    const cleared = await call('PATCH', path, {
      body: { homepage_uri: null },
      headers: { 'If-Match': '"2"' },
    })
    expect(cleared.body.homepage_uri).toBeNull()

    expect((await call('DELETE', path, { headers: { 'If-Match': '"3"' } })).status).toBe(204)
    expect((await call('GET', path)).status).toBe(404)
    const [event] = await fixture.server.events({ type: 'client.deleted', client_id: made.body.id })
    expect(event).toMatchObject({ actor_type: 'client', actor_id: fixture.service.id })
  })

  test('the rules of every other surface hold: the member that is wrong is named, with an example', async () => {
    const { status, body } = await call('POST', '/clients', {
      body: { ...WEB, redirect_uris: ['http://printer.example/callback'] },
    })

    expect(status).toBe(422)
    expect(body.code).toBe('invalid')
    expect(body.errors.redirect_uris).toMatch(/is not https.*e\.g\. https:\/\/app\.example\/callback/)
  })

  test('an app is approved, rejected, verified, suspended and resumed', async () => {
    const app = await fixture.server.app()
    const path = `/clients/${app.id}`
    await fixture.server.db.query(sql`update clients set state = 'pending' where id = ${app.id}`)

    const rejected = await call('PUT', `${path}/rejection`, { body: { reason: 'Who are you?' } })
    expect(rejected.body).toMatchObject({ state: 'rejected', state_reason: 'Who are you?' })
    const seen = { headers: { 'If-Match': rejected.headers.get('etag')! } }
    const approved = await call('PUT', `${path}/approval`, seen)
    expect(approved.body).toMatchObject({ state: 'active', state_reason: '' })
    const next = { headers: { 'If-Match': approved.headers.get('etag')! } }
    expect((await call('PUT', `${path}/verification`, next)).body.verified_at).not.toBeNull()
    expect((await call('DELETE', `${path}/verification`)).body.verified_at).toBeNull()
    expect((await call('PUT', `${path}/suspension`)).body.suspended_at).not.toBeNull()
    const again = await call('PUT', `${path}/suspension`)
    expect(again.status).toBe(200)
    expect((await call('DELETE', `${path}/suspension`)).body.suspended_at).toBeNull()
    expect(await fixture.server.events({ type: 'client.suspended', client_id: app.id })).toHaveLength(1)
  })

  test('secrets are added, rotated, listed without their values, and revoked', async () => {
    const app = await fixture.server.app()
    const path = `/clients/${app.id}/secrets`

    const added = await call('POST', path, { body: { name: 'web server 2' } })
    expect(added.body.client_secret).toMatch(/^vk_cs_/)
    const rotated = await call('POST', `/clients/${app.id}/secret-rotation`, {
      body: { overlap_seconds: 3600 },
    })
    expect(rotated.body.client_secret).toMatch(/^vk_cs_/)
    const listed = await call('GET', path)
    expect(listed.body.items).toHaveLength(3)
    expect(listed.text).not.toContain(added.body.client_secret)
    const { id } = listed.body.items.find(({ name }: { name: string }) => name === 'web server 2')

    expect((await call('DELETE', `${path}/${id}`)).status).toBe(204)
    expect((await call('DELETE', `${path}/${id}`)).status).toBe(404)
    expect((await call('GET', path)).body.items).toHaveLength(2)
  })

  test('registration tokens are made, listed, read and revoked', async () => {
    const made = await call('POST', '/registration-tokens', { body: { scopes: ['openid'], max_uses: 2 } })
    expect(made.body.token).toMatch(/^vk_ri_/)
    const path = `/registration-tokens/${made.body.id}`

    expect((await call('GET', path)).body).toMatchObject({ state: 'live', max_uses: 2, uses: 0 })
    expect((await call('GET', '/registration-tokens')).text).not.toContain(made.body.token)
    expect((await call('DELETE', path)).status).toBe(204)
    expect((await call('GET', path)).body.state).toBe('revoked')
  })
})

describe('people', () => {
  test('an account is found and read; its role is given and taken', async () => {
    const found = await call('GET', '/users?q=jamie&role=user&disabled=false')
    expect(found.body.items).toHaveLength(1)
    const path = `/users/${jamie.id}`
    expect((await call('GET', path)).body.email).toBe(jamie.email)

    expect((await call('PUT', `${path}/role`, { body: { role: 'admin' } })).body.role).toBe('admin')
    expect((await call('PUT', `${path}/role`, { body: { role: 'user' } })).body.role).toBe('user')
  })

  test('the last administrator stays one', async () => {
    const path = `/users/${fixture.ada.id}`

    for (const [method, address, body] of [
      ['PUT', `${path}/role`, { role: 'user' }],
      ['PUT', `${path}/disablement`, undefined],
    ] as const) {
      const refused = await call(method, address, { body })
      expect(refused.status).toBe(409)
      expect(refused.body.code).toBe('last_administrator')
    }
    expect((await call('GET', path)).body).toMatchObject({ role: 'admin', disabled_at: null })
  })

  test('sign-ins are listed and ended; an account is disabled and enabled', async () => {
    const kim = await fixture.server.person('Kim')
    await kim.account()
    const path = `/users/${kim.id}`

    expect((await call('GET', `${path}/sessions`)).body.items).toHaveLength(1)
    expect((await call('DELETE', `${path}/sessions`)).body).toEqual({ ended: 1 })
    expect((await kim.open('/account')).title).toMatch(/^Sign in/)
    expect((await call('PUT', `${path}/disablement`)).body.disabled_at).not.toBeNull()
    expect((await call('DELETE', `${path}/disablement`)).body.disabled_at).toBeNull()
  })
})

describe('consents and grants', () => {
  test('what people allowed is listed, read and ended, one by one', async () => {
    const app = await fixture.server.app()
    const tokens = await app.connect(jamie)
    const listed = await call('GET', `/consents?user_id=${jamie.id}&client_id=${app.id}`)
    expect(listed.body.items).toHaveLength(1)
    const path = `/consents/${listed.body.items[0].id}`

    expect((await call('GET', path)).body).toMatchObject({
      email: jamie.email,
      client_id: app.id,
      devices: 1,
    })
    expect((await call('DELETE', path)).status).toBe(204)
    expect((await call('GET', path)).status).toBe(404)
    expect((await app.introspect(tokens.access_token)).active).toBe(false)
  })

  test('one device is listed, read and ended, by the ids of the audit log; the others and the consent stay', async () => {
    const app = await fixture.server.app()
    const ended = await app.connect(jamie)
    const left = await app.connect(jamie.elsewhere())
    const filter = `user_id=${jamie.id}&client_id=${app.id}`
    const { items } = (await call('GET', `/grants?${filter}`)).body
    expect(items).toHaveLength(2)
    const path = `/grants/${items[0].id}`

    expect((await call('GET', path)).body).toEqual(items[0])
    expect(items[0]).toMatchObject({ client_id: app.id, email: jamie.email, revoked_at: null })
    expect(items[0].scopes).toContain('photos.read')
    expect((await call('DELETE', path)).status).toBe(204)

    expect((await call('DELETE', path)).status).toBe(404)
    expect((await call('GET', path)).body.revoked_at).toEqual(expect.any(String))
    expect((await app.introspect(ended.access_token)).active).toBe(false)
    expect((await app.introspect(left.access_token)).active).toBe(true)
    expect((await call('GET', `/consents?${filter}`)).body.items).toMatchObject([
      { id: items[0].consent_id, devices: 1 },
    ])
    const events = await fixture.server.events({ type: 'grant.revoked', client_id: app.id })
    expect(events[0]!.data).toMatchObject({ grant_id: items[0].id, reason: 'revoked_by_admin' })
  })

  test.each([
    ['an app', (app: string) => `/clients/${app}/consents`],
    ['an account', (_: string, user: string) => `/users/${user}/consents`],
    ['both', (app: string, user: string) => `/consents?client_id=${app}&user_id=${user}`],
  ])('all access of %s is ended by a job', async (_, path) => {
    const app = await fixture.server.app()
    const tokens = await app.connect(jamie)

    const { status, body, headers } = await call('DELETE', path(app.id, jamie.id))
    expect(status).toBe(202)
    expect(headers.get('location')).toBe(`${fixture.server.origin}/api/v1/jobs/${body.id}`)
    await until(async () => (await call('GET', `/jobs/${body.id}`)).body.state === 'done')

    expect((await app.introspect(tokens.access_token)).active).toBe(false)
    expect((await call('GET', '/jobs')).body.items.map(({ id }: { id: string }) => id)).toContain(body.id)
  })

  test('a bulk without a filter, or with one that names nothing, ends nothing', async () => {
    const jobs = async () => (await call('GET', '/jobs')).body.items.length
    const before = await jobs()

    expect((await call('DELETE', '/consents')).status).toBe(400)
    expect((await call('DELETE', '/consents?client_id=c_nobody')).status).toBe(404)
    expect((await call('DELETE', '/consents?app=c_nobody')).body.errors).toEqual({ app: 'is not known here' })
    expect(await jobs()).toBe(before)
  })
})

describe('APIs', () => {
  test('an API is registered, renamed, given a scope, and its scope changed and removed', async () => {
    const made = await call('POST', '/resources', {
      body: {
        identifier: 'https://maps.example',
        name: 'Maps',
        scopes: [{ name: 'maps.read', sentence: 'Look at your maps' }],
      },
    })
    expect(made.body).toMatchObject({ built_in: false, client_secret: expect.stringMatching(/^vk_cs_/) })
    const path = `/resources/${made.body.id}`
    const seen = async () => ({ 'If-Match': (await call('GET', path)).headers.get('etag')! })
    expect(await seen()).toEqual({ 'If-Match': made.headers.get('etag') })

    expect((await call('PATCH', path, { body: { name: 'Cards' }, headers: await seen() })).body.name).toBe(
      'Cards',
    )
    const added = await call('POST', `${path}/scopes`, {
      body: { name: 'maps.draw', sentence: 'Draw maps', dangerous: true },
    })
    expect(added.status).toBe(201)
    const scope = added.body.scopes.find(({ name }: { name: string }) => name === 'maps.draw')
    const changed = await call('PATCH', `${path}/scopes/${scope.id}`, {
      body: { detail: 'And sign them' },
      headers: { 'If-Match': added.headers.get('etag')! },
    })
    expect(changed.body.scopes).toContainEqual({ ...scope, detail: 'And sign them' })
    const old = await call('DELETE', `${path}/scopes/${scope.id}`, {
      headers: { 'If-Match': added.headers.get('etag')! },
    })
    expect(old.status).toBe(412)
    expect((await call('DELETE', `${path}/scopes/${scope.id}`)).body.scopes).toHaveLength(1)
    expect((await call('DELETE', `${path}/scopes/${scope.id}`)).status).toBe(404)

    // The job that takes it away ends at an error.
    await run(
      fixture.server.db,
      sql`with job as (
            insert into jobs (kind, params, actor, state, finished_at) values ('take_scope', '{}', '{}', 'failed', now()) returning id)
          update resource_scopes set removal_job_id = (select id from job) where name = 'maps.draw'`,
    )
    const [failed] = (await call('GET', path)).body.being_removed
    expect(failed).toEqual({ id: scope.id, name: 'maps.draw', job_id: expect.any(String), has_failed: true })
    const refused = await call('POST', `${path}/scopes`, {
      body: { name: 'maps.draw', sentence: 'Draw maps' },
    })
    expect([refused.status, refused.body.code]).toEqual([409, 'scope_being_removed'])
    expect(refused.body.detail).toContain('Remove it once more')
    expect((await call('DELETE', `${path}/scopes/${failed.id}`)).status).toBe(200)
    await until(async () => (await call('GET', path)).body.being_removed.length === 0)
    expect((await call('DELETE', `${path}/scopes/${failed.id}`)).status).toBe(404)

    const rotated = await call('POST', `${path}/secret-rotation`, { body: {} })
    expect(rotated.body.client_secret).toMatch(/^vk_cs_/)
    expect((await call('GET', `${path}/secrets`)).body.items).toHaveLength(2)
    expect((await call('GET', '/resources')).body.items).toHaveLength(3)
  })

  test('the Admin API stands among them, and cannot be changed or imitated', async () => {
    const { body } = await call('GET', '/resources')
    const own = body.items.find(({ built_in }: { built_in: boolean }) => built_in)
    expect(own.identifier).toBe(`${fixture.server.origin}/api/v1`)

    const renamed = await call('PATCH', `/resources/${own.id}`, {
      body: { name: 'x' },
      headers: { 'If-Match': '*' },
    })
    expect([renamed.status, renamed.body.code]).toEqual([409, 'built_in'])
    const scope = { name: 'other', sentence: 'Other' }
    expect((await call('POST', `/resources/${own.id}/scopes`, { body: scope })).status).toBe(409)
    const imitated = await call('POST', '/resources', {
      body: {
        identifier: 'https://x.example',
        name: 'X',
        scopes: [{ name: 'users:read', sentence: 'Read' }],
      },
    })
    const twin = { identifier: own.identifier, name: 'Twin', scopes: [scope] }
    expect((await call('POST', '/resources', { body: twin })).body.errors).toHaveProperty('identifier')
    expect(imitated.body.errors.scopes).toMatch(/belongs to the Admin API/)
  })
})

test('signing keys are listed without private parts, and rotated', async () => {
  const before = await call('GET', '/keys')
  const after = await call('POST', '/keys/rotation')

  expect(after.status).toBe(201)
  expect(after.body.items.length).toBe(before.body.items.length + 2)
  const next = before.body.items.filter(({ state }: { state: string }) => state === 'next')
  for (const { kid } of next) {
    expect(after.body.items).toContainEqual(expect.objectContaining({ kid, state: 'current' }))
  }
  expect(after.text).not.toMatch(/"(d|p|q|private\w*)"/)
})

test('what happened is listed, filtered and exported', async () => {
  const listed = await call('GET', '/audit-events?type=user.created&limit=1')
  expect(listed.body.items).toHaveLength(1)
  expect(listed.body.next).toContain('after=')
  const since = encodeURIComponent('2020-01-01T00:00:00+01:00')

  await settled(fixture.server.db)
  const lines = await call('GET', `/audit-events/export?since=${since}`)
  expect(lines.headers.get('content-type')).toBe('application/jsonl; charset=utf-8')
  const count = (await many(fixture.server.db, sql`select id from audit_events`)).length
  expect(
    lines.text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).id),
  ).toHaveLength(count)
  const csv = await call('GET', '/audit-events/export?format=csv&type=user.created')
  expect(csv.headers.get('content-disposition')).toBe('attachment; filename="audit.csv"')
  expect(csv.text.split('\r\n')[0]).toBe(
    'id,at,type,actor_type,actor_id,user_id,client_id,ip,user_agent,request_id,data',
  )
})

test('an export goes on after the last event of the one before', async () => {
  await settled(fixture.server.db)
  const ids = async (after: string) =>
    (await call('GET', `/audit-events/export?after=${after}`)).text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line).id)
  const all = await ids('0')
  expect(all.length).toBeGreaterThan(2)

  expect(await ids(all.at(-3))).toEqual(all.slice(-2))
  expect(await ids(all.at(-1))).toEqual([])

  const refused = await call('GET', '/audit-events/export?after=999999999999')
  expect(refused).toMatchObject({
    status: 400,
    body: { detail: 'There is no event 999999999999 to go on after.' },
  })
})

test('the overview counts', async () => {
  const { body } = await call('GET', '/overview')

  expect(body.waiting_clients).toBe(0)
  expect(body.last_day.sign_ins).toBeGreaterThan(0)
  expect(body.last_30_days.sign_ins).toBe(body.last_day.sign_ins)
})

test('every operation of the table was called here, or is by more-operations.test.ts', () => {
  const ours = fixture.operations.filter(({ id }) => !TOLD_APART.includes(id))

  expectNone(
    uncalled(ours, done),
    'Call it in a test of this file; if it is called in more-operations.test.ts, name it in TOLD_APART of api-fixture.ts.',
  )
})
