// valetkey resources: the APIs that may be asked for, and their scopes.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { against, failure } from './run.ts'

let database: TestDatabase
let cli: ReturnType<typeof against>
beforeAll(async () => {
  database = await createTestDatabase()
  cli = against(database.url)
})
afterAll(() => database.drop())

const create = ['resources', 'create', '--identifier', 'https://photos.example', '--name', 'Photos']
const SCOPES = ['--scope', 'photos.read=Look at your photos|It cannot change or delete them']

test('create prints the introspection client and, once, its secret', async () => {
  const ran = await cli.run([...create, ...SCOPES, '--dangerous-scope', 'prints.order=Order prints for you'])

  expect(ran.code).toBe(0)
  expect(ran.stdout).toMatch(/^introspection client id +c_\S+$/m)
  expect(ran.stdout.match(/vk_cs_[\w-]{49}/g)).toHaveLength(1)
  expect(ran.stderr).toBe('the secret is not shown again\n')
})

test('create --json', async () => {
  const args = ['resources', 'create', '--identifier', 'https://mail.example', '--name', 'Mail']

  expect(await cli.json([...args, '--scope', 'mail.send=Send mail=spam for you'])).toEqual({
    identifier: 'https://mail.example',
    name: 'Mail',
    scopes: [{ name: 'mail.send', sentence: 'Send mail=spam for you', detail: '', dangerous: false }],
    introspection_client_id: expect.stringMatching(/^c_/),
    introspection_client_secret: expect.stringMatching(/^vk_cs_/),
  })
})

test('list shows each scope and what people read, and pages by API', async () => {
  const { stdout } = await cli.run(['resources', 'list'])
  const [first] = await cli.json<{ identifier: string }[]>(['resources', 'list', '--limit', '1'])
  const rest = await cli.json<unknown[]>(['resources', 'list', '--after', first!.identifier])

  expect(stdout).toMatch(/photos\.read +no +Look at your photos \| It cannot change or delete them/)
  expect(stdout).toMatch(/prints\.order +yes +Order prints for you/)
  expect(stdout).not.toContain('vk_cs_')
  expect(first!.identifier).toBe('https://mail.example')
  expect(rest).toEqual([
    {
      identifier: 'https://photos.example',
      name: 'Photos',
      scopes: [
        {
          name: 'photos.read',
          sentence: 'Look at your photos',
          detail: 'It cannot change or delete them',
          dangerous: false,
        },
        { name: 'prints.order', sentence: 'Order prints for you', detail: '', dangerous: true },
      ],
    },
  ])
})

test.each([
  ['one that is registered', [...create, ...SCOPES], 1, /registered already/],
  [
    'a scope without a sentence',
    [...create, '--scope', 'photos.read'],
    2,
    /has no sentence for the consent page, e\.g\./,
  ],
  ['no scope', create, 1, /scopes: is empty/],
  [
    'what is no address',
    ['resources', 'create', '--identifier', 'photos', '--name', 'P', ...SCOPES],
    1,
    /identifier: /,
  ],
  ['an unknown cursor', ['resources', 'list', '--after', 'x'], 1, /no API has the identifier "x"/],
])('refuse %s', async (_, args, code, line) => {
  expect(await cli.run(args)).toEqual(failure(code, line))
})
