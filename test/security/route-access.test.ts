// Every address of the server, asked by everybody: the rows of all surfaces and the protocol's own, held against one table. And
// whoever sends an empty form, or a form to what is not theirs, changes nothing.
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import sharp from 'sharp'
import { SYSTEM } from '../../src/base/audit-events.ts'
import { setLogo } from '../../src/core/logos/store.ts'
import { createInvitation } from '../../src/core/ownership/invitations.ts'
import { createRegistrationToken } from '../../src/core/registration/initial-access-tokens.ts'
import { sendReset } from '../../src/core/users/reset-links.ts'
import { many, one, run, sql } from '../../src/db/pool.ts'
import { ADDRESSES } from '../../src/protocol/mount.ts'
import { ALL, tokenOf } from '../api/api-fixture.ts'
import { administrator, ageSignIns } from '../pages/admin/admin-fixture.ts'
import { ownApp } from '../pages/developer/developer-fixture.ts'
import { Browser, send } from '../support/attack.ts'
import { type Api, PASSWORD, type Person, type ServerFixture, startServerFixture } from '../support/flow.ts'
import { expectNone } from '../support/missing.ts'
import { ROWS as OWN_ROWS } from '../support/rows.ts'
import { type Answer, ROLES, type Role, TABLE } from './route-access.ts'

let server: ServerFixture & { photos: Api }
/** What a role shows. */
const shown = {} as Record<Role, { cookie?: string; csrf?: string; token?: string }>
/** Tokens of the Admin API with all scopes but one. */
const without: Record<string, string> = {}
let places: Record<string, string>

beforeAll(async () => {
  server = await startServerFixture({
    LOG_LEVEL: 'error',
    DEVELOPER_REGISTRATION: 'approval',
    DYNAMIC_REGISTRATION: 'token',
    CLIENT_ID_METADATA_DOCUMENTS: 'on',
    API_REQUESTS_PER_MINUTE: '100000',
  })
  const people = {
    person: await server.person('Jamie'),
    'other developer': await server.person('Other'),
    owner: await server.person('Owner'),
    'owner, old sign-in': await server.person('Late'),
    administrator: await administrator(server, 'Ada'),
    'administrator, old sign-in': await administrator(server, 'Bob'),
    'disabled administrator and owner': await administrator(server, 'Gone'),
  }
  for (const role of ROLES) shown[role] = {}
  for (const [role, person] of Object.entries(people)) shown[role as Role] = await session(person)
  await makeThings(people)
  for (const role of ['owner, old sign-in', 'administrator, old sign-in'] as const) {
    await ageSignIns(server, people[role], 16)
  }
  // Past the server, so that the session itself stays.
  const { id } = people['disabled administrator and owner']
  await run(server.db, sql`update users set disabled_at = now() where id = ${id}`)
})
afterAll(() => server?.stop())

async function session({ email }: Person): Promise<{ cookie: string; csrf: string }> {
  const browser = new Browser(server.origin)
  const page = await browser.signIn({ email, password: PASSWORD } as Parameters<Browser['signIn']>[0])
  const csrf = /name="csrf" value="([^"]*)"/.exec(page.text)![1]!
  return { cookie: browser.jar.header(new URL('/account', server.origin))!, csrf }
}

