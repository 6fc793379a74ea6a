// Apps in the console: finding them, registering, changing, deciding about them, their secrets.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { SYSTEM } from '../../../src/base/audit-events.ts'
import { updateClient } from '../../../src/core/clients/update.ts'
import { many, one, run, sql } from '../../../src/db/pool.ts'
import type { App, Page, Person, ServerFixture } from '../../support/flow.ts'
import { heard } from '../../support/heard.ts'
import { untilPasses } from '../../support/patience.ts'
import {
  type AdminFixture,
  administrator,
  clientRow,
  makePending,
  startAdminFixture,
} from './admin-fixture.ts'

const MARKUP = '<script>alert(1)</script>"\'&'

let fixture: AdminFixture
let server: ServerFixture
let ada: Person
let jamie: Person
let app: App
beforeAll(async () => {
  fixture = await startAdminFixture()
  ;({ server, ada, jamie } = fixture)
})
afterAll(() => fixture.server.stop())
beforeEach(async () => {
  app = await server.app()
})

describe('looking for an app', () => {
  test.each([
    ['part of its name, whatever the case', 'RINTER of w', 'Printer of Words'],
    ['its host', 'letters.exa', 'Letters'],
    ['its id', 'c_very-special', 'Special'],
    ['the address of an owner', 'robin.', 'Owned'],
  ])('by %s', async (_, q, name) => {
    if (name === 'Special') await server.app({ name, id: 'c_very-special-1' } as never).catch(() => {})
    else {
      const made = await server.app({
        name,
        redirect_uris: [name === 'Letters' ? 'https://letters.example/cb' : 'https://other.example/cb'],
      })
      if (name === 'Owned') {
        const robin = await server.person('Robin')
        await run(
          server.db,
          sql`insert into client_owners (client_id, user_id) values (${made.id}, ${robin.id})`,
        )
      }
    }

    const page = await ada.open(`/admin/clients?${new URLSearchParams({ q })}`)

    expect(page.status).toBe(200)
    expect(page.text).toContain(name)
    expect(page.text).not.toContain('Photo Printer')
  })

  test('with signs that mean something to a database finds what has them, and nothing else', async () => {
    await server.app({ name: '100% _real_' })

    expect((await ada.open('/admin/clients?q=100%25%20_r')).text).toContain('100% _real_')
    expect((await ada.open('/admin/clients?q=%25%25%25')).text).toContain('No app fits')
    expect((await ada.open("/admin/clients?q='%3B--")).text).toContain('No app fits')
  })

  test('says that two letters are too few', async () => {
    const page = await ada.open('/admin/clients?q=ph')

    expect(page.title).toBe('Error: Apps · Valetkey')
    expect(page.text).toContain('Enter at least 3 characters.')
  })

  test('by state, kind, registrar and for how long it was not used', async () => {
    const pending = await server.app({ name: 'Pending one' })
    await makePending(server, pending)
    const service = await server.app({ name: 'Robot one', type: 'service', scopes: [] })
    await run(
      server.db,
      sql`update clients set created_at = now() - interval '200 days' where id = ${service.id}`,
    )

    const names = async (query: string): Promise<string> => (await ada.open(`/admin/clients?${query}`)).text
    expect(await names('state=pending')).toContain('Pending one')
    expect(await names('state=pending')).not.toContain('Robot one')
    expect(await names('type=service')).toContain('Robot one')
    expect(await names('type=service')).not.toContain('Photo Printer')
    expect(await names('by=developer')).toContain('Pending one')
    expect(await names('by=developer')).not.toContain('Robot one')
    expect(await names('unused=180')).toContain('Robot one')
    expect(await names('unused=180')).not.toContain('Pending one')
    await run(server.db, sql`update clients set last_used_at = now() where id = ${service.id}`)
    expect(await names('unused=180')).not.toContain('Robot one')
  })

  test('goes on page by page, keeping the filter, each app once', async () => {
    const names = Array.from({ length: 30 }, (_, i) => `Numbered ${i + 100}`)
    for (const name of names) await server.app({ name })

    const first = await ada.open('/admin/clients?q=numbered')
    const next = /href="(\/admin\/clients\?[^"]*after=[^"]*)"/.exec(first.html)![1]!.replaceAll('&amp;', '&')
    const second = await ada.open(next)

    const seen = [...`${first.text} ${second.text}`.matchAll(/Numbered \d+/g)].map(([name]) => name)
    expect(seen.sort()).toEqual(names)
    expect(second.html).not.toContain('after=')
  })
})

