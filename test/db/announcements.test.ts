// What is announced is a change, and each change is announced.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import pg from 'pg'
import { secretsFrom } from '../../src/base/secrets.ts'
import { createClient } from '../../src/core/clients/create.ts'
import { ensureKeys, sweepKeys } from '../../src/core/keys/store.ts'
import { createResource } from '../../src/core/resources/store.ts'
import { addScope, renameResource } from '../../src/core/resources/update.ts'
import { type Query, run, sql } from '../../src/db/pool.ts'
import { startTwo } from '../support/attack.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { until } from '../support/patience.ts'
import { SECRET_KEYS } from '../support/server.ts'

const BY = { type: 'cli' } as const
const API = 'https://notes.example'

let database: TestDatabase
let ear: pg.Client
let client_id: string
beforeAll(async () => {
  database = await createTestDatabase()
  await ensureKeys(database.db, secretsFrom([SECRET_KEYS]))
  const scopes = [{ name: 'notes.read', sentence: 'Read your notes' }]
  await createResource(database.db, { identifier: API, name: 'Notes', scopes }, BY)
  const { client } = await createClient(database.db, { name: 'Robot', type: 'service', scopes: [] }, BY)
  client_id = client.id
  await run(
    database.db,
    sql`insert into client_registrations (client_id, access_hash, grant_types, token_endpoint_auth_method)
        values (${client_id}, ${Buffer.alloc(32)}, '{}', 'none')`,
  )
  ear = new pg.Client(database.url)
  await ear.connect()
  await ear.query('listen valetkey')
})
afterAll(async () => {
  await ear?.end()
  await database?.drop()
})

/** What is announced because of that work, and nothing that comes later. */
async function announcedBy(work: () => Promise<unknown>): Promise<string[]> {
  const heard: string[] = []
  const note = ({ payload = '' }: pg.Notification) => void heard.push(payload)
  ear.on('notification', note)
  await work()
  await run(database.db, sql`select pg_notify('valetkey', 'the end')`)
  await until(() => heard.includes('the end'))
  ear.off('notification', note)
  return heard.filter((payload) => payload !== 'the end')
}

const none = 'no-such-id'
const SILENT: [string, () => Query][] = [
  ['no key is deleted', () => sql`delete from signing_keys where kid = ${none}`],
  ['no key is changed', () => sql`update signing_keys set state = 'retired' where kid = ${none}`],
  ['a key is what it was', () => sql`update signing_keys set state = state`],
  ['no API is deleted', () => sql`delete from resources where identifier = ${none}`],
  ['an API is what it was', () => sql`update resources set name = name`],
  ['a scope is what it was', () => sql`update resource_scopes set sentence = sentence`],
  ['no job is made', () => sql`insert into jobs (kind, params, actor) select 'end', '{}', '{}' where false`],
  ['no mail is queued', () => sql`insert into mails (recipient, kind) select 'a@b.c', 'x' where false`],
  ['a client is what it was', () => sql`update clients set name = name where id = ${client_id}`],
  ['a client is used', () => sql`update clients set last_used_at = now() where id = ${client_id}`],
  [
    'a secret is used',
    () => sql`update client_secrets set last_used_at = now() where client_id = ${client_id}`,
  ],
  [
    'the watch has looked at an app that registered itself',
    () => sql`update client_registrations set reviewed_at = now() where client_id = ${client_id}`,
  ],
]

test.each(SILENT)('nothing is announced when %s', async (_name, query) => {
  expect(await announcedBy(() => run(database.db, query()))).toEqual([])
})

const TOLD: [string, string, () => Query][] = [
  [
    'a key is added',
    'keys',
    () => sql`insert into signing_keys (kid, alg, public_jwk, private_jwk_encrypted, state, retired_at)
              select 'old', alg, public_jwk, private_jwk_encrypted, 'retired', now() - interval '30 days'
              from signing_keys limit 1`,
  ],
  ['a key is changed', 'keys', () => sql`update signing_keys set activated_at = now() where kid = 'old'`],
  ['an API is renamed', 'resources', () => sql`update resources set name = 'Paper'`],
  ['a scope has other words', 'resources', () => sql`update resource_scopes set sentence = 'Read'`],
  [
    'a client is used and changed in one',
    'client',
    () => sql`update clients set last_used_at = null, first_party = true where id = ${client_id}`,
  ],
  [
    'a secret is used and ended in one',
    'client',
    () =>
      sql`update client_secrets set last_used_at = null, revoked_at = now() where client_id = ${client_id}`,
  ],
  [
    'an app that registered itself may use other grants',
    'client',
    () => sql`update client_registrations set grant_types = '{refresh_token}' where client_id = ${client_id}`,
  ],
]

test.each(TOLD)('it is announced when %s', async (_name, what, query) => {
  const expected = what === 'client' ? `clients:${client_id}` : what

  expect(await announcedBy(() => run(database.db, query()))).toEqual([expected])
})

test('a key that is swept is announced, once', async () => {
  expect(await announcedBy(() => sweepKeys(database.db))).toEqual(['keys'])
  expect(await announcedBy(() => sweepKeys(database.db))).toEqual([])
})

test('no sweep makes a node build its provider anew, nor does an API that is only renamed; a scope does, at both nodes', async () => {
  const env = { LOG_LEVEL: 'debug', SWEEP_INTERVAL_SECONDS: '1' }
  const nodes = await startTwo(database.url, env)
  const times = (words: string) => [nodes.one, nodes.two].map((node) => node.output().split(words).length - 1)
  const BUILT = 'signing keys or scopes have changed'
  try {
    await until(() => Math.min(...times('"msg":"swept"')) >= 2)
    await renameResource(database.db, API, 'Pages', BY)
    await until(() => Math.min(...times('"msg":"swept"')) >= 3)
    expect(times(BUILT)).toEqual([0, 0])

    await addScope(database.db, API, { name: 'notes.write', sentence: 'Write notes' }, BY)

    await until(() => Math.min(...times(BUILT)) >= 1)
    expect(times(BUILT)).toEqual([1, 1])
  } finally {
    await nodes.stop()
  }
})
