// valetkey clients apply and export: registrations as a file, brought about as a whole or not at all.
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { SYSTEM } from '../../src/base/audit-events.ts'
import { createClient } from '../../src/core/clients/create.ts'
import { findClient, listClients } from '../../src/core/clients/store.ts'
import { createResource } from '../../src/core/resources/store.ts'
import { run, sql } from '../../src/db/pool.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { PHOTOS } from '../support/flow.ts'
import { REDIRECT_CASES } from '../support/registration.ts'
import { against, failure } from './run.ts'

let database: TestDatabase
let cli: ReturnType<typeof against>
let folder: string
beforeAll(async () => {
  database = await createTestDatabase()
  cli = against(database.url)
  folder = await mkdtemp(join(tmpdir(), 'apply-'))
  await createResource(database.db, PHOTOS, SYSTEM)
})
beforeEach(async () => {
  await run(database.db, sql`truncate clients cascade`)
})
afterAll(async () => {
  await database.drop()
  await rm(folder, { recursive: true })
})

let files = 0
async function file(text: string | Buffer): Promise<string> {
  const path = join(folder, `apps-${files++}.yaml`)
  await writeFile(path, text)
  return path
}
const apply = async (text: string | Buffer, ...options: string[]) =>
  cli.run(['clients', 'apply', '-f', await file(text), ...options])

const PRINTER = `clients:
  - id: printer
    name: Photo Printer
    type: web
    redirect_uris: [https://printer.example/callback]
    scopes: [openid, photos.read]
`
const NIGHTLY = `  - id: nightly
    name: Nightly
    type: service
    scopes: [photos.read]
`

describe('what the file says comes about', () => {
  test('new apps are registered, shown first, their secrets once; a second time there is nothing to do', async () => {
    const ran = await apply(PRINTER + NIGHTLY, '--yes')

    expect(ran).toMatchObject({ code: 0, stderr: 'the secrets are not shown again\n' })
    expect(ran.stdout).toContain('+ printer\n    + name: "Photo Printer"\n')
    expect(ran.stdout.indexOf('+ nightly')).toBeLessThan(ran.stdout.indexOf('done: 2 to register'))
    expect(ran.stdout.match(/vk_cs_[\w-]{49}/g)).toHaveLength(2)
    expect(ran.stdout).not.toContain('\x1b')
    expect(await findClient(database.db, 'printer')).toMatchObject({
      name: 'Photo Printer',
      type: 'web',
      scopes: ['openid', 'photos.read'],
      pkce_required: true,
      registered_by: 'admin',
    })
    expect(await apply(PRINTER + NIGHTLY, '--yes')).toEqual({
      code: 0,
      stdout: 'nothing to do\n',
      stderr: '',
    })
    expect(await apply(PRINTER + NIGHTLY, '--dry-run')).toMatchObject({ code: 0, stdout: 'nothing to do\n' })
  })

  test('apps that there are change where the file names something else, through the rules and on record', async () => {
    await apply(PRINTER, '--yes')

    const ran = await apply(
      `${PRINTER.replace('Photo Printer', 'Printer Pro')}    homepage_uri: https://printer.example/\n`,
      '--yes',
    )

    expect(ran).toMatchObject({ code: 0, stderr: '' })
    expect(ran.stdout).toBe(
      [
        '~ printer',
        '    - name: "Photo Printer"',
        '    + name: "Printer Pro"',
        '    - homepage_uri: null',
        '    + homepage_uri: "https://printer.example/"',
        'done: 1 to change',
        '',
      ].join('\n'),
    )
    const [event] = await cli.json<object[]>(['audit', 'list', '--type', 'client.changed', '--limit', '1'])
    expect(event).toMatchObject({
      client_id: 'printer',
      actor_type: 'cli',
      data: { fields: ['name', 'homepage_uri'] },
    })
  })

  test('--dry-run changes nothing, and says with its exit code that there is a difference', async () => {
    const ran = await apply(PRINTER, '--dry-run')

    expect(ran).toMatchObject({ code: 3, stderr: '' })
    expect(ran.stdout).toContain('+ printer')
    expect(await listClients(database.db)).toEqual([])
  })

  test('without --yes and without a terminal nothing is done', async () => {
    const ran = await apply(PRINTER)

    expect(ran.code).toBe(2)
    expect(ran.stderr).toContain('say --yes')
    expect(await listClients(database.db)).toEqual([])
  })

  test('--json answers with one document, the secrets in it', async () => {
    const answer = await cli.json(['clients', 'apply', '--yes', '-f', await file(PRINTER)])

    expect(answer).toEqual({
      applied: true,
      steps: [{ id: 'printer', action: 'create', changes: expect.any(Array) }],
      secrets: { printer: expect.stringMatching(/^vk_cs_/) },
    })
  })
})