async function makeThings(people: Record<string, Person>): Promise<void> {
  const { db, origin } = server
  const service = (scopes: string[]) => server.app({ type: 'service', name: 'Provisioning', scopes })
  shown['fitting token'].token = await tokenOf(await service(ALL))
  shown['token of another API'].token = await tokenOf(await service(['photos.read']), ['photos.read'])
  for (const scope of ALL) {
    const others = ALL.filter((each) => each !== scope)
    without[scope] = await tokenOf(await service(others), others)
  }

  const owner = people.owner!
  const app = await ownApp({ server } as Parameters<typeof ownApp>[0], owner)
  for (const role of ['owner, old sign-in', 'disabled administrator and owner']) {
    await run(db, sql`insert into client_owners (client_id, user_id) values (${app.id}, ${people[role]!.id})`)
  }
  await app.connect(people.person!)
  const changes = JSON.stringify([{ field: 'name', from: 'Calendar', to: 'Other' }])
  await run(
    db,
    sql`insert into client_changes (client_id, changes, base_version, requested_by)
        values (${app.id}, ${changes}, 1, ${owner.id})`,
  )
  const by = { ...SYSTEM, type: 'user', id: owner.id } as const
  const invitation = await createInvitation(db, app.id, 'invited@example.org', { mailed: false }, by)
  const png = await sharp({ create: { width: 8, height: 8, channels: 3, background: '#123456' } })
    .png()
    .toBuffer()
  const logo = await setLogo(db, { png, issuer: origin }, async (_t, uri) => uri)
  const blocked_id = 'https://printer.example/client.json'
  await run(
    db,
    sql`insert into clients (id, name, type, registered_by, deleted_at)
        values (${blocked_id}, 'Printer', 'spa', 'itself', now())`,
  )
  await run(
    db,
    sql`insert into client_documents (client_id, digest, fresh_until, refused_at)
        values (${blocked_id}, ${Buffer.alloc(32)}, now(), now())`,
  )
  const terms = { scopes: ['openid'], maxUses: 5, days: 1 }
  const { token, value } = await createRegistrationToken(db, terms, SYSTEM)
  const answer = await fetch(`${origin}/register`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${value}`, 'Content-Type': 'application/json' },
    body: JSON.stringify({ redirect_uris: ['https://app.example/callback'] }),
  })
  const registered = (await answer.json()) as { client_id: string; registration_access_token: string }
  shown['registration access token'].token = registered.registration_access_token
  const reset = await sendReset(db, people.person!.id, 'hand', SYSTEM)
  const found = await one<Record<string, string>>(
    db,
    sql`insert into jobs (kind, params, actor, state)
        values ('end_access', ${JSON.stringify({ client_id: app.id })}, '{}', 'done')
        returning id as job_id, (select id from consents) as consent_id, (select device_id from grants) as device,
          (select id from grants) as grant_id,
          (select id from client_secrets where client_id = ${app.id}) as secret_id,
          (select id from client_secrets where client_id = ${server.photos.id}) as api_secret_id,
          (select id from client_invitations) as invitation_id,
          (select id from client_changes) as change_id`,
  )
  const base64url = (text: string) => Buffer.from(text).toString('base64url')
  places = {
    ...found,
    client_id: app.id,
    user_id: owner.id,
    token_id: token.id,
    blocked_id: encodeURIComponent(blocked_id),
    api: base64url('https://photos.example'),
    resource_id: base64url('https://photos.example'),
    scope: base64url('photos.read'),
    scope_id: base64url('photos.read'),
    file: logo.split('/').at(-1)!,
    uid: 'nothing',
    action: 'login',
    'GET /reset/:secret': reset!.path!.split('/').at(-1)!,
    'POST /reset/:secret': reset!.path!.split('/').at(-1)!,
    secret: invitation!.secret!,
    'GET /register/:client_id': registered.client_id,
    'PUT /register/:client_id': registered.client_id,
  }
}

// The router answers HEAD wherever it answers GET.
const ours = OWN_ROWS.flatMap(({ method, path }) =>
  (method === 'GET' ? ['GET', 'HEAD'] : [method]).map((each) => `${each} ${path}`),
)
const protocols = ADDRESSES.flatMap(([path, methods]) =>
  methods.split(', ').map((method) => `${method} ${path}`),
)
const ROWS = [...ours, ...protocols].filter((row) => !row.startsWith('HEAD '))
// Those without a class fail the first test, by name, and not each role's once more.
const CLASSED = ROWS.filter((row) => row in TABLE)
const GETS = CLASSED.filter((row) => /^(GET|OPTIONS) /.test(row))
const CHANGES = CLASSED.filter((row) => !/^(GET|OPTIONS) /.test(row))

test('every row has a class, and there are no others', () => {
  const wanted = Object.keys(TABLE)
  expectNone(
    ROWS.filter((row) => !(row in TABLE)),
    'Decide whom it is for, in TABLE of route-access.ts: each class there says what every role gets.',
  )
  expectNone(
    wanted.filter((row) => !ROWS.includes(row)),
    'The server has no such address: take it out of TABLE of route-access.ts.',
  )
  expect(ROWS.toSorted()).toEqual(wanted.toSorted())
  expect(GETS.length).toBeGreaterThan(100)
  expect(CHANGES.length).toBeGreaterThan(100)
})

test('an address takes the methods of its rows, and no other', async () => {
  const addresses = [...new Set(ROWS.map((row) => row.split(' ')[1]!))]
  const all = [...ours, ...protocols].map((row) => row.split(' ') as [string, string])

  const answers = await inTurns(addresses, async (path) => {
    const at = addressOf(`GET ${path}`, path)
    const { status, headers } = await send('PURGE', server.origin, at, {})
    return { path, status, allow: headers.get('allow')?.split(', ').toSorted() }
  })

  const wanted = addresses.map((path) => {
    const at = addressOf(`GET ${path}`, path)
    const fits = all.filter(([, pattern]) => new RegExp(`^${pattern.replace(/:\w+/g, '[^/]+')}$`).test(at))
    return { path, status: 405, allow: [...new Set(fits.map(([method]) => method))].toSorted() }
  })
  expect(answers).toEqual(wanted)
})

describe.each(ROLES)('%s', (role) => {
  test('reads what the table says', async () => {
    const before = await digests()

    const answers = await inTurns(GETS, async (row) => [row, await ask(role, row)] as const)

    const wanted = GETS.map((row) => [row, TABLE[row]?.bare(role)] as const)
    expect(Object.fromEntries(answers)).toEqual(Object.fromEntries(wanted))
    expect(await digests()).toEqual(before)
  })

  test('changes nothing with an empty form', async () => {
    const rows = CHANGES.filter((row) => TABLE[row]?.bare(role) !== 201)
    const before = await digests()

    const answers = await inTurns(rows, async (row) => [row, await ask(role, row)] as const)

    const wanted = rows.map((row) => [row, TABLE[row]?.bare(role)] as const)
    expect(Object.fromEntries(answers)).toEqual(Object.fromEntries(wanted))
    expect(await digests()).toEqual(before)
  })

  test('changes nothing of others, or after a long time, with the form of the own session', async () => {
    const { csrf } = shown[role]
    const rows = CHANGES.filter((row) => TABLE[row]?.own?.(role) !== undefined)
    if (csrf === undefined) return
    expect(rows.length).toBeGreaterThan(5)
    const before = await digests()

    const answers = await inTurns(rows, async (row) => [row, await ask(role, row, { csrf })] as const)

    const wanted = rows.map((row) => [row, TABLE[row]?.own?.(role)] as const)
    expect(Object.fromEntries(answers)).toEqual(Object.fromEntries(wanted))
    expect(await digests()).toEqual(before)
  })
})

test('what a fitting token does at once is done', async () => {
  const rows = CHANGES.filter((row) => TABLE[row]?.bare('fitting token') === 201)

  expect(rows).toEqual(['POST /api/v1/keys/rotation'])
  expect(await ask('fitting token', rows[0]!)).toBe(201)
})

/** How a role is answered at a row. */
async function ask(role: Role, row: string, fields: Record<string, string> = {}): Promise<Answer> {
  const [method, path] = row.split(' ') as [string, string]
  const { cookie } = shown[role]
  const token = tokenFor(role, row)
  // What it could do is done to nothing.
  const isHarmful = role === 'fitting token' && method !== 'GET' && path.startsWith('/api/')
  const address = isHarmful
    ? path.replace(/:(\w+)/g, (_, name) => (name === 'grant_id' ? 'x7Kp' : randomUUID()))
    : addressOf(row, path)
  const isProgram = !cookie && role !== 'anonymous'
  const hasForm = /^(POST|PUT|PATCH)$/.test(method)
  const upload = hasForm && path.endsWith('/logo')
  const { status, next } = await send(method, server.origin, address, {
    headers: {
      accept: isProgram ? 'application/json' : 'text/html',
      ...(cookie && { cookie }),
      ...(token && { authorization: `Bearer ${token}` }),
      ...(method === 'OPTIONS' && { origin: 'https://app.example', 'access-control-request-method': 'GET' }),
      ...(upload && { 'content-type': 'multipart/form-data; boundary=part' }),
    },
    ...(upload ? { body: multipart(fields) } : hasForm && { form: fields }),
  })
  if (status < 300 || status > 399 || !next) return status
  return next.pathname === '/auth' && next.searchParams.has('client_id') ? 'sign in' : next.pathname
}

function multipart(fields: Record<string, string>): string {
  const parts = Object.entries(fields).map(
    ([name, value]) => `--part\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
  )
  return `${parts.join('')}--part--\r\n`
}

