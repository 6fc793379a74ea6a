// What administrators decide, on the command line: the same functions as behind the console's pages.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { listEvents } from '../../src/core/audit/store.ts'
import { run, sql } from '../../src/db/pool.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { against, failure } from './run.ts'

let database: TestDatabase
let cli: ReturnType<typeof against>
let id: string
beforeAll(async () => {
  database = await createTestDatabase()
  cli = against(database.url)
  const redirect = ['--redirect-uri', 'https://app.example/cb']
  ;({ id } = await cli.json<{ id: string }>([
    'clients',
    'create',
    '--name',
    'App',
    '--type',
    'web',
    ...redirect,
  ]))
})
afterAll(() => database.drop())

test('an app that waits is rejected with a reason, and approved after all', async () => {
  await run(database.db, sql`update clients set state = 'pending' where id = ${id}`)

  expect(await cli.run(['clients', 'reject', id])).toEqual(failure(2, /--reason/))
  const rejected = await cli.json(['clients', 'reject', id, '--reason', 'Not yours'])
  expect(rejected).toMatchObject({ state: 'rejected', state_reason: 'Not yours' })
  expect(await cli.run(['clients', 'reject', id, '--reason', 'Again'])).toEqual(
    failure(1, /waits for no decision/),
  )
  expect(await cli.run(['clients', 'approve', id])).toEqual(failure(2, /clients show .* --if-version/))
  const version = Number(rejected.version)
  expect(await cli.run(['clients', 'approve', id, '--if-version', `${version - 1}`])).toEqual(
    failure(1, /changed meanwhile; it is at version/),
  )
  expect(await cli.json(['clients', 'approve', id, '--if-version', `${version}`])).toMatchObject({
    state: 'active',
    state_reason: '',
  })
  expect((await cli.run(['clients', 'approve', id])).stdout).toContain('was approved already')

  const [event] = await listEvents(database.db, { type: 'client.approved', client_id: id })
  expect(event!.actor_type).toBe('cli')
})

test('verified, and no longer', async () => {
  const { version } = await cli.json<{ version: number }>(['clients', 'show', id])
  expect(await cli.run(['clients', 'verify', id])).toEqual(failure(2, /--if-version/))
  expect(await cli.run(['clients', 'verify', id, '--if-version', `${version + 1}`])).toEqual(
    failure(1, /changed meanwhile/),
  )
  expect(await cli.json(['clients', 'verify', id, '--if-version', `${version}`])).toMatchObject({
    verified_at: expect.any(String),
  })
  expect((await cli.run(['clients', 'verify', id])).stdout).toContain('was verified already')
  expect(await cli.json(['clients', 'verify', id, '--undo'])).toMatchObject({ verified_at: null })
})

test('an update changes what it names, and refuses what somebody else has changed', async () => {
  const { version } = await cli.json<{ version: number }>(['clients', 'show', id])
  const changed = await cli.json([
    'clients',
    'update',
    id,
    '--name',
    'Better',
    '--no-pkce',
    '--if-version',
    `${version}`,
  ])

  expect(changed).toMatchObject({
    name: 'Better',
    pkce_required: false,
    redirect_uris: ['https://app.example/cb'],
    version: version + 1,
  })
  const [event] = await listEvents(database.db, { type: 'client.changed', client_id: id })
  expect(event!.data).toMatchObject({ loosened: ['pkce'] })
  expect(await cli.run(['clients', 'update', id, '--name', 'Late', '--if-version', `${version}`])).toEqual(
    failure(1, /changed meanwhile; it is at version/),
  )
  expect(await cli.run(['clients', 'update', id, '--redirect-uri', 'http://app.example/cb'])).toEqual(
    failure(1, /redirect_uris: .* is not https/),
  )
  expect(await cli.json(['clients', 'update', id, '--pkce', '--scope', 'openid email'])).toMatchObject({
    pkce_required: true,
    scopes: ['openid', 'email'],
  })
})

test('secrets are added with a name, listed without their values, and revoked one by one', async () => {
  const { secret } = await cli.json<{ secret: string }>(['clients', 'secrets', 'add', id, '--name', 'web 2'])
  const listed = await cli.json<{ id: string; name: string; prefix: string }[]>([
    'clients',
    'secrets',
    'list',
    id,
  ])

  expect(secret).toMatch(/^vk_cs_/)
  expect(listed.map(({ name }) => name)).toEqual(['web 2', ''])
  expect(JSON.stringify(listed)).not.toContain(secret)
  expect(secret.startsWith(listed[0]!.prefix)).toBe(true)
  expect(await cli.json(['clients', 'secrets', 'revoke', id, listed[0]!.id])).toMatchObject({ revoked: true })
  expect(await cli.run(['clients', 'secrets', 'revoke', id, listed[0]!.id])).toEqual(
    failure(1, /no valid secret/),
  )
  expect(await cli.run(['clients', 'secrets', 'revoke', id, 'x'])).toEqual(failure(1, /no valid secret/))
})

test('a role is given; the last administrator keeps it', async () => {
  for (const name of ['ada', 'bob']) {
    await run(database.db, sql`insert into users (email, name) values (${`${name}@example.com`}, ${name})`)
  }

  expect(await cli.json(['users', 'role', 'ada@example.com', 'admin'])).toMatchObject({ role: 'admin' })
  expect(await cli.run(['users', 'role', 'ada@example.com', 'user'])).toEqual(
    failure(1, /is the last administrator/),
  )
  expect(await cli.run(['users', 'disable', 'ada@example.com'])).toEqual(
    failure(1, /is the last administrator/),
  )
  await cli.json(['users', 'role', 'bob@example.com', 'admin'])
  expect(await cli.json(['users', 'role', 'ada@example.com', 'user'])).toMatchObject({ role: 'user' })
  expect(await cli.run(['users', 'role', 'ada@example.com', 'king'])).toEqual(
    failure(2, /Allowed choices are user, admin/),
  )
})
