// Operations whose effect is not to be read off one answer: changes that wait, apps that stay away, clean-ups, logos, what became
// of requests, new passwords, and what an API's tokens are. operations.test.ts has the others.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import sharp from 'sharp'
import { SYSTEM } from '../../src/base/audit-events.ts'
import { findClient } from '../../src/core/clients/store.ts'
import { changeOwnApp, type OwnChange } from '../../src/core/ownership/developer-clients.ts'
import { keepDocument } from '../../src/core/registration/metadata-documents.ts'
import { many, one, run, sql } from '../../src/db/pool.ts'
import { startSmtpFixture } from '../core/mail/smtp-fixture.ts'
import { administrator, adminRows } from '../pages/admin/admin-fixture.ts'
import { ownApp } from '../pages/developer/developer-fixture.ts'

import { PRINTER } from '../support/documents.ts'
import type { App, Person } from '../support/flow.ts'
import { expectNone } from '../support/missing.ts'
import { until } from '../support/patience.ts'
import { type ApiFixture, startApiFixture, TOLD_APART, tokenOf, uncalled } from './api-fixture.ts'

let fixture: ApiFixture
let dev: Person
const done = new Set<string>()
const call: ApiFixture['call'] = (method, path, sent) => {
  done.add(`${method} ${path.split('?')[0]}`)
  return fixture.call(method, path, sent)
}
beforeAll(async () => {
  fixture = await startApiFixture({ DYNAMIC_REGISTRATION: 'open', DEVELOPER_REGISTRATION: 'approval' })
  dev = await fixture.server.person('Dev')
})
afterAll(() => fixture.stop())

/** A service that holds only these scopes. */
async function lesser(...scopes: string[]): Promise<string> {
  return tokenOf(await fixture.server.app({ type: 'service', name: 'Lesser', scopes }), scopes)
}

