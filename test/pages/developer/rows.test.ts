// Every address of the developers' pages, held against the URL table itself: who gets in, and what a form wants before it
// changes anything. And the three ways in which an operator receives developers.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { one, run, sql } from '../../../src/db/pool.ts'
import { App, type Page, type Person } from '../../support/flow.ts'
import { ROWS } from '../../support/rows.ts'
import { clientRow, csrfOf } from '../admin/admin-fixture.ts'
import {
  type DeveloperFixture,
  lastApp,
  linkOn,
  ownApp,
  portalRows,
  startDeveloperFixture,
  WEB,
} from './developer-fixture.ts'

let fixture: DeveloperFixture
let places: Record<string, string>
let app: App
beforeAll(async () => {
  fixture = await startDeveloperFixture()
  const { dev, server } = fixture
  app = await ownApp(fixture, dev, { approval: true })
  const page = await dev.press(await dev.open(`/developer/apps/${app.id}/owners/invite`), 'Make the link', {
    email: 'invited@example.org',
  })
  const { secret_id, invitation_id } = await one<{ secret_id: string; invitation_id: string }>(
    server.db,
    sql`select (select id from client_secrets where client_id = ${app.id}) as secret_id,
               (select id from client_invitations) as invitation_id`,
  )
  await run(
    server.db,
    sql`insert into client_changes (client_id, changes, base_version)
        values (${app.id}, ${JSON.stringify([{ field: 'name', from: 'Calendar', to: 'Other' }])}, 1)`,
  )
  const { id: rejection_id } = await one<{ id: string }>(
    server.db,
    sql`insert into client_refusals (client_id, at, attested, source, endpoint, error, kind, expected, came)
        values (${app.id}, now(), false, 0, '/auth', 'invalid_redirect_uri', 'redirect_uri_mismatch', '', ${`${app.redirectUri}-2`})
        returning id`,
  )
  places = {
    client_id: app.id,
    rejection_id,
    secret_id,
    invitation_id,
    user_id: dev.id,
    secret: linkOn(page).split('/').at(-1)!,
  }
})
afterAll(() => fixture.server.stop())

const rows = ROWS.filter(({ path }) => path.startsWith('/developer'))
const ofApps = rows.filter(({ path }) => path.includes(':client_id'))
const posts = rows.filter(({ method }) => method === 'POST')
const address = (path: string): string =>
  path.replace(/:(\w+)/g, (_, name: string) => places[name] ?? `no place for ${name}`)
const ask = (person: Person, { method, path }: (typeof rows)[number], csrf = ''): Promise<Page> =>
  method === 'GET' ? person.open(address(path)) : person.submit(address(path), { csrf })

test('the table has these rows', () => {
  expect(rows.length).toBeGreaterThan(25)
  expect(posts.length).toBeGreaterThan(10)
})

test.each(ofApps)(
  '$method $path does not exist for another developer, nor for an administrator',
  async (row) => {
    const before = await portalRows(fixture)

    for (const person of [fixture.other, fixture.ada]) {
      const page = await ask(person, row, csrfOf(await person.open('/developer/apps/new')))
      expect(page.status).toBe(404)
      expect(page.text).not.toContain('Calendar')
    }

    expect(await portalRows(fixture)).toBe(before)
  },
)

test.each(ofApps.filter(({ method }) => method === 'GET'))('GET $path opens for its owner', async (row) => {
  const page = await ask(fixture.dev, row)

  expect(page.status).toBe(200)
  expect(page.headers.get('cache-control')).toBe('no-store')
  expect(page.html.match(/<h1/g)).toHaveLength(1)
})

describe.each(posts)('POST $path', ({ path }) => {
  test.each([
    ['without its hidden field', async (): Promise<string> => '', {}],
    [
      'with the hidden field of somebody else',
      async (): Promise<string> => csrfOf(await fixture.other.open('/account')),
      {},
    ],
    [
      'from another site',
      async (): Promise<string> => csrfOf(await fixture.dev.open('/account')),
      { 'Sec-Fetch-Site': 'cross-site' },
    ],
  ] as const)('changes nothing %s', async (_, csrf, headers) => {
    const before = await portalRows(fixture)

    const page = await fixture.dev.submit(address(path), { csrf: await csrf() }, headers)

    expect(page.status).toBe(403)
    expect(await portalRows(fixture)).toBe(before)
  })
})

