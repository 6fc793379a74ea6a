// Changes of approved apps: what people know an app by waits for an administrator, while the old registration serves on.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { SYSTEM } from '../../../src/base/audit-events.ts'
import { updateClient } from '../../../src/core/clients/update.ts'
import { changeOwnApp } from '../../../src/core/ownership/developer-clients.ts'
import { one, run, sql } from '../../../src/db/pool.ts'
import { against, failure } from '../../cli/run.ts'
import { App, type Page, type Person, type ServerFixture } from '../../support/flow.ts'
import { heard } from '../../support/heard.ts'
import { clientRow } from '../admin/admin-fixture.ts'
import { type DeveloperFixture, ownApp, portalRows, startDeveloperFixture, WEB } from './developer-fixture.ts'

let fixture: DeveloperFixture
let server: ServerFixture
let dev: Person
let ada: Person
let app: App
beforeAll(async () => {
  fixture = await startDeveloperFixture()
  ;({ server, dev, ada } = fixture)
})
afterAll(() => fixture.server.stop())
// Nobody may look after more than 25.
beforeEach(async () => {
  await run(server.db, sql`update clients set deleted_at = now() where registered_by = 'developer'`)
  app = await ownApp(fixture, dev)
})

const edit = async (fields: Record<string, string | string[]>, person = dev): Promise<Page> =>
  person.press(await person.open(`/developer/apps/${app.id}/edit`), 'Save', fields)
const show = (person = dev) => person.open(`/developer/apps/${app.id}`)
const waiting = () =>
  one<{ changes: { field: string }[] | null }>(
    server.db,
    sql`select (select changes from client_changes where client_id = ${app.id} and rejected_at is null) as changes`,
  )
const fieldsWaiting = async (): Promise<string[]> =>
  ((await waiting()).changes ?? []).map(({ field }) => field)

describe('what waits', () => {
  test.each([
    ['a name', { name: 'Almanac' }, ['name']],
    ['a redirect host', { redirect_uris: 'https://almanac.example/callback' }, ['redirect_uris']],
    [
      'one more redirect host',
      { redirect_uris: `${WEB.redirect_uris}\nhttps://b.example/cb` },
      ['redirect_uris'],
    ],
    [
      'another port is another host',
      { redirect_uris: 'https://calendar.example:8443/callback' },
      ['redirect_uris'],
    ],
    ['a dangerous scope', { scope: ['openid', 'prints.order'] }, ['scopes']],
  ])('%s', async (_, fields, expected) => {
    const before = await clientRow(server, app.id)

    const page = await edit(fields)

    expect(page.text).toContain('Until then the app goes on as it was.')
    expect(await fieldsWaiting()).toEqual(expected)
    const after = await clientRow(server, app.id)
    expect({ ...after, version: 0 }).toEqual({ ...before, version: 0 })
  })

  test.each([
    ['a description', { description: 'New' }],
    ['another path on the same host', { redirect_uris: 'https://calendar.example/other' }],
    ['an address after signing out', { post_logout_redirect_uris: 'https://elsewhere.example/bye' }],
    [
      'pages',
      {
        homepage_uri: 'https://c.example/',
        policy_uri: 'https://c.example/p',
        tos_uri: 'https://c.example/t',
      },
    ],
    ['a harmless scope', { scope: ['openid', 'profile', 'email', 'photos.read', 'photos.share'] }],
    ['fewer scopes', { scope: ['openid'] }],
  ])('%s does not', async (_, fields) => {
    const page = await edit(fields)

    expect(page.text).toContain('Calendar was changed.')
    expect(await fieldsWaiting()).toEqual([])
    const row = await clientRow(server, app.id)
    for (const [field, value] of Object.entries(fields)) {
      const column = field === 'scope' ? 'scopes' : field
      expect([row[column]].flat()).toEqual([value].flat())
    }
  })

  test('a loopback port does not either', async () => {
    app = await ownApp(fixture, dev, { type: 'native', redirect_uris: ['http://127.0.0.1:8080/cb'] })
    await edit({ redirect_uris: 'http://127.0.0.1:9090/cb' })
    expect(await fieldsWaiting()).toEqual([])
    await edit({ redirect_uris: 'com.example.app:/cb' })
    expect(await fieldsWaiting()).toEqual(['redirect_uris'])
  })

  test('a scope of an app that asks nobody does', async () => {
    app = await ownApp(fixture, dev, { type: 'service', scopes: [] })
    await edit({ scope: ['photos.read'] })
    expect(await fieldsWaiting()).toEqual(['scopes'])
  })

  test('a logo does', async () => {
    const by = { ...SYSTEM, type: 'user' as const, id: dev.id }
    const change = { logo_uri: 'https://calendar.example/logo.png' }

    await changeOwnApp(server.db, app.id, change, 1, { approval: true }, by)

    expect(await fieldsWaiting()).toEqual(['logo_uri'])
    // The form does not have it, and must not take it back.
    await edit({ name: 'Almanac' })
    expect(await fieldsWaiting()).toEqual(['name', 'logo_uri'])
  })
})