describe('changes of approved apps', () => {
  async function asked(change: OwnChange): Promise<{ app: App; path: string; id: string }> {
    const app = await ownApp(fixture, dev)
    const id = await askedAgain(app, change)
    return { app, path: `/clients/${app.id}`, id }
  }
  async function askedAgain(app: App, change: OwnChange): Promise<string> {
    const by = { ...SYSTEM, type: 'user' as const, id: dev.id }
    const { version } = (await findClient(fixture.server.db, app.id))!
    await changeOwnApp(fixture.server.db, app.id, change, version, { approval: true }, by)
    return (await call('GET', `/clients/${app.id}`)).body.waiting_change_id
  }

  test('one is found, read, approved, and holds then', async () => {
    const { app, path, id } = await asked({ name: 'Almanac' })
    const found = await call('GET', '/clients?state=changed')
    expect(found.body.items.map((each: { id: string }) => each.id)).toContain(app.id)

    const read = await call('GET', `${path}/changes/${id}`)
    expect(read.body).toMatchObject({
      id,
      client_id: app.id,
      requested_by: dev.email,
      changes: [{ field: 'name', from: 'Calendar', to: 'Almanac' }],
    })
    expect((await call('GET', path)).body.name).toBe('Calendar')
    const stale = await call('PUT', `${path}/changes/${id}/approval`, { headers: { 'If-Match': '"1"' } })
    expect(stale.status).toBe(412)
    const approved = await call('PUT', `${path}/changes/${id}/approval`)
    expect(approved.body).toMatchObject({ name: 'Almanac', waiting_change_id: null })

    const [event] = await fixture.server.events({ type: 'client.change_approved', client_id: app.id })
    expect(event).toMatchObject({ actor_type: 'client', actor_id: fixture.service.id })
    expect((await call('PUT', `${path}/changes/${id}/approval`)).status).toBe(404)
    expect((await call('GET', `${path}/changes/${id}`)).status).toBe(404)
  })

  test('one is rejected with a reason that its owners read', async () => {
    const { app, path, id } = await asked({ name: 'Bank of Ada' })
    const rejection = `${path}/changes/${id}/rejection`

    expect((await call('PUT', rejection, { body: {} })).body.errors).toHaveProperty('reason')
    expect((await call('PUT', rejection, { body: { reason: ' ' } })).body.errors).toHaveProperty('reason')
    const rejected = await call('PUT', rejection, { body: { reason: 'You are no bank.' } })

    expect(rejected.body).toMatchObject({ name: 'Calendar', waiting_change_id: null, state: 'active' })
    const row = await one<{ reason: string }>(
      fixture.server.db,
      sql`select reason from client_changes where client_id = ${app.id}`,
    )
    expect(row.reason).toBe('You are no bank.')
    expect((await call('PUT', rejection, { body: { reason: 'Again' } })).status).toBe(404)
  })

  test('what was not seen is not decided about: another request is another change', async () => {
    const { app, path, id } = await asked({ name: 'Almanac' })
    const next = await askedAgain(app, { name: 'Evil Almanac' })
    expect(next).not.toBe(id)

    for (const [way, body] of [
      ['approval', undefined],
      ['rejection', { reason: 'No' }],
    ] as const) {
      expect((await call('PUT', `${path}/changes/${id}/${way}`, { body })).status).toBe(404)
    }
    // Nor by the address of another app.
    const other = await ownApp(fixture, dev)
    expect((await call('PUT', `/clients/${other.id}/changes/${next}/approval`)).status).toBe(404)
    expect((await call('GET', path)).body).toMatchObject({ name: 'Calendar', waiting_change_id: next })
  })

  test('one that no longer fits says so, and stays', async () => {
    const { path, id } = await asked({ name: 'Almanac' })
    await call('PATCH', path, { body: { name: 'Renamed' }, headers: { 'If-Match': '*' } })

    const refused = await call('PUT', `${path}/changes/${id}/approval`)

    expect([refused.status, refused.body.code]).toEqual([409, 'change_outdated'])
    expect(refused.body.detail).toContain('name')
    expect((await call('GET', path)).body).toMatchObject({ name: 'Renamed', waiting_change_id: id })
  })

  test('the list goes on where it was, although what was seen is decided about', async () => {
    await run(fixture.server.db, sql`delete from client_changes`)
    const all: string[] = []
    for (let i = 0; i < 5; i++) all.push((await asked({ name: `Almanac ${i}` })).id)

    const seen: string[] = []
    for (let path: string | undefined = '/changes?limit=2'; path; ) {
      const { body }: Awaited<ReturnType<typeof call>> = await call('GET', path)
      for (const { id, client_id, client_name } of body.items) {
        expect(client_name).toBe('Calendar')
        seen.push(id)
        await call('PUT', `/clients/${client_id}/changes/${id}/approval`)
      }
      path = body.next?.slice(`${fixture.server.origin}/api/v1`.length)
    }

    expect(seen).toEqual(all)
    expect((await call('GET', '/changes')).body.items).toEqual([])
    expect((await call('GET', '/changes?after=c_1')).status).toBe(400)
  })

  test('a token that could not give the app those scopes cannot approve them', async () => {
    const { app, path, id } = await asked({ name: 'Almanac' })
    const change = [{ field: 'scopes', from: [], to: ['users:write'] }]
    await run(
      fixture.server.db,
      sql`update client_changes set changes = ${JSON.stringify(change)} where client_id = ${app.id}`,
    )
    const token = await lesser('clients:read', 'clients:write')

    expect((await call('PUT', `${path}/changes/${id}/approval`, { token })).status).toBe(403)
    // Nor one that could: no developer's app may have them.
    await run(
      fixture.server.db,
      sql`update client_changes set changes = jsonb_set(changes::jsonb, '{0,from}',
            (select to_jsonb(scopes) from clients where id = ${app.id})) where client_id = ${app.id}`,
    )
    const refused = await call('PUT', `${path}/changes/${id}/approval`)
    expect([refused.status, refused.body.code]).toEqual([409, 'change_not_allowed'])
  })
})