test.each(['c_none', 'x%27--', '%F0%9F%98%80', 'a'.repeat(500)])('there is no app %s', async (id) => {
  expect((await fixture.dev.open(`/developer/apps/${id}`)).status).toBe(404)
  expect((await fixture.dev.open(`/developer/apps/${fixture.server.photos.id}`)).status).toBe(404)
})

describe('an operator who is open', () => {
  let open: DeveloperFixture
  beforeAll(async () => {
    open = await startDeveloperFixture({ DEVELOPER_REGISTRATION: 'open' })
  })
  afterAll(() => open.server.stop())

  test('has apps served at once, and changed at once', async () => {
    const { dev, server, sam } = open
    await dev.press(await dev.open('/developer/apps/new'), 'Register', { ...WEB, type: 'spa' })
    const id = await lastApp(open)
    expect(await clientRow(server, id)).toMatchObject({ state: 'active', registered_by: 'developer' })

    await dev.press(await dev.open(`/developer/apps/${id}/edit`), 'Save', { name: 'Almanac' })

    expect(await clientRow(server, id)).toMatchObject({
      name: 'Almanac',
      first_party: false,
      verified_at: null,
    })
    expect((await sam.open(`/developer/apps/${id}`)).status).toBe(404)
  })

  test('still decides about what acts without a person', async () => {
    const { dev, server } = open
    const register = async (scope: string[]): Promise<App> => {
      const page = await dev.press(await dev.open('/developer/apps/new'), 'Register', {
        ...WEB,
        type: 'service',
        redirect_uris: '',
        scope,
      })
      return new App(server.origin, await lastApp(open), /vk_cs_[\w-]+/.exec(page.html)![0], '')
    }
    const [waits, harmless] = [await register(['photos.read']), await register([])]
    const web = await ownApp(open, dev)
    const ask = { grant_type: 'client_credentials', scope: 'photos.read' }

    expect(await clientRow(server, waits.id)).toMatchObject({ state: 'pending' })
    expect((await waits.post('/token', ask)).status).toBe(400)
    expect((await web.post('/token', ask)).body).toMatchObject({
      error_description: 'requested grant type is not allowed for this client',
    })
    expect(await clientRow(server, harmless.id)).toMatchObject({ state: 'active' })
    await dev.press(await dev.open(`/developer/apps/${harmless.id}/edit`), 'Save', { scope: ['photos.read'] })
    expect(await clientRow(server, harmless.id)).toMatchObject({ scopes: [] })
    expect((await dev.open(`/developer/apps/${harmless.id}`)).text).toContain('A change waits for approval')
    expect(await web.connect(open.sam)).toHaveProperty('access_token')
  })

  test('still decides about what was verified', async () => {
    const { dev, server } = open
    const verified = await ownApp(open, dev)
    await run(server.db, sql`update clients set verified_at = now() where id = ${verified.id}`)

    await dev.press(await dev.open(`/developer/apps/${verified.id}/edit`), 'Save', { name: 'Your Bank' })

    expect(await clientRow(server, verified.id)).toMatchObject({ name: 'Calendar' })
    expect((await dev.open(`/developer/apps/${verified.id}`)).text).toContain('A change waits for approval')
  })
})

describe('an operator who receives no developers', () => {
  let closed: DeveloperFixture
  beforeAll(async () => {
    closed = await startDeveloperFixture({ DEVELOPER_REGISTRATION: 'off' })
  })
  afterAll(() => closed.server.stop())

  test.each(rows)('has nothing at $method $path', async (row) => {
    const mine = await ownApp(closed, closed.dev)
    const path = row.path.replace(':client_id', mine.id)
    const csrf = csrfOf(await closed.dev.open('/account'))

    const page = await ask(closed.dev, { ...row, path }, csrf)

    expect(page.status).toBe(404)
    expect(await clientRow(closed.server, mine.id)).toMatchObject({ deleted_at: null, version: 1 })
    await run(closed.server.db, sql`delete from clients where id = ${mine.id}`)
  })

  test('links nowhere there', async () => {
    expect((await closed.dev.open('/account')).html).not.toContain('/developer')
    expect((await closed.dev.open('/account/apps')).html).not.toContain('/developer')
  })
})