describe('deleting', () => {
  const GONE = 'clients:\n  - id: printer\n    absent: true\n'

  test('only what the file names as absent, and only with --prune', async () => {
    await apply(PRINTER + NIGHTLY, '--yes')

    const kept = await apply(GONE, '--yes')
    expect(kept).toEqual({ code: 0, stdout: 'nothing to do\n', stderr: 'left: printer; --prune deletes\n' })
    expect(await findClient(database.db, 'printer')).toBeDefined()
    const ran = await apply(GONE, '--yes', '--prune')

    expect(ran.stdout).toContain('- printer (Photo Printer)')
    expect(await findClient(database.db, 'printer')).toBeUndefined()
    // What the file does not name stays.
    expect(await findClient(database.db, 'nightly')).toBeDefined()
    expect(await apply(GONE, '--yes', '--prune')).toMatchObject({ code: 0, stdout: 'nothing to do\n' })
  })

  test('an id that was deleted does not come back', async () => {
    await apply(PRINTER, '--yes')
    await apply(GONE, '--yes', '--prune')

    expect(await apply(PRINTER, '--yes')).toEqual(failure(1, /line 2: id: was deleted, and an id/))
  })
})

describe('secrets', () => {
  test('go to a file that only its owner can read', async () => {
    const out = join(folder, 'secrets.json')

    const ran = await apply(PRINTER, '--yes', '--secrets-to', out)

    expect(ran.code).toBe(0)
    expect(ran.stdout).not.toContain('vk_cs_')
    expect(JSON.parse(await readFile(out, 'utf8'))).toEqual({ printer: expect.stringMatching(/^vk_cs_/) })
    expect((await stat(out)).mode & 0o777).toBe(0o600)
  })

  test('that cannot be written undo everything, and another file is not overwritten', async () => {
    const out = await file('mine')
    await chmod(out, 0o644)

    const ran = await apply(PRINTER, '--yes', '--secrets-to', out)

    expect(ran.code).toBe(1)
    expect(ran.stderr).toMatch(/nothing was changed: cannot write/)
    expect(await readFile(out, 'utf8')).toBe('mine')
    expect(await listClients(database.db)).toEqual([])
  })
})

describe('export', () => {
  test('writes what stands, without a secret; applied again there is nothing to do', async () => {
    await apply(PRINTER + NIGHTLY, '--yes')
    await createClient(
      database.db,
      {
        name: '"Quotes": {and} # more',
        type: 'web',
        description: 'two\nlines',
        redirect_uris: ['http://localhost:1/x'],
        pkce_required: false,
        first_party: true,
        id_token_signed_response_alg: 'ES256',
      },
      SYSTEM,
    )

    const { stdout } = await cli.run(['clients', 'export'])

    expect(stdout).not.toContain('vk_cs_')
    expect(stdout).toContain('- id: printer\n    name: Photo Printer\n')
    expect(await apply(stdout, '--yes')).toEqual({ code: 0, stdout: 'nothing to do\n', stderr: '' })
    // On an empty server the same apps come about.
    await run(database.db, sql`truncate clients cascade`)
    expect((await apply(stdout, '--yes')).code).toBe(0)
    expect((await cli.run(['clients', 'export'])).stdout).toBe(stdout)
  })

  test('the credentials of APIs are not in it, and no file can touch them', async () => {
    const { client } = await createResource(
      database.db,
      { ...PHOTOS, identifier: 'https://x.example', scopes: [{ name: 'x.y', sentence: 'X' }] },
      SYSTEM,
    )

    expect((await cli.run(['clients', 'export'])).stdout).not.toContain(client.id)
    const entry = (more: string) => `clients:\n  - id: ${client.id}\n    ${more}\n`
    expect(await apply(entry('name: Mine'), '--yes')).toEqual(failure(1, /credentials of an API/))
    expect(await apply(entry('absent: true'), '--yes', '--prune')).toEqual(
      failure(1, /credentials of an API/),
    )
  })
})

