// valetkey resources: the APIs that may be asked for, and their scopes.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
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
    scopes: [
      {
        name: 'mail.send',
        sentence: 'Send mail=spam for you',
        detail: '',
        dangerous: false,
        by_default: true,
        kinds: null,
      },
    ],
    token_format: 'opaque',
    token_seconds: null,
    being_removed: [],
    introspection_client_id: expect.stringMatching(/^c_/),
    introspection_client_secret: expect.stringMatching(/^vk_cs_/),
  })
})

test('list shows each scope and what people read, and pages by API', async () => {
  const { stdout } = await cli.run(['resources', 'list'])
  const [first] = await cli.json<{ identifier: string }[]>(['resources', 'list', '--limit', '1'])
  const rest = await cli.json<unknown[]>(['resources', 'list', '--after', first!.identifier])

  expect(stdout).toMatch(/photos\.read +no +yes +all +Look at your photos \| It cannot change or delete them/)
  expect(stdout).toMatch(/prints\.order +yes +no +all +Order prints for you/)
  expect(stdout).not.toContain('vk_cs_')
  expect(first!.identifier).toBe('https://mail.example')
  expect(rest).toEqual([
    {
      identifier: 'https://photos.example',
      name: 'Photos',
      token_format: 'opaque',
      token_seconds: null,
      being_removed: [],
      scopes: [
        {
          name: 'photos.read',
          sentence: 'Look at your photos',
          detail: 'It cannot change or delete them',
          dangerous: false,
          by_default: true,
          kinds: null,
        },
        {
          name: 'prints.order',
          sentence: 'Order prints for you',
          detail: '',
          dangerous: true,
          by_default: false,
          kinds: null,
        },
      ],
    },
  ])
})

test('update changes what it names: name, tokens, scopes; all of it or nothing', async () => {
  const update = ['resources', 'update', 'https://photos.example']

  const changed = await cli.json<{ scopes: object[] }>([
    ...update,
    ...['--name', 'Pictures', '--token-format', 'jwt', '--token-seconds', '300'],
    ...['--scope', 'photos.read[web,native]=Look at pictures', 'photos.tag=Tag pictures'],
    ...['--remove-scope', 'prints.order'],
  ])

  expect(changed).toMatchObject({ name: 'Pictures', token_format: 'jwt', token_seconds: 300 })
  expect(changed.scopes).toEqual([
    {
      name: 'photos.read',
      sentence: 'Look at pictures',
      detail: '',
      dangerous: false,
      by_default: true,
      kinds: ['web', 'native'],
    },
    {
      name: 'photos.tag',
      sentence: 'Tag pictures',
      detail: '',
      dangerous: false,
      by_default: true,
      kinds: null,
    },
  ])
  const { introspection_client_id, ...shown } = await cli.json([
    'resources',
    'show',
    'https://photos.example',
  ])
  expect(shown).toEqual(changed)
  const events = await cli.json<{ type: string; data: object }[]>(['audit', 'list', '--limit', '4'])
  expect(events.map(({ type }) => type)).toEqual([
    'resource.scope_removed',
    'resource.scope_added',
    'resource.scope_changed',
    'resource.changed',
  ])

  const ran = await cli.run([...update, '--name', 'Paintings', '--remove-scope', 'photos.burn'])
  expect(ran).toEqual(failure(1, /Pictures has no scope "photos.burn"/))
  expect(await cli.json(['resources', 'show', 'https://photos.example'])).toEqual({
    ...changed,
    introspection_client_id,
  })
  expect(await cli.json([...update, '--token-seconds', 'default'])).toMatchObject({ token_seconds: null })
})

test('a scope is had by default, or only by name', async () => {
  const update = ['resources', 'update', 'https://photos.example']
  const ofTag = async (...args: string[]) =>
    (await cli.json<{ scopes: { name: string; by_default: boolean }[] }>([...update, ...args])).scopes.find(
      ({ name }) => name === 'photos.tag',
    )!.by_default

  expect(await ofTag('--only-by-name', 'photos.tag')).toBe(false)
  // What is not named stays.
  expect(await ofTag('--scope', 'photos.tag=Put names to pictures')).toBe(false)
  expect(await ofTag('--by-default', 'photos.tag')).toBe(true)
  expect(await cli.run([...update, '--by-default', 'photos.burn'])).toEqual(
    failure(1, /Pictures has no scope "photos.burn"/),
  )
  const made = ['resources', 'create', '--identifier', 'https://new.example', '--name', 'New']
  expect(await cli.run([...made, '--scope', 'new.read=Read', '--only-by-name', 'new.raed'])).toEqual(
    failure(2, /--only-by-name "new.raed" is none of these scopes/),
  )
})

test('a removal whose job has failed is gone on with', async () => {
  const update = ['resources', 'update', 'https://photos.example']
  const [before] = (await cli.json<Shown>(['resources', 'show', 'https://photos.example'])).being_removed
  expect(before).toMatchObject({ name: 'prints.order', has_failed: false })
  const again = [...update, '--remove-scope', 'prints.order']
  expect(await cli.run(again)).toEqual(failure(1, /has no scope "prints.order"/))

  await run(
    database.db,
    sql`update jobs set state = 'failed', finished_at = now() where id = ${before!.job_id}`,
  )
  expect((await cli.run(update)).stderr).toMatch(/prints\.order: removed, but .* has failed/)
  const [after] = (await cli.json<Shown>(again)).being_removed

  expect(after).toMatchObject({ name: 'prints.order', has_failed: false })
  expect(after!.job_id).not.toBe(before!.job_id)
})

interface Shown {
  being_removed: { name: string; job_id: string; has_failed: boolean }[]
}

test('the client that introspects has secrets with names', async () => {
  const { introspection_client_id: id } = await cli.json<{ introspection_client_id: string }>([
    ...['resources', 'show', 'https://photos.example'],
  ])

  await cli.json(['clients', 'secrets', 'add', id, '--name', 'server in Oslo'])

  const secrets = await cli.json<{ name: string }[]>(['clients', 'secrets', 'list', id])
  expect(secrets.map(({ name }) => name)).toEqual(['server in Oslo', ''])
})

test.each([
  [
    'a kind of app that there is not',
    [...create, '--scope', 'x.y[web,phone]=Z'],
    2,
    /"phone" is no kind of app; they are web, spa, native, device, service/,
  ],
  ['a lifetime out of bounds', [...create, ...SCOPES, '--token-seconds', '5'], 1, /token_seconds: must be a/],
  [
    'an unknown API',
    ['resources', 'update', 'https://x.example', '--name', 'X'],
    1,
    /no API has the identifier "https:\/\/x.example"/,
  ],
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
