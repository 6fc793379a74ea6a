// valetkey clients: registering, listing, ending, and secrets that are shown once.

import { spawn } from 'node:child_process'
import { closeSync, existsSync, openSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { matchingSecret } from '../../src/core/clients/secrets.ts'
import { findClient, listClients } from '../../src/core/clients/store.ts'
import { many, sql } from '../../src/db/pool.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { BARE } from '../support/environment.ts'
import { against, BIN, ended, failure, SECRET_KEYS } from './run.ts'

let database: TestDatabase
let cli: ReturnType<typeof against>
beforeAll(async () => {
  database = await createTestDatabase()
  cli = against(database.url)
})
afterAll(() => database.drop())

const WEB = ['clients', 'create', '--name', 'Photo Printer', '--type', 'web']
const SECRET = /vk_cs_[\w-]{49}/g

interface Created {
  id: string
  secret: string | null
}

function createWeb(): Promise<Created> {
  return cli.json<Created>([...WEB, '--redirect-uri', 'https://app.example/cb'])
}

async function secretWorks(id: string, secret: string): Promise<boolean> {
  const stored = await many<{ id: string; hash: Buffer; expires_at: Date | null }>(
    database.db,
    sql`select id, hash, expires_at from client_secrets where client_id = ${id}`,
  )
  return matchingSecret(stored, secret) !== undefined
}

describe('create', () => {
  test('prints the id and, once, a secret that works', async () => {
    const { code, stdout, stderr } = await cli.run([...WEB, '--redirect-uri', 'https://app.example/cb'])

    expect(code).toBe(0)
    expect(stdout.match(SECRET)).toHaveLength(1)
    expect(stderr).toBe('the secret is not shown again\n')
    const [, id] = /^id +(c_\S+)$/m.exec(stdout)!
    expect(await secretWorks(id!, stdout.match(SECRET)![0])).toBe(true)
  })

  test('keeps what was said, options repeated or separated by spaces', async () => {
    const uris = [
      '--redirect-uri',
      'https://app.example/a',
      'https://app.example/b',
      '--redirect-uri',
      'https://app.example/c',
    ]
    const rest = ['--post-logout-redirect-uri', 'https://app.example/', '--homepage', 'https://app.example/']
    const scopes = ['--scope', 'openid email', '--scope', 'profile', 'offline_access']
    const flags = ['--logo', 'https://app.example/logo.svg', '--first-party', '--no-pkce']

    const { id, secret } = await cli.json<Created>([...WEB, ...uris, ...rest, ...scopes, ...flags])

    expect(secret).toMatch(SECRET)
    expect(await findClient(database.db, id)).toMatchObject({
      redirect_uris: ['https://app.example/a', 'https://app.example/b', 'https://app.example/c'],
      post_logout_redirect_uris: ['https://app.example/'],
      scopes: ['openid', 'email', 'profile', 'offline_access'],
      homepage_uri: 'https://app.example/',
      logo_uri: 'https://app.example/logo.svg',
      first_party: true,
      pkce_required: false,
    })
  })

  test('an app that keeps no secret gets none', async () => {
    const args = [
      'clients',
      'create',
      '--name',
      'Slideshow',
      '--type',
      'spa',
      '--redirect-uri',
      'http://localhost:5000/cb',
    ]

    expect(await cli.json(args)).toMatchObject({ type: 'spa', secret: null, pkce_required: true })
  })

  test('a service needs no redirect URI', async () => {
    const created = await cli.json(['clients', 'create', '--name', 'Nightly job', '--type', 'service'])

    expect(created).toMatchObject({
      type: 'service',
      redirect_uris: [],
      scopes: [],
      secret: expect.stringMatching(SECRET),
    })
  })

  test.each([
    [
      'plain http',
      ['--redirect-uri', 'http://app.example/cb'],
      1,
      /redirect_uris: "http:\/\/app\.example\/cb" is not https/,
    ],
    ['a wildcard', ['--redirect-uri', 'https://*.example/cb'], 1, /redirect_uris: .* wildcard/],
    ['no redirect URI', [], 1, /redirect_uris: is empty, e\.g\./],
    [
      'an unknown scope',
      ['--redirect-uri', 'https://a.example/', '--scope', 'no.such'],
      1,
      /scopes: "no\.such"/,
    ],
    ['a type that is none', ['--type', 'mobile'], 2, /Allowed choices are web, spa, native, device, service/],
    ['words too many', ['extra'], 2, /too many arguments/],
  ])('refuses %s, and registers nothing', async (_, args, code, line) => {
    const before = await listClients(database.db)

    expect(await cli.run([...WEB, ...args])).toEqual(failure(code as number, line as RegExp))
    expect(await listClients(database.db)).toHaveLength(before.length)
  })
})

describe('list and show', () => {
  test('hold no secret, and nothing made of one', async () => {
    const { id } = await createWeb()

    const shown = await Promise.all([
      cli.run(['clients', 'list']),
      cli.run(['clients', 'list', '--json']),
      cli.run(['clients', 'show', id]),
      cli.run(['clients', 'show', id, '--json']),
      cli.run(['audit', 'list']),
    ])

    for (const { code, stdout } of shown) {
      expect(code).toBe(0)
      expect(stdout).toContain(id)
      expect(stdout).not.toMatch(SECRET)
    }
  })

  test('pages', async () => {
    const [first, second] = await cli.json<Created[]>(['clients', 'list'])

    const page = await cli.run(['clients', 'list', '--limit', '1'])
    const next = await cli.json<Created[]>(['clients', 'list', '--limit', '1', '--after', first!.id])

    expect(page.stderr).toMatch(new RegExp(`^more: --after \\d+\\.${first!.id}\n$`))
    expect(next.map(({ id }) => id)).toEqual([second!.id])
  })

  test('an unknown id', async () => {
    expect(await cli.run(['clients', 'show', 'c_none'])).toEqual(failure(1, /no client has the id "c_none"/))
  })
})

describe('suspend, resume, delete', () => {
  test('suspend and resume mark the client, and say when there was nothing to do', async () => {
    const { id } = await createWeb()

    expect(await cli.json(['clients', 'suspend', id])).toMatchObject({
      suspended_at: expect.stringMatching(/Z$/),
    })
    expect((await cli.run(['clients', 'suspend', id])).stdout).toMatch(/was suspended already/)
    expect((await cli.run(['clients', 'show', id])).stdout).toMatch(/^state +suspended$/m)
    expect(await cli.json(['clients', 'resume', id])).toMatchObject({ suspended_at: null })
    expect((await cli.run(['clients', 'resume', id])).stdout).toMatch(/was not suspended/)
  })

  test('delete wants --yes where nobody can be asked', async () => {
    const { id } = await createWeb()

    expect(await cli.run(['clients', 'delete', id])).toEqual(failure(2, /--yes/))
    expect(await findClient(database.db, id)).toBeDefined()

    expect(await cli.json(['clients', 'delete', id, '--yes'])).toEqual({ id, deleted: true })
    expect(await findClient(database.db, id)).toBeUndefined()
    expect(await cli.run(['clients', 'delete', id, '--yes'])).toEqual(failure(1, /no client has the id/))
  })
})

describe('rotate-secret', () => {
  test('prints a new secret once; the old one is dead', async () => {
    const { id, secret } = await createWeb()

    const { stdout } = await cli.run(['clients', 'rotate-secret', id])

    const [fresh, ...others] = stdout.match(SECRET)!
    expect(others).toEqual([])
    expect(await secretWorks(id, fresh!)).toBe(true)
    expect(await secretWorks(id, secret!)).toBe(false)
  })

  test('--overlap keeps the old one for a while', async () => {
    const { id, secret } = await createWeb()

    const rotated = await cli.json<Created>(['clients', 'rotate-secret', id, '--overlap', '3600'])

    expect(rotated).toEqual({ id, secret: expect.stringMatching(SECRET), overlap_seconds: 3600 })
    expect(await secretWorks(id, secret!)).toBe(true)
  })

  test('is refused for a client that keeps no secret', async () => {
    const args = [
      'clients',
      'create',
      '--name',
      'Phone',
      '--type',
      'native',
      '--redirect-uri',
      'http://127.0.0.1/cb',
    ]
    const { id } = await cli.json<Created>(args)

    expect(await cli.run(['clients', 'rotate-secret', id])).toEqual(
      failure(1, /native client: it keeps no secret/),
    )
    expect(await cli.run(['clients', 'rotate-secret', id, '--overlap', '-1'])).toEqual(
      failure(2, /--overlap/),
    )
  })
})

describe('when the answer cannot be written', () => {
  const env = () => ({ ...BARE, DATABASE_URL: database.url, SECRET_KEYS })

  test('a reader that has seen enough of a list is no failure', async () => {
    const child = spawn(process.execPath, [BIN, 'clients', 'list'], {
      env: env(),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    child.stdout.destroy()

    expect(await ended(child)).toMatchObject({ code: 0, stderr: '' })
  })

  test('a secret that nobody got is told', async () => {
    const args = [BIN, ...WEB, '--redirect-uri', 'https://app.example/cb']
    const child = spawn(process.execPath, args, { env: env(), stdio: ['ignore', 'pipe', 'pipe'] })
    child.stdout.destroy()

    expect(await ended(child)).toEqual(
      failure(1, /could not be written out; get another: valetkey clients rotate-secret c_/),
    )
  })

  const fullDisk = existsSync('/dev/full') ? test : test.skip
  fullDisk('a full disk is a failure', async () => {
    const full = openSync('/dev/full', 'w')
    const child = spawn(process.execPath, [BIN, 'clients', 'list'], {
      env: env(),
      stdio: ['ignore', full, 'pipe'],
    })
    closeSync(full)

    expect(await ended(child)).toEqual(failure(1, /cannot write the answer: .*ENOSPC/))
  })
})