test('who decides about an uploaded logo sees the picture; a logo elsewhere is an address', async () => {
  const by = { ...SYSTEM, type: 'user' as const, id: dev.id }
  const uploaded = `${server.origin}/logos/${'a'.repeat(64)}.png`
  const elsewhere = 'https://calendar.example/logo.png'

  await changeOwnApp(server.db, app.id, { logo_uri: uploaded }, 1, { approval: true }, by)
  const [page, decision] = [
    await ada.open(`/admin/clients/${app.id}`),
    await ada.open(`/admin/clients/${app.id}/change/approve`),
  ]
  await changeOwnApp(server.db, app.id, { logo_uri: elsewhere }, 2, { approval: true }, by)

  for (const { html } of [page, decision]) {
    expect(html).toContain(`src="${uploaded}" alt="The new logo"`)
    expect(html).not.toContain(`<ins>${uploaded}`)
  }
  expect((await ada.open(`/admin/clients/${app.id}`)).html).toContain(`<ins>${elsewhere}</ins>`)
})

test('the old values serve at the sign-in until the change is approved, and the new ones from then on', async () => {
  await edit({ name: 'Almanac', redirect_uris: 'https://almanac.example/callback', description: 'At once' })
  await heard(server)
  expect(await clientRow(server, app.id)).toMatchObject({ description: 'At once', name: 'Calendar' })
  expect(await app.connect(fixture.sam)).toHaveProperty('access_token')
  const renamed = new App(server.origin, app.id, app.secret, 'https://almanac.example/callback')
  expect((await fixture.other.open((await renamed.begin()).url)).status).toBe(400)

  const page = await ada.open(`/admin/clients/${app.id}`)
  expect(page.text).toContain('A change waits for your decision')
  expect(page.text).toContain(dev.email)
  expect(page.html).toContain('<del>Calendar</del>')
  expect(page.html).toContain('<ins>Almanac</ins>')
  const done = await ada.press(
    await ada.open(`/admin/clients/${app.id}/change/approve`),
    'Approve the change',
  )
  expect(done.text).toContain('The change of Almanac holds now.')
  await heard(server)

  expect((await fixture.other.open((await app.begin()).url)).status).toBe(400)
  const consent = await fixture.other.open((await renamed.begin()).url)
  expect(consent.title).toContain('Almanac wants access')
  expect(await fieldsWaiting()).toEqual([])
  const [approved] = await server.events({ type: 'client.change_approved', client_id: app.id })
  expect(approved).toMatchObject({
    actor_id: ada.id,
    data: { changes: expect.arrayContaining([{ field: 'name', from: 'Calendar', to: 'Almanac' }]) },
  })
})