describe('apps whose id is an address', () => {
  const KEPT = {
    grant_types: ['authorization_code'],
    token_endpoint_auth_method: 'none' as const,
    digest: Buffer.alloc(32),
    fresh_seconds: 300,
  }
  async function kept(name: string): Promise<string> {
    const id = `https://printer.example/apps/${name}/client.json?v=1&x=%2F`
    const input = { name, type: 'spa' as const, redirect_uris: PRINTER.redirect_uris }
    await keepDocument(fixture.server.db, id, { ...KEPT, input }, { scopes: [], approval: false }, SYSTEM)
    return id
  }

  test('are read, suspended and deleted by it, percent-encoded; deleted they stay away until unblocked', async () => {
    const id = await kept('one')
    const path = `/clients/${encodeURIComponent(id)}`

    expect((await call('GET', path)).body).toMatchObject({ id, name: 'one', registered_by: 'itself' })
    expect((await call('GET', path)).body.document_read_at).not.toBeNull()
    expect((await call('PUT', `${path}/suspension`)).body.suspended_at).not.toBeNull()
    expect((await call('GET', `${path}/usage`)).status).toBe(200)
    expect((await call('DELETE', path)).status).toBe(204)
    expect((await call('GET', path)).status).toBe(404)

    const blocked = await call('GET', '/blocked-clients')
    expect(blocked.body.items).toEqual([{ id, name: 'one', deleted_at: expect.any(String) }])
    const way = `/blocked-clients/${encodeURIComponent(id)}`
    expect((await call('DELETE', way)).status).toBe(204)
    expect((await call('DELETE', way)).status).toBe(404)
    expect((await call('GET', '/blocked-clients')).body.items).toEqual([])
    const [event] = await fixture.server.events({ type: 'client.unblocked', client_id: id })
    expect(event).toMatchObject({ actor_id: fixture.service.id })
  })

  test('those that stay away are listed page by page, although some are unblocked meanwhile', async () => {
    const ids: string[] = []
    for (let i = 0; i < 5; i++) {
      const id = await kept(`away-${i}`)
      await call('DELETE', `/clients/${encodeURIComponent(id)}`)
      ids.unshift(id)
    }

    const seen: string[] = []
    for (let path: string | undefined = '/blocked-clients?limit=2'; path; ) {
      const { body }: Awaited<ReturnType<typeof call>> = await call('GET', path)
      for (const { id } of body.items) {
        seen.push(id)
        await call('DELETE', `/blocked-clients/${encodeURIComponent(id)}`)
      }
      path = body.next?.slice(`${fixture.server.origin}/api/v1`.length)
    }

    expect(seen).toEqual(ids)
  })

  test('an app that was deleted for another reason cannot be unblocked', async () => {
    const app = await fixture.server.app()
    await call('DELETE', `/clients/${app.id}`)

    expect((await call('DELETE', `/blocked-clients/${app.id}`)).status).toBe(404)
  })
})

describe('a clean-up', () => {
  test('is looked at first, and deletes in the background what nobody uses', async () => {
    const members = { client_name: 'Passing by', redirect_uris: PRINTER.redirect_uris }
    const registered = async (): Promise<string> => {
      const answer = await fetch(`${fixture.server.origin}/register`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(members),
      })
      return ((await answer.json()) as { client_id: string }).client_id
    }
    const [old, young] = [await registered(), await registered()]
    const ours = await fixture.server.app()
    await run(
      fixture.server.db,
      sql`update clients set created_at = now() - interval '50 days' where id in (${old}, ${ours.id})`,
    )

    const seen = await call('GET', '/unused-clients?days=40')
    expect(seen.body.count).toBe(1)
    expect(seen.body.clients).toEqual([
      {
        id: old,
        name: 'Passing by',
        redirect_uris: members.redirect_uris,
        unused_since: expect.any(String),
      },
    ])
    const begun = await call('DELETE', '/unused-clients?days=40')
    expect(begun.headers.get('location')).toBe(`${fixture.server.origin}/api/v1/jobs/${begun.body.id}`)
    await until(async () => (await fixture.call('GET', `/jobs/${begun.body.id}`)).body.state === 'done')

    expect((await call('GET', `/clients/${old}`)).status).toBe(404)
    for (const id of [young, ours.id]) expect((await call('GET', `/clients/${id}`)).status).toBe(200)
  })

  test.each(['', '?days=0', '?days=-1', '?days=3651', '?days=1.5', '?days=all', '?day=30'])(
    'needs days that mean something: %s',
    async (query) => {
      const before = await adminRows(fixture.server)

      for (const method of ['GET', 'DELETE']) {
        const { status, body } = await call(method, `/unused-clients${query}`)
        expect([status, Object.keys(body.errors)]).toEqual([400, expect.arrayContaining(['days'])])
      }
      expect(await adminRows(fixture.server)).toBe(before)
    },
  )
})