test('one app: what it is, whom it serves, its secrets without their values', async () => {
  await app.connect(jamie)
  await run(server.db, sql`update clients set description = 'Prints' where id = ${app.id}`)

  const page = await ada.open(`/admin/clients/${app.id}`)

  expect(page.text).toContain('Active')
  expect(page.text).toContain('https://printer.example/callback')
  expect(page.text).toContain('Prints')
  expect(page.text).toMatch(/Users 1 ·/)
  expect(page.text).toContain(`${app.secret!.slice(0, 12)}…`)
  expect(page.html).not.toContain(app.secret!)
  expect((await ada.open('/admin/clients/c_none')).status).toBe(404)
  expect((await ada.open(`/admin/clients/${fixture.server.photos.id}`)).status).toBe(404)
})

test('when an app and its secret were last used is noted, at most once a minute', async () => {
  await app.connect(jamie)
  const { last_used_at } = await eventually(() => clientRow(server, app.id), 'last_used_at')

  expect(Date.now() - (last_used_at as Date).getTime()).toBeLessThan(300_000)
  const [secret] = await many(
    server.db,
    sql`select last_used_at from client_secrets where client_id = ${app.id}`,
  )
  expect(secret!.last_used_at).not.toBeNull()
  expect((await ada.open(`/admin/clients/${app.id}`)).text).toContain('Last token just now')
  const { tokens } = await one<{ tokens: string }>(
    server.db,
    sql`select sum(tokens) as tokens from usage_hours`,
  )
  expect(Number(tokens)).toBeGreaterThan(0)
})

