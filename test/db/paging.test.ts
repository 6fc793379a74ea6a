// A list goes on from where it was, also when the last row of the page before is gone meanwhile, at every surface.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { SYSTEM } from '../../src/base/audit-events.ts'
import { searchClients } from '../../src/core/clients/search.ts'
import { listClients } from '../../src/core/clients/store.ts'
import { searchAccess } from '../../src/core/grants/search.ts'
import { listGrants } from '../../src/core/grants/store.ts'
import {
  createRegistrationToken,
  listRegistrationTokens,
} from '../../src/core/registration/initial-access-tokens.ts'
import { searchUsers } from '../../src/core/users/search.ts'
import { listUsers } from '../../src/core/users/store.ts'
import type { Listed } from '../../src/db/cursor.ts'
import { type Db, run, sql } from '../../src/db/pool.ts'
import { type ApiFixture, startApiFixture } from '../api/api-fixture.ts'
import { against } from '../cli/run.ts'

const ROWS = 60

let fixture: ApiFixture
let db: Db
beforeAll(async () => {
  fixture = await startApiFixture()
  db = fixture.server.db
  await fixture.ada.account('/admin')
  for (let i = 0; i < ROWS; i++) {
    await createRegistrationToken(db, { scopes: ['openid'], maxUses: 1, days: 1 }, SYSTEM)
  }
  // All of the same moment, before everything that the tests stand on.
  await run(
    db,
    sql`with people as (
          insert into users (email, name, created_at)
          select 'p' || n || '@people.example', 'P', now() - interval '1 day' from generate_series(1, ${ROWS}::int) n returning id
        ), apps as (
          insert into clients (id, name, type, created_at)
          select 'paged-' || n, 'Paged', 'spa', now() - interval '1 day' from generate_series(1, ${ROWS}::int) n returning id
        ), allowed as (
          insert into consents (user_id, client_id, scopes, client_name, client_host)
          select id, ${fixture.service.id}, '{openid}', 'x', 'x' from people returning id, user_id, client_id
        )
        insert into grants (id, consent_id, user_id, client_id, payload, device_id, expires_at)
        select 'g_' || id, id, user_id, client_id, '{}', 'd', now() + interval '1 day' from allowed`,
  )
})
afterAll(() => fixture?.stop())

type Page = { limit: number; after?: string | undefined }
const LISTS: [
  name: string,
  list: (page: Page) => Promise<Listed<{ id: string }>[]>,
  remove: (id: string) => Promise<unknown>,
][] = [
  ['grants', (page) => listGrants(db, page), (id) => run(db, sql`delete from grants where id = ${id}`)],
  [
    'access',
    (page) => searchAccess(db, page),
    (id) =>
      run(
        db,
        sql`with g as (delete from grants where consent_id = ${id}) delete from consents where id = ${id}`,
      ),
  ],
  ['clients', (page) => listClients(db, page), (id) => run(db, sql`delete from clients where id = ${id}`)],
  [
    'clients that are looked for',
    (page) => searchClients(db, { text: 'paged', ...page }),
    (id) => run(db, sql`delete from clients where id = ${id}`),
  ],
  ['users', (page) => listUsers(db, page), (id) => run(db, sql`delete from users where id = ${id}`)],
  [
    'users that are looked for',
    (page) => searchUsers(db, { text: 'people.example', ...page }),
    (id) => run(db, sql`delete from users where id = ${id}`),
  ],
  [
    'registration tokens',
    (page) => listRegistrationTokens(db, page),
    (id) => run(db, sql`delete from registration_tokens where id = ${id}`),
  ],
]

describe.each(LISTS)('%s', (_name, list, remove) => {
  test('go on behind a row that is gone', async () => {
    const [, second, third, fourth] = await list({ limit: 4 })

    expect(await list({ limit: 1, after: second!.id })).toMatchObject([{ id: third!.id }])
    await remove(second!.id)
    expect(await list({ limit: 1, after: second!.cursor })).toMatchObject([{ id: third!.id }])
    await remove(third!.id)
    expect(await list({ limit: 1, after: second!.cursor })).toMatchObject([{ id: fourth!.id }])
  })
})

test.each(['/users', '/clients', '/consents', '/registration-tokens'])(
  '%s of the Admin API',
  async (path) => {
    const first = await fixture.call('GET', `${path}?limit=5`)
    const both = await fixture.call('GET', `${path}?limit=10`)
    const { id } = first.body.items.at(-1)
    const table =
      { '/users': 'users', '/clients': 'clients', '/consents': 'consents' }[path] ?? 'registration_tokens'
    await fixture.server.db.pg.query(`delete from ${table} where id::text = $1`, [id])

    const next = await fixture.call('GET', new URL(first.body.next).href.split('/api/v1')[1]!)

    expect(next.body.items).toEqual(both.body.items.slice(5))
  },
)

test.each(['/admin/users', '/admin/clients', '/admin/consents', '/admin/registration-tokens'])(
  '%s',
  async (path) => {
    const page = await fixture.ada.open(path)
    const href = /href="([^"]*[?&](?:amp;)?after=[^"]*)"/.exec(page.html)![1]!.replaceAll('&amp;', '&')
    const before = await fixture.ada.open(href)
    const id = new URL(href, fixture.server.origin).searchParams.get('after')!.replace(/^\d+\./, '')
    for (const table of ['consents', 'registration_tokens', 'users', 'clients']) {
      await fixture.server.db.pg.query(`delete from ${table} where id::text = $1`, [id])
    }

    const after = await fixture.ada.open(href)

    expect(after.status).toBe(200)
    expect(after.text).toBe(before.text)
  },
)

test('the command line', async () => {
  const cli = against(fixture.server.databaseUrl)
  for (const noun of ['grants', 'registration-tokens']) {
    const all = await cli.json<{ id: string }[]>([noun, 'list', '--limit', '4'])
    const { stderr } = await cli.run([noun, 'list', '--limit', '2'])
    const [, place] = /^more: --after (\S+)\n$/.exec(stderr) ?? []

    const rest = await cli.json<{ id: string }[]>([noun, 'list', '--limit', '2', `--after=${place}`])

    expect([noun, rest]).toEqual([noun, all.slice(2)])
    expect(all[0]).not.toHaveProperty('cursor')
  }
  expect(await cli.run(['grants', 'list', '--after', 'g_none'])).toMatchObject({
    code: 1,
    stderr: 'valetkey: no grant has the id "g_none"\n',
  })
})

test('a place that is none is refused, or is the begin', async () => {
  expect((await fixture.call('GET', '/users?after=1.x')).status).toBe(400)
  expect((await fixture.ada.open('/admin/users?after=1.x')).status).toBe(200)
})