function tokenFor(role: Role, row: string): string | undefined {
  if (role !== 'token of a lesser scope') return shown[role].token
  return without[(TABLE[row] as { scope?: string } | undefined)?.scope ?? 'users:write']
}

function addressOf(row: string, path: string): string {
  return path.replace(/:(\w+)/g, (_, name: string) => places[row] ?? places[name] ?? `no-place-for-${name}`)
}

async function inTurns<T, R>(all: T[], work: (one: T) => Promise<R>): Promise<R[]> {
  const done: R[] = []
  for (let i = 0; i < all.length; i += 12) {
    done.push(...(await Promise.all(all.slice(i, i + 12).map(work))))
  }
  return done
}

// What grows by being asked: counters, sessions and interactions, what is recorded of refusals and of use; and /readyz writes.
const LEFT_OUT =
  /^(rate_limits|sessions|provider_state|audit_.*|usage_hours|client_usage_days|client_refusals|write_checks)$/

/** What every table holds. */
async function digests(): Promise<Record<string, string>> {
  const tables = await many<{ name: string }>(
    server.db,
    sql`select table_name as name from information_schema.tables where table_schema = 'public'`,
  )
  const found = await Promise.all(
    tables
      .filter(({ name }) => !LEFT_OUT.test(name))
      .map(async ({ name }): Promise<[string, string]> => {
        const text = `select coalesce(string_agg(row, e'\n' order by row), '') as rows
          from (select (to_jsonb(t) - 'last_used_at')::text as row from "${name}" t) as all_rows`
        return [name, (await one<{ rows: string }>(server.db, { text, values: [] })).rows]
      }),
  )
  return Object.fromEntries(found)
}