describe('registering', () => {
  const fields = {
    name: 'Calendar',
    type: 'web',
    redirect_uris: 'https://calendar.example/a\r\n https://calendar.example/b \r\n\r\n',
    scope: ['openid', 'photos.read'],
  }

  test('gives an app its id, and shows its secret once', async () => {
    const page = await ada.press(await ada.open('/admin/clients/new'), 'Register', fields)

    expect(page.status).toBe(200)
    expect(page.headers.get('cache-control')).toBe('no-store')
    const [secret] = /vk_cs_[\w-]+/.exec(page.text)!
    const [id] = /c_[\w-]{16}/.exec(page.text)!
    const row = await clientRow(server, id!)
    expect(row).toMatchObject({
      name: 'Calendar',
      redirect_uris: ['https://calendar.example/a', 'https://calendar.example/b'],
      scopes: ['openid', 'photos.read'],
      first_party: false,
      pkce_required: true,
      registered_by: 'admin',
      state: 'active',
    })
    expect((await ada.open(`/admin/clients/${id}`)).html).not.toContain(secret)
    expect((await server.events({ type: 'client.created', client_id: id }))[0]).toMatchObject({
      actor_type: 'user',
      actor_id: ada.id,
    })
  })

  test('of a public app needs no secret', async () => {
    const page = await ada.press(await ada.open('/admin/clients/new'), 'Register', { ...fields, type: 'spa' })

    expect(page.url.pathname).toMatch(/^\/admin\/clients\/c_/)
    expect(page.text).toContain('Calendar is registered.')
    expect(page.text).not.toContain('Secrets')
  })

  test.each([
    ['name', '', 'Name: is missing'],
    ['redirect_uris', 'http://calendar.example/', 'is not https'],
    ['redirect_uris', 'https://calendar.example/#top', 'has a fragment'],
    ['redirect_uris', 'https://*.example/', 'has a wildcard'],
    ['redirect_uris', 'javascript:alert(1)', 'is neither https nor loopback http'],
    ['redirect_uris', 'https://user@calendar.example/', 'has user information'],
    ['redirect_uris', '', 'is empty, e.g. https://app.example/callback'],
    ['logo_uri', 'javascript:alert(1)', 'is not an https address'],
    ['homepage_uri', 'ftp://calendar.example', 'is not an https address'],
    ['policy_uri', 'no address', 'is not an https address'],
    ['scope', 'photos.nothing', 'belongs to no API'],
    ['type', 'resource_server', 'Choose what it runs as.'],
  ])('refuses %s %j, says why and keeps what was typed', async (field, value, words) => {
    const page = await ada.press(await ada.open('/admin/clients/new'), 'Register', {
      ...fields,
      [field]: value,
    })

    expect(page.status).toBe(422)
    expect(page.title).toMatch(/^Error: /)
    expect(page.text).toContain(words)
    if (field !== 'name') expect(page.html).toContain('value="Calendar"')
    if (field !== 'redirect_uris') expect(page.text).toContain('https://calendar.example/a')
  })

  test('takes nothing but what the form has', async () => {
    const page = await ada.press(await ada.open('/admin/clients/new'), 'Register', {
      ...fields,
      name: 'Greedy',
      verified_at: '2020-01-01',
      state: 'active',
      version: '7',
      id: 'c_mine',
      resource: 'https://photos.example',
    })

    const [id] = /c_[\w-]{16}/.exec(page.text)!
    expect(await clientRow(server, id!)).toMatchObject({ verified_at: null, version: 1, resource: null })
  })
})