describe('a logo', () => {
  const drawn = (type: 'png' | 'jpeg') =>
    sharp({ create: { width: 60, height: 30, channels: 3, background: 'teal' } })
      .toFormat(type)
      .toBuffer()
  const put = (path: string, picture: Uint8Array | string, type: string, more: object = {}) =>
    call('PUT', `${path}/logo`, { body: picture, headers: { 'Content-Type': type, ...more } })

  test('comes in as a picture, is served as one of ours, and is taken away', async () => {
    const app = await fixture.server.app()
    const path = `/clients/${app.id}`

    const given = await put(path, await drawn('jpeg'), 'image/jpeg', { 'If-Match': '"1"' })
    expect(given.body.logo_uri).toMatch(new RegExp(`^${fixture.server.origin}/logos/[0-9a-f]{64}\\.png$`))
    expect(given.headers.get('etag')).toBe('"2"')
    const served = await (await fetch(given.body.logo_uri)).arrayBuffer()
    const { format, width, height } = await sharp(Buffer.from(served)).metadata()
    expect({ format, width, height }).toEqual({ format: 'png', width: 256, height: 256 })

    expect((await put(path, await drawn('png'), 'image/png', { 'If-Match': '"1"' })).status).toBe(412)
    expect((await call('DELETE', `${path}/logo`)).body.logo_uri).toBeNull()
  })

  test('is refused when it is none, too large, or of somebody stronger', async () => {
    const app = await fixture.server.app()
    const path = `/clients/${app.id}`
    const token = await lesser('clients:read', 'clients:write')
    const before = await adminRows(fixture.server)

    const svg = await put(path, '<svg xmlns="http://www.w3.org/2000/svg"/>', 'image/png')
    expect([svg.status, svg.body.errors.logo]).toEqual([422, expect.stringContaining('SVG is not taken')])
    expect((await put(path, await drawn('png'), 'image/svg+xml')).status).toBe(415)
    expect((await call('PUT', `${path}/logo`, { body: { logo: 'x' } })).status).toBe(415)
    expect((await put(path, new Uint8Array(1024 * 1024 + 1), 'image/png')).status).toBe(413)
    expect((await put('/clients/c_nobody', await drawn('png'), 'image/png')).status).toBe(404)
    const picture = await drawn('png')
    const stronger = await call('PUT', `/clients/${fixture.service.id}/logo`, {
      token,
      body: picture,
      headers: { 'Content-Type': 'image/png' },
    })
    expect(stronger.status).toBe(403)

    expect(await adminRows(fixture.server)).toBe(before)
  })
})

describe('what became of requests', () => {
  test('the use of an app is counted day by day', async () => {
    const app = await fixture.server.app()
    await app.connect(dev)
    await run(
      fixture.server.db,
      sql`insert into client_usage_days (client_id, day, tokens, refused)
          values (${app.id}, (now() at time zone 'utc')::date - 3, 7, 2)`,
    )

    const { body } = await call('GET', `/clients/${app.id}/usage`)

    expect(body.users).toBe(1)
    expect(body.days).toHaveLength(30)
    expect(body.days[26]).toEqual({ day: expect.any(String), tokens: 7, refused: 2 })
    const today = new Date().toISOString().slice(0, 10)
    expect(Math.abs(Date.parse(today) - Date.parse(body.days[29].day))).toBeLessThanOrEqual(86_400_000)
  })

  test('refused requests say what was expected, what came, and how to mend it, without a secret', async () => {
    const app = await fixture.server.app()
    const sent = await app.begin({ redirect_uri: `${app.redirectUri}/` })
    await fetch(sent.url, { redirect: 'manual' })
    await app.post('/token', { grant_type: 'refresh_token', refresh_token: 'vk_rt_madeup' })
    const path = `/clients/${app.id}/refused-requests`
    await until(async () => (await fixture.call('GET', path)).body.items.length === 2)

    const { body, text } = await call('GET', path)

    expect(body.items.map(({ kind }: { kind: string }) => kind)).toEqual([
      'refresh_unknown',
      'redirect_uri_mismatch',
    ])
    expect(body.items[1]).toMatchObject({
      attested: false,
      title: 'The redirect URI is not registered',
      expected: app.redirectUri,
      came: `${app.redirectUri}/`,
    })
    expect(body.items[1].advice).toContain('character by character')
    expect(text).not.toContain('madeup')
    expect(text).not.toContain(app.secret!.slice(12))
  })

  test.each(['usage', 'refused-requests'])('not of what is no app: %s', async (name) => {
    expect((await call('GET', `/clients/${fixture.server.photos.id}/${name}`)).status).toBe(404)
    expect((await call('GET', `/clients/c_nobody/${name}`)).status).toBe(404)
  })
})

