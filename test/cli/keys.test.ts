// valetkey keys: what signs, and with which keys it may be rotated.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { secretsFrom } from '../../src/base/secrets.ts'
import { ensureKeys, loadKeySet } from '../../src/core/keys/store.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { against, failure, SECRET_KEYS } from './run.ts'

let database: TestDatabase
let cli: ReturnType<typeof against>
beforeAll(async () => {
  database = await createTestDatabase()
  cli = against(database.url)
})
afterAll(() => database.drop())

test('rotate makes the next keys current; they are encrypted under the key of the server', async () => {
  const secrets = secretsFrom([SECRET_KEYS])
  await ensureKeys(database.db, secrets)
  type Key = { kid: string; alg: string; state: string }
  const before = await cli.json<Key[]>(['keys', 'list'])

  const after = await cli.json<Key[]>(['keys', 'rotate'])

  const next = before.find((key) => key.alg === 'ES256' && key.state === 'next')!
  expect(after.find((key) => key.kid === next.kid)).toMatchObject({ state: 'current' })
  expect(after).toHaveLength(6)
  expect((await loadKeySet(database.db, secrets)).keys).toHaveLength(6)
  expect((await cli.run(['keys', 'list', '--limit', '1'])).stderr).toMatch(/^more: --after /)
})

test('a second rotation within a minute wants --yes: not everybody knows the next key yet', async () => {
  const before = await cli.json<object[]>(['keys', 'list'])

  expect(await cli.run(['keys', 'rotate'])).toEqual(failure(1, /rotated at .* already; .* say --yes/))
  expect(await cli.json(['keys', 'list'])).toEqual(before)

  expect(await cli.json<object[]>(['keys', 'rotate', '--yes'])).toHaveLength(before.length + 2)
})

test('no private part is shown', async () => {
  const { stdout } = await cli.run(['keys', 'list', '--json'])

  expect(Object.keys(JSON.parse(stdout)[0])).toEqual([
    'kid',
    'alg',
    'state',
    'created_at',
    'activated_at',
    'retired_at',
  ])
})

test('rotate refuses keys the server does not have, and changes nothing', async () => {
  const before = await cli.json(['keys', 'list'])

  const ran = await cli.run(['keys', 'rotate'], {
    env: { SECRET_KEYS: 'another key of an operator who mistyped it' },
  })

  expect(ran).toEqual(failure(1, /SECRET_KEYS cannot decrypt the keys of this database/))
  expect(await cli.json(['keys', 'list'])).toEqual(before)
})