test('administrators are told: count, overview, list', async () => {
  await edit({ name: 'Almanac told' })

  const overview = await ada.open('/admin')
  expect(overview.text).toContain('Changes of approved apps')
  expect(overview.html).toContain(`/admin/clients/${app.id}`)
  expect(overview.html).toMatch(/chip pending">\d+/)
  const list = await ada.open('/admin/clients?state=changed')
  expect(list.html).toContain(`/admin/clients/${app.id}`)
  const untouched = await ownApp(fixture, dev, { name: 'Untouched' })
  expect((await ada.open('/admin/clients?state=changed')).html).not.toContain(untouched.id)
})

test('its owners see it as a difference, edit it further, and withdraw it', async () => {
  await edit({ name: 'Almanac' })
  const seen = await show()
  expect(seen.text).toContain('A change waits for approval')
  expect(seen.html).toContain('<ins>Almanac</ins>')
  expect((await dev.open('/developer')).text).toContain('A change waits for approval')

  // Sending the form as it is, or another field of it, leaves what waits.
  expect((await edit({})).text).toContain('Calendar is as it was.')
  await edit({ description: 'More' })
  expect(await fieldsWaiting()).toEqual(['name'])
  const page = await dev.press(await show(), 'Withdraw the change')

  expect(page.text).toContain('The change is withdrawn.')
  expect(await fieldsWaiting()).toEqual([])
  expect(await clientRow(server, app.id)).toMatchObject({ name: 'Calendar', description: 'More' })
  expect(await server.events({ type: 'client.change_withdrawn', client_id: app.id })).toHaveLength(1)
  expect((await dev.press(seen, 'Withdraw the change')).status).toBe(404)
})

test('typing the old values again takes it back, too', async () => {
  await edit({ name: 'Almanac' })
  const page = await edit({ name: 'Calendar' })

  expect(page.text).not.toContain('Waits for approval: ')
  expect(await fieldsWaiting()).toEqual([])
})

test('a rejected one tells why, and another can be asked for', async () => {
  await edit({ name: 'Your Bank' })
  const form = await ada.open(`/admin/clients/${app.id}/change/reject`)
  expect((await ada.press(form, 'Reject the change', { reason: ' ' })).text).toContain('Reason: is missing')
  await ada.press(form, 'Reject the change', { reason: 'You are no bank.' })

  const page = await show()
  expect(page.text).toContain('A change was rejected')
  expect(page.text).toContain('You are no bank.')
  expect((await dev.open(`/developer/apps/${app.id}/edit`)).html).not.toContain('Your Bank')
  const [event] = await server.events({ type: 'client.change_rejected', client_id: app.id })
  expect(event!.data).toMatchObject({ reason: 'You are no bank.', changes: [{ to: 'Your Bank' }] })
  await edit({ name: 'My Banknotes' })
  expect(await fieldsWaiting()).toEqual(['name'])
  expect((await show()).text).not.toContain('You are no bank.')
})

test('what was decided about is what was seen', async () => {
  await edit({ name: 'First' })
  const form = await ada.open(`/admin/clients/${app.id}/change/approve`)
  await edit({ name: 'Second' })

  const page = await ada.press(form, 'Approve the change')

  expect(page.status).toBe(409)
  expect(page.text).toContain('This is what they ask for now.')
  expect(page.html).toContain('<ins>Second</ins>')
  expect(await clientRow(server, app.id)).toMatchObject({ name: 'Calendar' })
  expect((await ada.press(page, 'Approve the change')).text).toContain('The change of Second holds now.')
})

test('one that no longer fits is refused, and nothing is overwritten', async () => {
  await edit({ name: 'Almanac' })
  await updateClient(server.db, app.id, { name: 'By the administrator' }, SYSTEM)

  const page = await ada.press(
    await ada.open(`/admin/clients/${app.id}/change/approve`),
    'Approve the change',
  )

  expect(page.status).toBe(409)
  expect(page.text).toContain('The app was changed since this was asked for: Name.')
  expect(await clientRow(server, app.id)).toMatchObject({ name: 'By the administrator' })
  expect(await fieldsWaiting()).toEqual(['name'])
})

test('another field that moved on is no hindrance', async () => {
  await edit({ name: 'Almanac' })
  await updateClient(server.db, app.id, { description: 'Seen' }, SYSTEM)

  await ada.press(await ada.open(`/admin/clients/${app.id}/change/approve`), 'Approve the change')

  expect(await clientRow(server, app.id)).toMatchObject({ name: 'Almanac', description: 'Seen' })
})

test('the rules hold at the approval, too', async () => {
  await edit({ scope: ['openid', 'prints.order'] })
  await run(server.db, sql`update resource_scopes set removed_at = now() where name = 'prints.order'`)

  const page = await ada.press(
    await ada.open(`/admin/clients/${app.id}/change/approve`),
    'Approve the change',
  )
  await run(server.db, sql`update resource_scopes set removed_at = null where name = 'prints.order'`)

  expect(page.status).toBe(422)
  expect(page.text).toContain('Scopes "prints.order" belongs to no API')
  expect(await fieldsWaiting()).toEqual(['scopes'])
})

test('of two owners who ask at once, the second reads that the first was faster', async () => {
  const [first, second] = [
    await dev.open(`/developer/apps/${app.id}/edit`),
    await dev.open(`/developer/apps/${app.id}/edit`),
  ]
  await dev.press(first, 'Save', { name: 'Of the first' })

  const late = await dev.press(second, 'Save', { name: 'Of the second' })

  expect(late.status).toBe(409)
  expect(late.text).toContain('it differs from what stands now in: Name.')
  expect((await waiting()).changes).toMatchObject([{ to: 'Of the first' }])
})

test('an approval and a withdrawal at once: one of them', async () => {
  await edit({ name: 'Almanac' })
  const [form, page] = [await ada.open(`/admin/clients/${app.id}/change/approve`), await show()]

  await Promise.all([ada.press(form, 'Approve the change'), dev.press(page, 'Withdraw the change')])

  const ended = ['client.change_approved', 'client.change_withdrawn']
  const events = (await server.events({ client_id: app.id })).filter(({ type }) => ended.includes(type))
  expect(events).toHaveLength(1)
  const approved = events[0]!.type === 'client.change_approved'
  expect(await clientRow(server, app.id)).toMatchObject({ name: approved ? 'Almanac' : 'Calendar' })
  expect(await fieldsWaiting()).toEqual([])
})

describe('the command line', () => {
  test('approves and rejects it', async () => {
    const { database } = await one<{ database: string }>(
      server.db,
      sql`select current_database() as database`,
    )
    const url = new URL(process.env.TEST_DATABASE_URL!)
    url.pathname = `/${database}`
    const cli = against(url.href)
    await edit({ name: 'Bad' })
    expect((await cli.run(['clients', 'reject', app.id, '--reason', 'No'])).stdout).toContain(
      'it goes on as it is',
    )
    await edit({ name: 'Good' })
    const seen = async () => {
      const { version } = await cli.json<{ version: number }>(['clients', 'show', app.id])
      return ['--if-version', `${version}`]
    }
    const earlier = await seen()
    await edit({ name: 'Better' })
    expect(await cli.run(['clients', 'approve', app.id])).toEqual(failure(2, /--if-version/))
    expect(await cli.run(['clients', 'approve', app.id, ...earlier])).toEqual(
      failure(1, /changed meanwhile; it is at version/),
    )
    const approved = await cli.json(['clients', 'approve', app.id, ...(await seen())])
    expect(approved).toMatchObject({ name: 'Better' })
    await edit({ name: 'Late' })
    await updateClient(server.db, app.id, { name: 'Moved' }, SYSTEM)
    expect(await cli.run(['clients', 'approve', app.id, ...(await seen())])).toEqual(
      failure(1, /was changed meanwhile: name/),
    )
  })
})

test('a waiting change of an app that is deleted is no work for anybody', async () => {
  await edit({ name: 'Deleted soon' })
  await run(server.db, sql`update clients set deleted_at = now() where id = ${app.id}`)

  expect((await ada.open('/admin')).html).not.toContain(app.id)
  expect((await ada.open(`/admin/clients/${app.id}/change/approve`)).status).toBe(404)
})

test('only its owners withdraw it', async () => {
  await edit({ name: 'Almanac' })
  const csrf = /name="csrf" value="([^"]*)"/.exec((await fixture.other.open('/account')).html)![1]!
  const before = await portalRows(fixture)

  const page = await fixture.other.post(`/developer/apps/${app.id}/change/withdraw`, { csrf })

  expect(page.status).toBe(404)
  expect(await portalRows(fixture)).toBe(before)
})