describe('a new password', () => {
  test('without mail the link is in the answer, once, and works', async () => {
    const kim = await fixture.server.person('Kim')
    const path = `/users/${kim.id}/password-reset`
    const headers = { 'Idempotency-Key': 'reset-kim' }

    const made = await call('POST', path, { headers })
    expect(made.status).toBe(201)
    expect(made.body).toEqual({ mailed: false, link: expect.stringContaining('/reset/') })
    const secret = new URL(made.body.link).pathname.slice('/reset/'.length)
    const again = await call('POST', path, { headers })
    expect(again.body).toEqual({ mailed: false, link: null })
    const kept = await many(
      fixture.server.db,
      sql`select answer::text as text from api_answers union all select data::text from audit_events`,
    )
    expect(JSON.stringify(kept)).not.toContain(secret)

    expect(made.body.link.startsWith(fixture.server.origin)).toBe(true)
    expect((await kim.open(new URL(made.body.link).pathname)).title).toMatch(/^Choose a new password/)
    const [event] = await fixture.server.events({ type: 'user.reset_sent', user_id: kim.id })
    expect(event).toMatchObject({ actor_id: fixture.service.id, data: { how: 'hand' } })
  })

  test('a lesser token gets no link to an administrator’s account, and ends none', async () => {
    const boss = await administrator(fixture.server, 'Boss')
    const kim = await fixture.server.person('Kim')
    const token = await lesser('users:read', 'users:write')
    const links = () => many(fixture.server.db, sql`select from user_links where user_id = ${boss.id}`)

    const refused = await call('POST', `/users/${boss.id}/password-reset`, { token })
    expect([refused.status, refused.body.code]).toEqual([403, 'insufficient_scope'])
    expect(await links()).toHaveLength(0)
    expect(await fixture.server.events({ type: 'user.reset_sent', user_id: boss.id })).toEqual([])
    expect((await call('POST', `/users/${kim.id}/password-reset`, { token })).status).toBe(201)
    expect((await call('POST', `/users/${boss.id}/password-reset`)).status).toBe(201)
    expect(await links()).toHaveLength(1)
  })

  test('one that was made by mistake is withdrawn, once', async () => {
    const kim = await fixture.server.person('Kim')
    const path = `/users/${kim.id}/password-reset`
    const { link } = (await call('POST', path)).body

    expect((await call('DELETE', path)).status).toBe(204)
    expect((await call('DELETE', path)).status).toBe(404)

    expect((await kim.open(new URL(link).pathname)).status).toBe(404)
    expect(await fixture.server.events({ type: 'user.reset_withdrawn', user_id: kim.id })).toMatchObject([
      { actor_id: fixture.service.id },
    ])
  })

  test('not for an account that is disabled, or is none', async () => {
    const kim = await fixture.server.person('Kim')
    await call('PUT', `/users/${kim.id}/disablement`)

    const refused = await call('POST', `/users/${kim.id}/password-reset`)
    expect([refused.status, refused.body.code]).toEqual([409, 'disabled'])
    const nobody = '/users/00000000-0000-0000-0000-000000000000/password-reset'
    expect((await call('POST', nobody)).status).toBe(404)
  })

  test('with mail it is mailed, and the answer does not have it', async () => {
    const smtp = await startSmtpFixture()
    const mailing = await startApiFixture(smtp.env)
    try {
      const kim = await mailing.server.person('Kim')
      const sent = await mailing.call('POST', `/users/${kim.id}/password-reset`)

      expect(sent.status).toBe(202)
      expect(sent.body).toEqual({ mailed: true, link: null })
      expect((await smtp.mail(kim.email)).text).toContain('/reset/')
      const document = await (await fetch(`${mailing.server.origin}/api/v1/openapi.json`)).json()
      const { responses } = (document as { paths: Record<string, Record<string, { responses: object }>> })
        .paths['/users/{user_id}/password-reset']!.post!
      expect(Object.keys(responses)).toContain('202')
      expect(Object.keys(responses)).not.toContain('201')
    } finally {
      await mailing.stop()
      await smtp.stop()
    }
  })
})

