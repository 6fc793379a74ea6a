// A generative tester that is not ours makes requests out of the document, right and wrong ones, and holds every answer of the
// running server against it.
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { one, sql } from '../../src/db/pool.ts'
import { PATIENCE_MS } from '../support/patience.ts'
import { pythonPrograms } from '../support/python.ts'
import { type ApiFixture, startApiFixture } from './api-fixture.ts'

const run = promisify(execFile)
const CHECKS = [
  'not_a_server_error',
  'status_code_conformance',
  'content_type_conformance',
  'response_headers_conformance',
  'response_schema_conformance',
  'unsupported_method',
  'allow_header_conformance',
  'missing_required_header',
  'ignored_auth',
]

let fixture: ApiFixture
let programs: string | undefined
let folder: string
beforeAll(async () => {
  fixture = await startApiFixture({ API_REQUESTS_PER_MINUTE: '1000000', ACCESS_TOKEN_TTL_SECONDS: '3600' })
  folder = await mkdtemp(join(tmpdir(), 'valetkey-schemathesis-'))
  await writeFile(join(folder, 'schemathesis.toml'), await settings())
  try {
    programs = await pythonPrograms()
  } catch (error) {
    // Where everything is to be had, it must be had; elsewhere properties.test.ts does what it can.
    if (process.env.CI) throw error
  }
})
afterAll(async () => {
  await fixture.stop()
  await rm(folder, { recursive: true, force: true })
})

test('whatever it sends, the answer is one that the document tells of', async () => {
  if (!programs) {
    console.warn('skipped: there is no Python with the packages of test/requirements.txt')
    return
  }
  const args = [
    '-m',
    'schemathesis.cli',
    'run',
    `${fixture.server.origin}/api/v1/openapi.json`,
    '--header',
    `Authorization: Bearer ${fixture.token}`,
    '--checks',
    CHECKS.join(','),
    '--phases',
    'examples,coverage,fuzzing',
    '--max-examples',
    '8',
    '--request-timeout',
    String(PATIENCE_MS / 1000),
    '--seed',
    '1',
    '--generation-database',
    'none',
    '--workers',
    '1',
    '--no-color',
    '--suppress-health-check',
    'all',
    '--continue-on-failure',
  ]
  const { code, output } = await run(join(programs, 'python'), args, {
    cwd: folder,
    maxBuffer: 50_000_000,
  }).then(
    ({ stdout }) => ({ code: 0, output: stdout }),
    (error: { code: number; stdout: string; stderr: string }) => ({
      code: error.code,
      output: `${error.stdout}\n${error.stderr}`,
    }),
  )

  expect([code, code === 0 ? '' : output.slice(0, 20_000)]).toEqual([0, ''])
  expect(output).toMatch(new RegExp(`Tested: +${fixture.operations.length}\\b`))
}, 900_000)

// Things that are there, so that most requests come as far as the stores. What is deleted is another app, or all would end there.
async function settings(): Promise<string> {
  const { server, call } = fixture
  const [app, jamie] = [await server.app(), await server.person('Jamie')]
  await app.connect(jamie)
  const grants = await call('GET', '/consents')
  const job = await call('DELETE', `/consents?client_id=${app.id}`)
  const tokens = await call('POST', '/registration-tokens', { body: { scopes: ['openid'] } })
  const { id: change_id } = await one<{ id: string }>(
    server.db,
    sql`insert into client_changes (client_id, changes, base_version)
        values (${app.id}, '[{"field": "name", "from": "Photo Printer", "to": "Printer"}]', 1) returning id`,
  )
  const places = {
    change_id,
    client_id: app.id,
    user_id: jamie.id,
    grant_id: grants.body.items[0].id,
    job_id: job.body.id,
    token_id: tokens.body.id,
    resource_id: Buffer.from('https://photos.example').toString('base64url'),
    scope_id: Buffer.from('photos.read').toString('base64url'),
    'If-Match': '*',
  }
  const lines = Object.entries(places).map(
    ([name, value]) => `${JSON.stringify(name)} = ${JSON.stringify(value)}`,
  )
  const other = await server.app()
  return [
    // RFC 6585 §3
    '[checks]',
    'missing_required_header.expected-statuses = [401, 428]',
    '[parameters]',
    ...lines,
    '[[operations]]',
    'include-operation-id = "deleteClient"',
    `parameters = { client_id = "${other.id}" }`,
  ].join('\n')
}