describe('changing', () => {
  test('an app holds at once, and is recorded with the old and the new value', async () => {
    const page = await ada.press(await ada.open(`/admin/clients/${app.id}/edit`), 'Save', {
      name: 'Printer',
      redirect_uris: 'https://printer.example/callback\nhttps://printer.example/two',
    })

    expect(page.text).toContain('Printer was changed.')
    expect(await clientRow(server, app.id)).toMatchObject({
      name: 'Printer',
      version: 2,
      pkce_required: true,
    })
    const [event] = await server.events({ type: 'client.changed', client_id: app.id })
    expect(event!.data).toEqual({
      fields: ['name', 'redirect_uris'],
      changes: [
        { field: 'name', from: 'Photo Printer', to: 'Printer' },
        {
          field: 'redirect_uris',
          from: ['https://printer.example/callback'],
          to: ['https://printer.example/callback', 'https://printer.example/two'],
        },
      ],
      loosened: [],
    })
    const { url } = await app.begin({ redirect_uri: 'https://printer.example/two' })
    expect((await jamie.open(url)).status).toBe(200)
  })

  test('what becomes looser is named', async () => {
    const page = await ada.open(`/admin/clients/${app.id}/edit`)
    await ada.press(page, 'Save', { pkce_required: [], first_party: 'yes' })

    const [event] = await server.events({ type: 'client.changed', client_id: app.id })
    expect(event!.data).toMatchObject({
      loosened: ['pkce', 'consent'],
      changes: [
        { field: 'first_party', from: false, to: true },
        { field: 'pkce_required', from: true, to: false },
      ],
    })
  })

  test('nothing changes nothing: no new version, no record', async () => {
    const page = await ada.press(await ada.open(`/admin/clients/${app.id}/edit`), 'Save')

    expect(page.text).toContain('Photo Printer is as it was.')
    expect(await clientRow(server, app.id)).toMatchObject({ version: 1 })
    expect(await server.events({ type: 'client.changed', client_id: app.id })).toEqual([])
  })

  test('what somebody else has changed meanwhile is not overwritten unseen', async () => {
    const page = await ada.open(`/admin/clients/${app.id}/edit`)
    await updateClient(server.db, app.id, { homepage_uri: 'https://printer.example/' }, SYSTEM)

    const conflict = await ada.press(page, 'Save', { name: 'My name' })

    expect(conflict.status).toBe(409)
    expect(conflict.text).toContain('Somebody else changed this app meanwhile.')
    expect(conflict.text).toContain('Name, Web page')
    expect(conflict.html).toContain('value="My name"')
    expect(await clientRow(server, app.id)).toMatchObject({ name: 'Photo Printer', version: 2 })
    // Seen now, and sent again.
    await ada.press(conflict, 'Save')
    expect(await clientRow(server, app.id)).toMatchObject({ name: 'My name', homepage_uri: null, version: 3 })
  })

  test('of two at the same moment one wins', async () => {
    const grace = await administrator(server, 'Grace')
    await grace.account('/admin')
    const pages: [Person, Page][] = [
      [ada, await ada.open(`/admin/clients/${app.id}/edit`)],
      [grace, await grace.open(`/admin/clients/${app.id}/edit`)],
    ]

    const sent = await Promise.all(
      pages.map(([person, page], i) => person.press(page, 'Save', { name: `Name ${i}` })),
    )

    expect(sent.map(({ status }) => status).sort()).toEqual([200, 409])
    expect(await clientRow(server, app.id)).toMatchObject({ version: 2 })
  })

  test('a mistake does not forget which version was seen', async () => {
    const page = await ada.open(`/admin/clients/${app.id}/edit`)
    await updateClient(server.db, app.id, { description: 'new' }, SYSTEM)
    await run(server.db, sql`update clients set version = 1 where id = ${app.id}`)
    const refused = await ada.press(page, 'Save', { name: '' })
    await run(server.db, sql`update clients set version = 2 where id = ${app.id}`)

    expect((await ada.press(refused, 'Save', { name: 'Late' })).status).toBe(409)
  })
})