describe('APIs', () => {
  test('an API gets one more secret by name, introspects with it, and it is revoked', async () => {
    const made = await call('POST', '/resources', {
      body: {
        identifier: 'https://bank.example',
        name: 'Bank',
        scopes: [{ name: 'bank.read', sentence: 'See' }],
      },
    })
    const path = `/resources/${made.body.id}/secrets`
    const headers = { 'Idempotency-Key': 'oslo' }
    const added = await call('POST', path, { body: { name: 'server in Oslo' }, headers })
    expect(added.status).toBe(201)
    expect(added.body).toEqual({
      client_id: made.body.client_id,
      client_secret: expect.stringMatching(/^vk_cs_/),
    })
    const again = await call('POST', path, { body: { name: 'server in Oslo' }, headers })
    expect(again.body.client_secret).toBeNull()
    const ask = async () => {
      const basic = Buffer.from(`${added.body.client_id}:${added.body.client_secret}`).toString('base64')
      const answer = await fetch(`${fixture.server.origin}/introspect`, {
        method: 'POST',
        headers: { Authorization: `Basic ${basic}` },
        body: new URLSearchParams({ token: 'x' }),
      })
      return answer.status
    }
    await until(async () => (await ask()) === 200)

    const listed = await call('GET', path)
    expect(listed.text).not.toContain(added.body.client_secret.slice(12))
    const { id } = listed.body.items.find(({ name }: { name: string }) => name === 'server in Oslo')
    // By the address of another API it is not found.
    const photos = `/resources/${Buffer.from('https://photos.example').toString('base64url')}/secrets/${id}`
    expect((await call('DELETE', photos)).status).toBe(404)
    expect((await call('DELETE', `${path}/${id}`)).status).toBe(204)
    expect((await call('DELETE', `${path}/${id}`)).status).toBe(404)
    await until(async () => (await ask()) === 401)
  })

  test('the Admin API itself has no credentials', async () => {
    const own = Buffer.from(`${fixture.server.origin}/api/v1`).toString('base64url')

    expect((await call('POST', `/resources/${own}/secrets`, { body: { name: 'mine' } })).status).toBe(404)
  })

  test('what its tokens are, and which kinds of app may ask, is said at the start and changed later', async () => {
    const scopes = [{ name: 'fax.send', sentence: 'Send a fax', kinds: ['web'] }]
    const made = await call('POST', '/resources', {
      body: {
        identifier: 'https://fax.example',
        name: 'Fax',
        token_format: 'jwt',
        token_seconds: 300,
        scopes,
      },
    })
    expect(made.body).toMatchObject({ token_format: 'jwt', token_seconds: 300, scopes: [{ kinds: ['web'] }] })
    const path = `/resources/${made.body.id}`
    const spa = { name: 'Faxing', type: 'spa', redirect_uris: PRINTER.redirect_uris, scopes: ['fax.send'] }
    const refused = await call('POST', '/clients', { body: spa })
    expect([refused.status, refused.body.errors.scopes]).toEqual([
      422,
      expect.stringContaining('is not for this kind of app (spa), only for web'),
    ])

    const changed = await call('PATCH', path, {
      body: { token_format: 'opaque', token_seconds: null },
      headers: { 'If-Match': made.headers.get('etag')! },
    })
    expect(changed.body).toMatchObject({ name: 'Fax', token_format: 'opaque', token_seconds: null })
    const scope = changed.body.scopes[0]
    const opened = await call('PATCH', `${path}/scopes/${scope.id}`, {
      body: { kinds: null },
      headers: { 'If-Match': changed.headers.get('etag')! },
    })
    expect(opened.body.scopes).toEqual([{ ...scope, kinds: null }])
    expect((await call('POST', '/clients', { body: spa })).status).toBe(201)
  })

  test.each([
    ['token_format', { token_format: 'paper' }],
    ['token_seconds', { token_seconds: 0 }],
    ['token_seconds', { token_seconds: 1e9 }],
    ['token_seconds', { token_seconds: 1.5 }],
  ])('a wrong %s is refused and changes nothing: %j', async (member, body) => {
    const path = `/resources/${Buffer.from('https://photos.example').toString('base64url')}`
    const before = (await call('GET', path)).text
    const refused = await call('PATCH', path, { body, headers: { 'If-Match': '*' } })

    expect(refused.status).toBe(422)
    expect(refused.body.errors).toHaveProperty(member)
    expect((await call('GET', path)).text).toBe(before)
  })

  test.each([[[]], [['resource_server']], [['web', 'tv']]])(
    'kinds that are none are refused: %j',
    async (kinds) => {
      const path = `/resources/${Buffer.from('https://photos.example').toString('base64url')}`
      const body = { name: 'photos.print', sentence: 'Print', kinds }
      const refused = await call('POST', `${path}/scopes`, { body })

      expect(refused.status).toBe(422)
      expect(JSON.stringify(refused.body.errors)).toContain('kinds')
    },
  )
})

test('every operation that stands apart was called here', () => {
  const apart = fixture.operations.filter(({ id }) => TOLD_APART.includes(id))

  expectNone(
    uncalled(apart, done),
    'TOLD_APART of api-fixture.ts says that it is called in this file: call it here, or take it out there.',
  )
  expect(apart).toHaveLength(TOLD_APART.length)
})