describe('mistakes', () => {
  test('are told all at once, with their lines, and nothing is done', async () => {
    const ran = await apply(
      `clients:
  - id: printer
    name: Photo Printer
    type: web
    redirect_uris: [http://printer.example/]
    homepage_uri: javascript:alert(1)
  - id: bad id!
    name: ""
    type: spa
    redirect_uris: [https://a.example/]
    scopes: [photos.burn]
  - id: printer
    name: Twice
    type: service
`,
      '--yes',
    )

    expect(ran).toEqual(failure(1, /line 5: redirect_uris: "http:\/\/printer.example\/" is not https/))
    expect(ran.stderr).toMatch(/line 6: homepage_uri: .* is not an https address/)
    expect(ran.stderr).toMatch(/line 7: id: may hold letters/)
    expect(ran.stderr).toMatch(/line 12: id: is in the file twice/)
    expect(await listClients(database.db)).toEqual([])
  })

  test.each<[string, string | Buffer, RegExp]>([
    [
      'a field that there is not',
      `${PRINTER}    secret: x\n`,
      /line 7: secret: is unknown; there are id, absent/,
    ],
    ['a mark of ours', `${PRINTER}    verified_at: 2026-01-01\n`, /line 7: verified_at: is unknown/],
    [
      'another kind of value',
      `${PRINTER}    first_party: maybe\n`,
      /line 7: first_party: must be true or false/,
    ],
    ['no id', 'clients:\n  - name: X\n', /line 2: id: is missing, e\.g\./],
    ['no type', 'clients:\n  - id: x\n    name: X\n', /line 2: type: is missing/],
    ['no list', 'apps: []\n', /is unknown/],
    ['nothing', '', /must begin with clients:/],
    [
      'a scope of no API',
      PRINTER.replace('photos.read', 'photos.burn'),
      /line 6: scopes: "photos.burn" belongs/,
    ],
    ['broken YAML', 'clients:\n  - id: "x\n', /line \d+: /],
    ['two documents', `${PRINTER}---\n${PRINTER}`, /line 7: /],
    ['the same key twice', `${PRINTER}    name: Other\n`, /line 7: Map keys must be unique/],
    ['a tag', PRINTER.replace('Photo Printer', '!!binary aGVsbG8='), /line 3: tags|line 3: Unresolved tag/],
    ['an anchor and its alias', 'clients:\n  - &a {id: x}\n  - *a\n', /line 2: anchors .* line 3: aliases/],
    ['brackets without end', `clients: ${'['.repeat(200_000)}`, /nested too deeply|line 1/],
    ['more than a megabyte', `${PRINTER}#${'x'.repeat(1_000_000)}`, /has more than 1000000 bytes/],
    ['what is no text', Buffer.from([0xff, 0xfe, 0x00]), /is not UTF-8 text/],
  ])('%s is refused', async (_, text, line) => {
    expect(await apply(text, '--yes')).toEqual(failure(1, line))
    expect(await listClients(database.db)).toEqual([])
  })

  test('a billion laughs are none', async () => {
    const levels = Array.from({ length: 20 }, (_, i) => `l${i}: &l${i} [${`*l${i - 1},`.repeat(i ? 10 : 0)}]`)

    expect(await apply(levels.join('\n'), '--yes')).toEqual(failure(1, /anchors/))
  })

  test('another kind of app is refused, and so is a scope that is not for it', async () => {
    await apply(PRINTER, '--yes')

    const ran = await apply(PRINTER.replace('type: web', 'type: spa'), '--yes')

    expect(ran).toEqual(failure(1, /line 4: type: cannot become spa: it is web/))
  })

  test('a file that is not there', async () => {
    expect(await cli.run(['clients', 'apply', '-f', '/nowhere'])).toEqual(failure(1, /cannot read \/nowhere/))
    expect(await cli.run(['clients', 'apply'])).toEqual(failure(2, /--file/))
  })

  test('every redirect URI is held against the rules of every surface', async () => {
    const wrong = REDIRECT_CASES.filter(([, , problem]) => problem)
    const entries = wrong.map(([uri, type], i) => ({ id: `a${i}`, name: 'A', type, redirect_uris: [uri] }))

    const ran = await apply(JSON.stringify({ clients: entries }), '--yes')

    expect(ran.stderr.match(/redirect_uris: /g)).toHaveLength(wrong.length)
  })
})