describe('deciding', () => {
  test('an app that waits serves its owners, tells others, and serves all once it is approved', async () => {
    const robin = await server.person('Robin')
    await makePending(server, app, robin)

    await app.connect(robin)
    const told = await jamie.open((await app.begin()).url)
    expect(told.status).toBe(403)
    expect(told.text).toContain('Photo Printer cannot be used yet')
    expect((await ada.open('/admin')).text).toContain('Photo Printer')
    const page = await ada.press(await ada.open(`/admin/clients/${app.id}/approve`), 'Approve')

    expect(page.text).toContain('Photo Printer is approved.')
    await app.connect(jamie)
    expect(await server.events({ type: 'client.approved', client_id: app.id })).toHaveLength(1)
  })

  test('the page about an app that waits leads back to it, or to another account', async () => {
    const robin = await server.person('Robin')
    await makePending(server, app, robin)
    const told = await jamie.open((await app.begin()).url)

    const back = await jamie.press(told, 'Go back to Photo Printer')

    expect(back.away!.searchParams.get('error')).toBe('access_denied')
    const other = await jamie.press(await jamie.open((await app.begin()).url), 'Use another account')
    expect(other.title).toBe('Sign in · Valetkey')
  })

  test('nobody gets past it: not with a form of their own, not without asking, not as a program', async () => {
    await app.connect(jamie)
    await makePending(server, app)

    const { url } = await app.begin()
    const told = await jamie.open(url)
    const csrf = /name="csrf" value="([^"]*)"/.exec(told.html)![1]!
    const forced = await jamie.post(`${told.url.pathname}/consent`, { csrf, scope: 'photos.read' })
    expect(forced.status).toBe(403)
    expect(forced.away).toBeUndefined()
    const silent = await jamie.open((await app.begin({ prompt: 'none' })).url)
    expect(silent.away!.searchParams.get('error')).toBe('consent_required')
    const program = await app.post('/token', { grant_type: 'client_credentials', scope: 'photos.read' })
    expect(program.status).toBe(400)
    expect(program.body.access_token).toBeUndefined()
  })

  test('a rejected app serves nobody, and what its owners tried out is dead', async () => {
    const robin = await server.person('Robin')
    await makePending(server, app, robin)
    const tokens = await app.connect(robin)
    const confirm = await ada.open(`/admin/clients/${app.id}/reject`)

    const asked = await ada.press(confirm, 'Reject', { reason: '  ' })
    expect(asked.status).toBe(422)
    expect(asked.text).toContain('Reason: is missing')
    const page = await ada.press(asked, 'Reject', { reason: `Not yours ${MARKUP}` })

    expect(page.text).toContain('Photo Printer is rejected.')
    expect(page.html).not.toContain('<script')
    expect(await fixture.server.photos.introspect(tokens.access_token)).toEqual({ active: false })
    expect((await app.refresh(tokens.refresh_token)).status).toBe(401)
    expect((await robin.open((await app.begin()).url)).status).toBe(400)
    const [event] = await server.events({ type: 'client.rejected', client_id: app.id })
    expect(event!.data).toEqual({ reason: `Not yours ${MARKUP}` })
  })

  test('verified is said on the consent page, until it is taken back', async () => {
    await ada.press(await ada.open(`/admin/clients/${app.id}/verify`), 'Mark as verified')
    const robin = await server.person('Robin')
    const { url } = await app.begin()
    expect((await robin.signIn(await robin.open(url))).text).toContain('printer.example Verified')

    await ada.press(await ada.open(`/admin/clients/${app.id}/unverify`), 'Take it away')

    expect((await robin.open(url)).text).toContain('Not verified')
    expect(await server.events({ client_id: app.id, type: 'client.unverified' })).toHaveLength(1)
  })

  test('suspending kills every token at once; resuming brings them back', async () => {
    const { access_token } = await app.connect(jamie)

    await ada.press(await ada.open(`/admin/clients/${app.id}/suspend`), 'Suspend')
    expect(await fixture.server.photos.introspect(access_token)).toEqual({ active: false })
    const again = await ada.press(await ada.open(`/admin/clients/${app.id}/suspend`), 'Suspend')
    expect(again.text).toContain('Nothing was changed')
    await ada.press(await ada.open(`/admin/clients/${app.id}/resume`), 'Resume')

    expect((await fixture.server.photos.introspect(access_token)).active).toBe(true)
  })

  test('deleting wants the name typed', async () => {
    const { access_token } = await app.connect(jamie)
    const confirm = await ada.open(`/admin/clients/${app.id}/delete`)

    const refused = await ada.press(confirm, 'Delete for good', { confirm: 'Photo' })
    expect(refused.status).toBe(422)
    expect((await fixture.server.photos.introspect(access_token)).active).toBe(true)
    const page = await ada.press(refused, 'Delete for good', { confirm: 'Photo Printer' })

    expect(page.url.pathname).toBe('/admin/clients')
    expect(page.text).toContain('Photo Printer is deleted.')
    expect(await fixture.server.photos.introspect(access_token)).toEqual({ active: false })
    expect((await ada.open(`/admin/clients/${app.id}`)).status).toBe(404)
  })
})

