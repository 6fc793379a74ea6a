// valetkey grants and audit: what was allowed, how it is ended, and the record of it.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { SYSTEM } from '../../src/base/audit-events.ts'
import { createClient } from '../../src/core/clients/create.ts'
import { giveConsent } from '../../src/core/grants/consents.ts'
import { listGrants } from '../../src/core/grants/store.ts'
import { createUser } from '../../src/core/users/store.ts'
import { run, sql } from '../../src/db/pool.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { against, failure } from './run.ts'

let database: TestDatabase
let cli: ReturnType<typeof against>
beforeAll(async () => {
  database = await createTestDatabase()
  cli = against(database.url)
})
afterAll(() => database.drop())

let user_id: string
let client_id: string
let first: string
let second: string
beforeAll(async () => {
  const user = await createUser(database.db, { email: 'ada@example.com', name: 'Ada' }, SYSTEM)
  const { client } = await createClient(
    database.db,
    { name: 'Photo Printer', type: 'web', redirect_uris: ['https://app.example/cb'] },
    SYSTEM,
  )
  user_id = user.id
  client_id = client.id
  first = await allow('phone')
  second = await allow('laptop')
})

function allow(device: string): Promise<string> {
  return giveConsent(
    database.db,
    {
      user_id,
      client: { id: client_id, name: 'Photo Printer', host: 'app.example' },
      scopes: ['openid', 'photos.read'],
      rejected_scopes: [],
      expires_at: null,
      granted: { openid: { scope: 'openid' }, resources: { 'https://photos.example': 'photos.read' } },
      device: { id: device, name: device },
    },
    SYSTEM,
  )
}

test('list says whose, which app, what and where', async () => {
  const { stdout } = await cli.run(['grants', 'list', '--user', 'ada@example.com', '--client', client_id])

  expect(stdout).toMatch(/ada@example\.com +c_\S+ +Photo Printer +openid photos\.read +phone +live /)
  expect(stdout).toContain(second)
})

test('list pages, and looks for one account or one client', async () => {
  const list = (...args: string[]) => cli.json<{ id: string }[]>(['grants', 'list', ...args])

  expect((await list('--limit', '1')).map(({ id }) => id)).toEqual([first])
  expect((await list(`--after=${first}`)).map(({ id }) => id)).toEqual([second])
  expect(await list('--client', 'c_none')).toEqual([])
  expect(await cli.run(['grants', 'list', '--user', 'x@example.com'])).toEqual(failure(1, /no account has/))
})

test('revoke ends one, with the operator in the audit trail; a second time there is none', async () => {
  expect(await cli.json(['grants', 'revoke', second])).toEqual({ id: second, revoked: true })

  const grants = await listGrants(database.db, { user_id })
  expect(grants.map(({ revoked_at }) => revoked_at !== null)).toEqual([false, true])
  const [event] = await cli.json<Record<string, unknown>[]>(['audit', 'list', '--type', 'grant.revoked'])
  expect(event).toMatchObject({
    actor_type: 'cli',
    user_id,
    client_id,
    data: { grant_id: second, reason: 'revoked_by_admin' },
  })
  expect(await cli.run(['grants', 'revoke', second])).toEqual(failure(1, /no grant that lives has the id/))
})

test('revoke takes an id that begins with a dash', async () => {
  const id = await allow('tablet')
  await run(database.db, sql`update grants set id = '-hjson-and-so-on' where id = ${id}`)

  expect(await cli.json(['grants', 'revoke', '-hjson-and-so-on'])).toMatchObject({ revoked: true })
})

test('audit list is newest first and pages backwards in time', async () => {
  const list = (...args: string[]) => cli.json<{ id: string; type: string }[]>(['audit', 'list', ...args])
  const [newest, older] = await list('--limit', '2')

  expect(Number(newest!.id)).toBeGreaterThan(Number(older!.id))
  expect((await list('--limit', '1', '--after', newest!.id))[0]).toEqual(older)
  expect((await list('--user', 'ada@example.com')).map(({ type }) => type)).toContain('user.created')
  expect(await list('--client', 'c_none')).toEqual([])
})

test('audit list shows who, from where, and the details', async () => {
  const { stdout } = await cli.run(['audit', 'list', '--type', 'grant.revoked'])

  expect(stdout).toMatch(/^ID +AT +TYPE +BY +FROM +USER +CLIENT +DETAILS$/m)
  expect(stdout).toMatch(/grant\.revoked +cli \S+ .* reason=revoked_by_admin/)
})
