// valetkey registration-tokens: what lets apps register themselves, shown once.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { SYSTEM } from '../../src/base/audit-events.ts'
import { isRegistrationToken } from '../../src/core/registration/initial-access-tokens.ts'
import { registerDynamicClient } from '../../src/core/registration/store.ts'
import { createResource } from '../../src/core/resources/store.ts'
import { one, sql } from '../../src/db/pool.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { against, failure } from './run.ts'

let database: TestDatabase
let cli: ReturnType<typeof against>
beforeAll(async () => {
  database = await createTestDatabase()
  cli = against(database.url)
  const scopes = [{ name: 'photos.read', sentence: 'Look at your photos' }]
  await createResource(database.db, { identifier: 'https://photos.example', name: 'Photos', scopes }, SYSTEM)
})
afterAll(() => database.drop())

const VALUE = /vk_ri_[\w-]{49}/g

interface Made {
  id: string
  token: string
  expires_at: string
}

test('create prints a token that works, this once, and says when it is good for nothing', async () => {
  const { code, stdout, stderr } = await cli.run(['registration-tokens', 'create'])
  const on = await cli.run(['registration-tokens', 'create'], { env: { DYNAMIC_REGISTRATION: 'token' } })

  expect(code).toBe(0)
  expect(stdout.match(VALUE)).toHaveLength(1)
  expect(await isRegistrationToken(database.db, stdout.match(VALUE)![0])).toBe(true)
  expect(stderr).toMatch(/not shown again; it is good for nothing while DYNAMIC_REGISTRATION is off/)
  expect(on.stderr).toBe('the token is not shown again\n')
})

test('create keeps what was said, and records it without the value', async () => {
  const made = await cli.json<Made>([
    ...['registration-tokens', 'create', '--name', 'CI of team A', '--uses', '5', '--days', '2'],
    ...['--scope', 'openid photos.read', '--client-credentials'],
  ])

  expect(made).toMatchObject({
    name: 'CI of team A',
    max_uses: 5,
    uses: 0,
    scopes: ['openid', 'photos.read'],
    client_credentials: true,
  })
  expect(Date.parse(made.expires_at) - Date.now()).toBeGreaterThan(1.9 * 86_400_000)
  const { row } = await one<{ row: object }>(
    database.db,
    sql`select to_json(t) as row from registration_tokens t where id = ${made.id}`,
  )
  expect(JSON.stringify(row)).not.toContain(made.token)
  const { stdout } = await cli.run(['audit', 'list', '--type', 'registration_token.created'])
  expect(stdout).toContain(made.id)
  expect(stdout).not.toMatch(VALUE)
})

test.each([
  ['a scope of no API', ['--scope', 'no.such'], 1, /scopes: "no\.such"/],
  ['no use at all', ['--uses', '0'], 2, /--uses/],
  ['too many uses', ['--uses', '10001'], 2, /--uses/],
  ['a life without end', ['--days', '99999'], 2, /--days/],
  ['a name of control characters', ['--name', 'a\nb'], 1, /name: /],
])('create refuses %s', async (_, args, code, line) => {
  expect(await cli.run(['registration-tokens', 'create', ...args])).toEqual(failure(code, line))
})

test('list shows how far each is used, and never its value; revoke ends it', async () => {
  const { id, token } = await cli.json<Made>(['registration-tokens', 'create', '--uses', '3'])
  const members = { client_name: 'Photo Printer', redirect_uris: ['https://printer.example/callback'] }
  const made = await registerDynamicClient(
    database.db,
    members,
    { scopes: [], approval: false },
    token,
    SYSTEM,
  )

  const listed = await cli.run(['registration-tokens', 'list'])
  expect(listed.stdout).toMatch(new RegExp(`^${id} .* live +1 of 3 `, 'm'))
  expect(listed.stdout).not.toMatch(VALUE)
  expect((await cli.run(['registration-tokens', 'revoke', id])).stdout).toMatch(/is revoked/)
  expect((await cli.run(['registration-tokens', 'revoke', id])).stdout).toMatch(/was revoked already/)

  expect(await isRegistrationToken(database.db, token)).toBe(false)
  expect(await cli.json(['registration-tokens', 'list'])).toContainEqual(
    expect.objectContaining({ id, uses: 1, revoked_at: expect.any(String) }),
  )
  expect(await cli.run(['registration-tokens', 'revoke', 'x'])).toEqual(failure(1, /no registration token/))
  const clients = await cli.run(['clients', 'list'])
  expect(clients.stdout).toMatch(new RegExp(`^${made!.client.id} .* itself \\(printer\\.example\\) `, 'm'))
  expect((await cli.run(['clients', 'show', made!.client.id])).stdout).toMatch(
    /^registered by +itself \(printer\.example\)$/m,
  )
})