describe('secrets', () => {
  const authenticate = (secret: string) =>
    fetch(`${server.origin}/token`, {
      method: 'POST',
      headers: { Authorization: `Basic ${Buffer.from(`${app.id}:${secret}`).toString('base64')}` },
      body: new URLSearchParams({ grant_type: 'client_credentials', scope: 'photos.read' }),
    }).then(({ status }) => status)
  const shown = (page: Page): string => /vk_cs_[\w-]+/.exec(page.text)![0]

  test('one more has a name, is shown once, and the others go on', async () => {
    const form = await ada.open(`/admin/clients/${app.id}/secrets/new`)
    expect((await ada.press(form, 'Add the secret', { name: ' ' })).status).toBe(422)
    const page = await ada.press(form, 'Add the secret', { name: `web ${MARKUP}` })

    expect(page.headers.get('cache-control')).toBe('no-store')
    expect(await authenticate(shown(page))).toBe(200)
    expect(await authenticate(app.secret!)).toBe(200)
    const list = await ada.open(`/admin/clients/${app.id}`)
    expect(list.text).toContain(`web ${MARKUP}`)
    expect(list.html).not.toContain('<script')
    expect(list.html).not.toContain(shown(page))
    const [event] = await server.events({ type: 'client.secret_added', client_id: app.id })
    expect(JSON.stringify(event)).not.toContain(shown(page))
  })

  test('rotating lets the old one go on for as long as is chosen', async () => {
    const form = await ada.open(`/admin/clients/${app.id}/secrets/rotate`)
    expect((await ada.press(form, 'Make a new secret', { overlap: '17' })).status).toBe(422)

    const second = shown(await ada.press(form, 'Make a new secret', { overlap: '3600' }))
    expect(await authenticate(app.secret!)).toBe(200)
    const third = shown(await ada.press(form, 'Make a new secret', { overlap: '0' }))
    await heard(server)

    expect(await authenticate(app.secret!)).toBe(401)
    expect(await authenticate(second)).toBe(401)
    expect(await authenticate(third)).toBe(200)
  })

  test('revoking one leaves the others', async () => {
    const second = shown(
      await ada.press(await ada.open(`/admin/clients/${app.id}/secrets/new`), 'Add the secret', {
        name: 'b',
      }),
    )
    const { id } = await one<{ id: string }>(
      server.db,
      sql`select id from client_secrets where client_id = ${app.id} and name = ''`,
    )

    const confirm = await ada.open(`/admin/clients/${app.id}/secrets/${id}/revoke`)
    await ada.press(confirm, 'Revoke this secret')

    expect(await authenticate(app.secret!)).toBe(401)
    expect(await authenticate(second)).toBe(200)
    expect((await ada.press(confirm, 'Revoke this secret')).status).toBe(404)
    const other = await server.app()
    expect((await ada.open(`/admin/clients/${other.id}/secrets/${id}/revoke`)).status).toBe(404)
  })

  test('are at most ten at once', async () => {
    const form = await ada.open(`/admin/clients/${app.id}/secrets/new`)
    for (let i = 1; i < 10; i++) await ada.press(form, 'Add the secret', { name: `n ${i}` })

    const page = await ada.press(form, 'Add the secret', { name: 'eleven' })

    expect(page.status).toBe(422)
    expect(page.text).toContain('there are 10 secrets already')
  })
})

test('markup in a name or address runs nowhere', async () => {
  const evil = await server.app({ name: MARKUP })
  await run(
    server.db,
    sql`update clients set description = ${MARKUP}, homepage_uri = 'javascript:alert(1)', state = 'pending',
          logo_uri = ${`https://x.example/"onerror="alert(1)`} where id = ${evil.id}`,
  )

  for (const path of [
    '',
    '/apps',
    `/apps/${evil.id}`,
    `/apps/${evil.id}/edit`,
    `/apps/${evil.id}/delete`,
    '/audit',
  ]) {
    const page = await ada.open(`/admin${path}`)
    expect([path, page.status]).toEqual([path, 200])
    expect(page.html).not.toMatch(/<script|onerror="alert|href="javascript:/)
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'")
  }
})

async function eventually<T extends Record<string, unknown>>(
  read: () => Promise<T>,
  field: string,
): Promise<T> {
  return untilPasses(async () => {
    const row = await read()
    if (!row[field]) throw new Error(`${field} did not come`)
    return row
  })
}
