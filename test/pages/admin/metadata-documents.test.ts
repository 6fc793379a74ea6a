// Apps whose id is the address of a document, as administrators meet them: their addresses in the console and on the command
// line, deleting one for good, letting it come back, and the sweeping of those that nobody uses.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { SYSTEM } from '../../../src/base/audit-events.ts'
import { createClient } from '../../../src/core/clients/create.ts'
import { deleteClient, sweepClients } from '../../../src/core/clients/lifecycle.ts'
import { InvalidMetadata } from '../../../src/core/clients/metadata.ts'
import { findClient } from '../../../src/core/clients/store.ts'
import { keepDocument } from '../../../src/core/registration/metadata-documents.ts'
import { sweepUnused } from '../../../src/core/registration/unused.ts'
import { maybe, run, sql } from '../../../src/db/pool.ts'
import { against } from '../../cli/run.ts'
import { createTestDatabase } from '../../support/database.ts'
import { type DocumentHost, HOST, PRINTER, startDocumentHost } from '../../support/documents.ts'
import { App, type Person, type ServerFixture, startServerFixture } from '../../support/flow.ts'
import { untilPasses } from '../../support/patience.ts'
import { administrator } from './admin-fixture.ts'

const CALLBACK = PRINTER.redirect_uris[0]!
const KEPT = {
  grant_types: ['authorization_code'],
  token_endpoint_auth_method: 'none' as const,
  digest: Buffer.alloc(32),
  fresh_seconds: 300,
}

let host: DocumentHost
let server: ServerFixture
let ada: Person
beforeAll(async () => {
  host = await startDocumentHost()
  server = await startServerFixture({ CLIENT_ID_METADATA_DOCUMENTS: 'on' }, host)
  ada = await administrator(server, 'Ada')
})
afterAll(async () => {
  await server?.stop()
  await host?.stop()
})

async function used(path: string): Promise<{ id: string; app: App }> {
  const id = host.put(path, PRINTER)
  const app = new App(server.origin, id, undefined, CALLBACK)
  await app.connect(await server.person('Alice'), { scope: 'openid' })
  return { id, app }
}

const begin = async (app: App) => fetch((await app.begin({ scope: 'openid' })).url, { redirect: 'manual' })

async function until<T>(look: () => Promise<T>, isSo: (seen: T) => boolean): Promise<T> {
  return untilPasses(async () => {
    const seen = await look()
    if (!isSo(seen)) throw new Error(`it stayed ${JSON.stringify(seen)}`)
    return seen
  })
}

test('signing in leads back to its page in the console', async () => {
  const { id } = await used('/console/client.json?v=1')
  const path = `/admin/clients/${encodeURIComponent(id)}`

  const page = await ada.signIn(await ada.open(path))

  expect(page.url.pathname).toBe(path)
  expect(page.text).toContain('Photo Printer')
  expect(page.text).toContain('Registered itself')
  expect(page.text).toContain(HOST)
  expect(page.text).toContain(id)
  expect(page.text).toContain('Its document read just now')
  const list = await ada.open('/admin/clients?by=itself')
  expect(list.html).toContain(`href="${path}"`)
  expect(list.text).toContain(HOST)
  for (const elsewhere of ['/admin/audit', '/admin/consents', '/admin']) {
    const html = (await ada.open(elsewhere)).html
    expect(html).not.toContain(`/admin/clients/${id}`)
  }
  expect((await ada.open('/admin/consents')).html).toContain(`href="${path}"`)
})

test('deleted in the console it stays away, and comes back when it is allowed to', async () => {
  const { id, app } = await used('/deleted.json')
  const path = `/admin/clients/${encodeURIComponent(id)}`
  await ada.account('/admin')

  const suspended = await ada.press(await ada.open(`${path}/suspend`), 'Suspend')
  expect(suspended.url.pathname).toBe(path)
  expect(suspended.text).toContain('Photo Printer is suspended')
  const asked = await ada.open(`${path}/delete`)
  expect(asked.text).toContain('It stays away')
  await ada.press(asked, 'Delete for good', { confirm: 'Photo Printer' })
  await until(
    () => begin(app),
    ({ status }) => status === 400,
  )
  const read = host.asked('/deleted.json')
  expect((await begin(app)).status).toBe(400)
  expect(host.asked('/deleted.json')).toBe(read)

  const away = await ada.open('/admin/clients/blocked')
  expect(away.text).toContain(id)
  const unblock = await ada.open(`${path}/unblock`)
  expect(unblock.title).toContain('Let Photo Printer come back?')
  const done = await ada.press(unblock, 'Let it come back')
  expect(done.text).toContain('Photo Printer may come back')
  expect((await ada.open(`${path}/unblock`)).status).toBe(404)
  await until(
    () => begin(app),
    ({ status }) => status === 303,
  )
  expect(await findClient(server.db, id)).toMatchObject({ suspended_at: null, state: 'active' })
})

