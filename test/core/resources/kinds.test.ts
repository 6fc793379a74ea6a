// Which kinds of app may ask for a scope: one rule, at every surface, and at the protocol when it becomes stricter later.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { SYSTEM } from '../../../src/base/audit-events.ts'
import { findClient } from '../../../src/core/clients/store.ts'
import { createRegistrationToken } from '../../../src/core/registration/initial-access-tokens.ts'
import { changeScope } from '../../../src/core/resources/update.ts'
import { against } from '../../cli/run.ts'
import { type AdminFixture, startAdminFixture } from '../../pages/admin/admin-fixture.ts'
import { createTestDatabase, type TestDatabase } from '../../support/database.ts'
import type { Person, ServerFixture } from '../../support/flow.ts'
import { heard } from '../../support/heard.ts'

let fixture: AdminFixture
let server: ServerFixture
let ada: Person
beforeAll(async () => {
  fixture = await startAdminFixture({
    DYNAMIC_REGISTRATION: 'open',
    DYNAMIC_REGISTRATION_SCOPES: 'openid,bank.read,bank.pay',
  })
  ;({ server, ada } = fixture)
  await server.api({
    identifier: 'https://bank.example',
    name: 'Bank',
    scopes: [
      { name: 'bank.read', sentence: 'See your balance' },
      { name: 'bank.pay', sentence: 'Pay', kinds: ['service', 'web'] },
    ],
  })
})
afterAll(() => server.stop())

const REFUSED = '"bank.pay" is not for this kind of app (spa), only for web, service'
const CALLBACK = 'https://app.example/callback'

describe('a registration with a scope that is not for its kind does not get it', () => {
  test('by the store', async () => {
    await expect(server.app({ type: 'spa', scopes: ['openid', 'bank.pay'] })).rejects.toThrow(REFUSED)
    await expect(server.app({ type: 'web', scopes: ['openid', 'bank.pay'] })).resolves.toBeDefined()
  })

  test('by the console, when it is registered and when it is edited', async () => {
    const form = { name: 'Piggy', redirect_uris: CALLBACK }

    const page = await ada.press(await ada.open('/admin/clients/new'), 'Register', {
      ...form,
      type: 'spa',
      scope: ['openid', 'bank.pay'],
    })
    const spa = await server.app({ type: 'spa', scopes: ['openid'] })
    const edit = await ada.press(await ada.open(`/admin/clients/${spa.id}/edit`), 'Save', {
      scope: ['openid', 'bank.pay'],
    })

    expect(page.status).toBe(422)
    expect(page.text).toContain(REFUSED)
    expect(page.text).toContain('only web, service')
    expect(edit.status).toBe(422)
    expect((await findClient(server.db, spa.id))!.scopes).toEqual(['openid'])
  })

  const register = async (body: object, token?: string) => {
    const answer = await fetch(`${server.origin}/register`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...(token && { Authorization: `Bearer ${token}` }) },
      body: JSON.stringify({ redirect_uris: [CALLBACK], ...body }),
    })
    return { status: answer.status, body: (await answer.json()) as Record<string, string> }
  }

  test('by dynamic registration, which leaves it out', async () => {
    const spa = { token_endpoint_auth_method: 'none' }

    expect((await register({ ...spa, scope: 'openid bank.pay' })).body.scope).toBe('openid')
    expect((await register(spa)).body.scope).toBe('openid bank.read')
    expect((await register({})).body.scope).toBe('openid bank.read bank.pay')
  })

  test('by dynamic registration with a token that allows the scope', async () => {
    const { value } = await createRegistrationToken(
      server.db,
      { scopes: ['openid', 'bank.pay'], maxUses: 5, days: 1 },
      SYSTEM,
    )

    const asking = await register({ token_endpoint_auth_method: 'none', scope: 'openid bank.pay' }, value)
    expect(asking.body.scope).toBe('openid')
    const made = await register({ token_endpoint_auth_method: 'none' }, value)
    expect(made.body.scope).toBe('openid')
    const changed = await fetch(made.body.registration_client_uri!, {
      method: 'PUT',
      headers: {
        'Content-Type': 'application/json',
        Authorization: `Bearer ${made.body.registration_access_token}`,
      },
      body: JSON.stringify({
        client_id: made.body.client_id,
        redirect_uris: [CALLBACK],
        token_endpoint_auth_method: 'none',
        scope: 'openid bank.pay',
      }),
    })
    expect(((await changed.json()) as { scope: string }).scope).toBe('openid')
  })
})

test('a scope that becomes stricter is not to be had any more: not at sign-in, not at the next refresh', async () => {
  const web = await server.app({ type: 'web', scopes: ['openid', 'bank.read', 'bank.pay'] })
  const tokens = await web.connect(fixture.jamie, { scope: 'openid bank.read bank.pay' })
  expect(tokens.scope).toContain('bank.pay')

  const words = { sentence: 'Pay', detail: '', dangerous: false }
  await changeScope(server.db, 'https://bank.example', 'bank.pay', { ...words, kinds: ['service'] }, SYSTEM)
  await heard(server)

  const asked = await fixture.jamie.open((await web.begin({ scope: 'openid bank.pay' })).url)
  expect(asked.away!.searchParams.get('error')).toBe('invalid_scope')
  const refreshed = await web.refresh(tokens.refresh_token)
  expect(refreshed.status).toBe(200)
  expect(refreshed.body.scope).toBe('openid bank.read')
  const own = await web.post('/token', { grant_type: 'client_credentials', scope: 'bank.pay' })
  expect(own.body.error).toBe('invalid_scope')
  const service = await server.app({ type: 'service', scopes: ['bank.pay'] })
  const paid = await service.post('/token', { grant_type: 'client_credentials', scope: 'bank.pay' })
  expect(paid.status).toBe(200)
})

describe('the command line', () => {
  let database: TestDatabase
  let cli: ReturnType<typeof against>
  beforeAll(async () => {
    database = await createTestDatabase()
    cli = against(database.url)
    await cli.json([
      'resources',
      'create',
      ...['--identifier', 'https://bank.example', '--name', 'Bank'],
      ...['--scope', 'bank.read=See your balance'],
      ...['--scope', 'bank.pay[web,service]=Pay|It spends your money'],
    ])
  })
  afterAll(() => database.drop())

  test('says which kinds, and holds to it', async () => {
    const { stdout } = await cli.run(['resources', 'list'])
    expect(stdout).toMatch(/bank\.pay +no +yes +web service +Pay \| It spends your money/)
    const create = ['clients', 'create', '--name', 'Piggy', '--redirect-uri', CALLBACK]

    const ran = await cli.run([...create, '--type', 'spa', '--scope', 'openid bank.pay'])

    expect(ran.code).toBe(1)
    expect(ran.stderr).toContain(REFUSED)
    expect((await cli.run([...create, '--type', 'web', '--scope', 'bank.pay'])).code).toBe(0)
  })
})
