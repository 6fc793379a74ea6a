// An OpenID scope that is added as docs/architecture.md says: one entry in base/openid-scopes.ts. A copy of the sources gets
// that entry, and a real app and a person use it.
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { SYSTEM } from '../../src/base/audit-events.ts'
import { createUser } from '../../src/core/users/store.ts'
import { against } from '../cli/run.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { App, PASSWORD, Person } from '../support/flow.ts'
import { startServer, type TestServer } from '../support/server.ts'

const ROOT = join(import.meta.dirname, '../..')
const REDIRECT_URI = 'https://printer.example/callback'
const ENTRY = `  added: {
    claims: { added_claim: ({ name }) => name.slice(0, 3) },
    hint: 'What they are called for short',
    consent: { shares: 'nickname' },
  },
`

let database: TestDatabase
let copy: string
let server: TestServer
let jamie: Person
beforeAll(async () => {
  database = await createTestDatabase()
  copy = await mkdtemp(join(tmpdir(), 'valetkey-scope-'))
  for (const part of ['src', 'views', 'public', 'migrations', 'bin', 'package.json']) {
    await cp(join(ROOT, part), join(copy, part), { recursive: true })
  }
  await symlink(join(ROOT, 'node_modules'), join(copy, 'node_modules'))
  await addEntry(join(copy, 'src/base/openid-scopes.ts'))
  server = await startServer({ databaseUrl: database.url, main: join(copy, 'src/main.ts') })
  const email = 'jamie@example.com'
  const user = { email, name: 'Jamie', password: PASSWORD, email_verified: true }
  jamie = new Person(server.origin, (await createUser(database.db, user, SYSTEM)).id, email)
})
afterAll(async () => {
  await server?.stop()
  await database.drop()
  await rm(copy, { recursive: true })
})

test('is published, asked for, allowed once, and tells its claim', async () => {
  const discovery = (await (await fetch(`${server.origin}/.well-known/openid-configuration`)).json()) as {
    scopes_supported: string[]
    claims_supported: string[]
  }
  const made = await against(database.url, join(copy, 'bin/valetkey')).json<{ id: string; secret: string }>([
    ...['clients', 'create', '--name', 'Photo Printer', '--type', 'web', '--redirect-uri', REDIRECT_URI],
    ...['--scope', 'openid profile added'],
  ])
  const app = new App(server.origin, made.id, made.secret, REDIRECT_URI)

  const asked = await jamie.signIn(await jamie.open((await app.begin({ scope: 'openid added' })).url))
  const tokens = await app.connect(jamie, { scope: 'openid profile added' })
  const again = await jamie.open((await app.begin({ scope: 'openid profile added' })).url)

  expect(discovery.scopes_supported).toContain('added')
  expect(discovery.claims_supported).toContain('added_claim')
  expect(asked.text).toContain('Your nickname')
  expect(tokens.scope).toBe('openid profile added')
  expect(tokens.claims()).toMatchObject({ name: 'Jamie', added_claim: 'Jam' })
  expect(again.away?.searchParams.get('code')).toBeTruthy()
  expect((await jamie.account('/account/apps')).text).toContain('name and nickname')
})

async function addEntry(file: string): Promise<void> {
  const text = await readFile(file, 'utf8')
  const place = '  offline_access: {'
  expect(text.split(place)).toHaveLength(2)
  await writeFile(file, text.replace(place, `${ENTRY}${place}`))
}