test('the command line lets it come back, too', async () => {
  const database = await createTestDatabase()
  const cli = against(database.url)
  const id = `https://${HOST}/cli.json`
  const input = { name: 'Photo Printer', type: 'spa' as const, redirect_uris: [CALLBACK] }
  await keepDocument(database.db, id, { ...KEPT, input }, { scopes: [], approval: false }, SYSTEM)
  const shown = await cli.run(['clients', 'show', id])
  await cli.run(['clients', 'delete', id, '--yes'])

  const unblocked = await cli.run(['clients', 'unblock', id])
  const again = await cli.run(['clients', 'unblock', id])
  await database.drop()

  expect(shown.stdout).toContain(`itself (${HOST})`)
  expect(unblocked.stdout).toContain('comes back when somebody uses it')
  expect(unblocked.code).toBe(0)
  expect(again.code).not.toBe(0)
})

test('who was sent away stays in the database, however long ago; what nobody used does not', async () => {
  const away = await used('/away.json')
  const unused = await used('/unused.json')
  await run(
    server.db,
    sql`update consents set revoked_at = now() - interval '400 days' where revoked_at is null`,
  )
  for (const { id } of [away, unused]) {
    await run(server.db, sql`delete from grants where client_id = ${id}`)
    await run(server.db, sql`delete from tokens where client_id = ${id}`)
    await run(server.db, sql`delete from consents where client_id = ${id}`)
  }
  await deleteClient(server.db, away.id, { type: 'cli' })
  const review = async (warned: string) => {
    await run(
      server.db,
      sql`update clients set created_at = now() - interval '400 days', last_used_at = null where id = ${unused.id}`,
    )
    await run(
      server.db,
      sql`update client_registrations
          set reviewed_at = now() - interval '2 days', warned_at = warned_at - ${warned}::interval
          where client_id = ${unused.id}`,
    )
    await sweepUnused(30)(server.db)
  }

  await review('0 days')
  expect(await findClient(server.db, unused.id)).toBeDefined()
  await review('8 days')
  expect(await findClient(server.db, unused.id)).toBeUndefined()
  await run(
    server.db,
    sql`update clients set deleted_at = now() - interval '400 days' where id = any(${[away.id, unused.id]})`,
  )
  await sweepClients(server.db)

  const row = (id: string) => maybe(server.db, sql`select id from clients where id = ${id}`)
  expect(await row(away.id)).toBeDefined()
  expect(await row(unused.id)).toBeUndefined()
})

test('no other surface makes an address the id of an app', async () => {
  const input = { id: `https://${HOST}/x`, name: 'X', type: 'spa', redirect_uris: [CALLBACK] } as const
  await expect(
    (async () => createClient(server.db, { ...input, redirect_uris: [CALLBACK] }, SYSTEM))(),
  ).rejects.toThrow(InvalidMetadata)
  await expect(
    run(server.db, sql`insert into clients (id, name, type) values (${`https://${HOST}/x`}, 'X', 'service')`),
  ).rejects.toThrow('clients_id_check')
  await expect(
    run(
      server.db,
      sql`insert into clients (id, name, type, registered_by) values ('https://a b', 'X', 'service', 'itself')`,
    ),
  ).rejects.toThrow('clients_id_check')
})

test('what a document says is held against the rules where it is kept', async () => {
  const input = { name: 'X', type: 'spa' as const, redirect_uris: ['http://evil.example/'] }
  const document = { ...KEPT, input }

  await expect(
    (async () =>
      keepDocument(server.db, `https://${HOST}/y`, document, { scopes: [], approval: false }, SYSTEM))(),
  ).rejects.toThrow(InvalidMetadata)
})
