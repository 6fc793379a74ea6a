// In a large installation no page, list, request, job or sweep reads a large table from end to end: every statement that they
// send is explained with the values that it was sent with.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { SYSTEM } from '../../src/base/audit-events.ts'
import { listEvents } from '../../src/core/audit/store.ts'
import { planApply, standingApps } from '../../src/core/clients/apply.ts'
import { listClients } from '../../src/core/clients/store.ts'
import { listGrants } from '../../src/core/grants/store.ts'
import {
  createRegistrationToken,
  listRegistrationTokens,
} from '../../src/core/registration/initial-access-tokens.ts'
import { createUser, listUsers } from '../../src/core/users/store.ts'
import { listJobs } from '../../src/db/jobs.ts'
import { many, one, run, sql } from '../../src/db/pool.ts'
import { ALL, operationsAt, tokenOf } from '../api/api-fixture.ts'
import { administrator } from '../pages/admin/admin-fixture.ts'
import { TABLE } from '../security/route-access.ts'
import { type Api, type Person, type ServerFixture, startServerFixture } from '../support/flow.ts'
import { heard } from '../support/heard.ts'
import { fillInstallation, INSTALLED, userId } from '../support/installation.ts'
import { type Finding, findings } from '../support/plans.ts'
import { startApp } from '../support/server.ts'
import { statementsOf } from '../support/statements.ts'

let server: ServerFixture & { photos: Api }
let ada: Person
let dev: Person
let token: string
let places: Record<string, string>

beforeAll(async () => {
  server = await startServerFixture({
    LOG_LEVEL: 'error',
    DEVELOPER_REGISTRATION: 'approval',
    DYNAMIC_REGISTRATION: 'token',
    CLIENT_ID_METADATA_DOCUMENTS: 'on',
    API_REQUESTS_PER_MINUTE: '100000',
  })
  const { db } = server
  await fillInstallation(db)
  ada = await administrator(server, 'Ada')
  dev = await server.person('Dev')
  await ada.account('/admin')
  await dev.account()
  token = await tokenOf(await server.app({ type: 'service', name: 'Provisioning', scopes: ALL }))
  // Somebody with many apps and several decisions.
  await run(db, sql`update client_owners set user_id = ${dev.id} where user_id = ${INSTALLED.userId}`)
  await run(db, sql`update grants set user_id = ${dev.id} where user_id = ${INSTALLED.userId}`)
  await run(db, sql`update consents set user_id = ${dev.id} where user_id = ${INSTALLED.userId}`)
  const base64url = (text: string) => Buffer.from(text).toString('base64url')
  const api = base64url('https://photos.example')
  const found = await one<Record<string, string>>(
    db,
    sql`select (select id from jobs limit 1) as job_id,
               (select id from consents where user_id = ${dev.id} limit 1) as consent_id,
               (select client_id from consents where user_id = ${dev.id} limit 1) as allowed_id,
               (select device_id from grants where user_id = ${dev.id} limit 1) as device,
               (select id from client_secrets where client_id = ${INSTALLED.developed}) as secret_id,
               (select id from client_secrets where client_id = ${server.photos.id}) as api_secret_id,
               (select id from client_invitations where client_id = ${INSTALLED.developed} limit 1) as invitation_id,
               (select id from client_changes where client_id = ${INSTALLED.developed}) as change_id,
               (select id from registration_tokens limit 1) as token_id,
               (select encode(sha256, 'hex') || '.png' from logos limit 1) as file`,
  )
  places = {
    ...found,
    grant_id: found.consent_id!,
    client_id: INSTALLED.developed,
    user_id: userId(11),
    blocked_id: 'app59',
    api,
    resource_id: api,
    scope: base64url('photos.read'),
    scope_id: base64url('photos.read'),
    uid: 'nothing',
    action: 'login',
    secret: 'x'.repeat(43),
  }
})
afterAll(() => server?.stop())

const at = (path: string) =>
  path.replace(/:(\w+)|\{(\w+)\}/g, (_, name, other) => places[name ?? other] ?? 'x')

const checked = async (work: () => Promise<unknown>): Promise<Finding[]> =>
  (await findings(server.db, await statementsOf(work))).filter((each) => !isAllowed(each))

// What may read rows for nothing, never a whole table.
const ALLOWED: [statement: string, problem: RegExp][] = [
  // Which apps nobody uses cannot be told by an index: each that registered itself is looked at, in the order of the ids,
  // until there are enough. Console and API ask for a thousand at most, when an administrator wants to know.
  ['last.unused_since', /^reads \d+ rows of clients for nothing$/],
  // How much a job has to do is counted once: the decisions about one app, those that ended lately, too.
  ['select count(*)::int as total from consents', /^reads \d+ rows of consents for nothing$/],
]
const isAllowed = ({ problem, statement }: Finding): boolean =>
  ALLOWED.some(([words, pattern]) => statement.includes(words) && pattern.test(problem))

/** Opens a page, and the next one if it is one of many. */
async function read(person: Person, path: string): Promise<number> {
  const page = await person.open(path)
  expect([path, page.status]).toEqual([path, expect.any(Number)])
  if (page.status >= 500) throw new Error(`${path}: ${page.status} ${page.text}`)
  const next = /href="([^"]*[?&](?:amp;)?(?:after|before)=[^"]*)"/.exec(page.html)?.[1]
  if (next && !path.includes('after=')) await person.open(next.replaceAll('&amp;', '&'))
  return page.status
}

test('every table that grows is large here', async () => {
  const rows = await many<{ name: string }>(
    server.db,
    sql`select relname as name from pg_class
        where relkind = 'r' and relnamespace = 'public'::regnamespace and reltuples < 1000
        order by relname`,
  )

  // Of the others there are a few an installation, or one an hour, a day or many events.
  expect(rows.map(({ name }) => name)).toEqual([
    'audit_days',
    'audit_seals',
    'migrations',
    'resource_scopes',
    'resources',
    'signing_keys',
    'usage_hours',
    'write_checks',
  ])
})

describe('pages', () => {
  const paths = Object.keys(TABLE)
    .filter((row) => /^GET \/(admin|account|developer|reset|setup|logos|register)/.test(row))
    .map((row) => row.slice('GET '.length))

  test('of administrators', async () => {
    let opened = 0
    const found = await checked(async () => {
      for (const path of paths.filter((each) => each.startsWith('/admin'))) {
        if ((await read(ada, at(path))) === 200) opened++
      }
    })

    expect(found).toEqual([])
    expect(opened).toBeGreaterThan(50)
  })

  test('of administrators who look for something', async () => {
    const { popular, email } = INSTALLED
    const found = await checked(async () => {
      for (const query of [
        ...[
          'apps?q=app12',
          'apps?q=example',
          'apps?q=user12%40people.example',
          'apps?state=pending',
          'apps?state=changed',
        ],
        ...[
          'apps?state=suspended',
          'apps?unused=90',
          'apps?type=spa',
          'apps?registered_by=itself',
          'apps/clean-up?days=90',
        ],
        ...[
          'users?q=user123',
          'users?q=person',
          'users?role=admin',
          'users?state=disabled',
          'users?disabled=true',
        ],
        ...[`access?user=${email}`, `access?app=${popular}`, `access?app=${popular}&user=${email}`],
        ...[
          `access/end?app=${popular}`,
          'audit?type=sign_in.failed',
          `audit?client_id=${popular}`,
          `audit?user=${email}`,
        ],
        ...[
          `audit?app=${popular}`,
          `audit?actor=${userId(7)}`,
          'audit?since=2026-01-01',
          `apps/${popular}`,
          `apps/${INSTALLED.dynamic}`,
        ],
      ]) {
        await read(ada, `/admin/${query}`)
      }
    })

    expect(found).toEqual([])
  })

  test('of people and developers', async () => {
    let opened = 0
    const found = await checked(async () => {
      for (const path of paths.filter((each) => !each.startsWith('/admin'))) {
        const own = path.startsWith('/account') ? path.replace(':client_id', places.allowed_id!) : path
        if ((await read(dev, at(own))) === 200) opened++
      }
    })

    expect(found).toEqual([])
    expect(opened).toBeGreaterThan(20)
  })
})

test('every list and thing of the Admin API, by every filter', async () => {
  const values: Record<string, string[]> = {
    q: ['app12', 'person', 'user12@people.example'],
    state: ['pending', 'active', 'rejected', 'suspended', 'changed'],
    type: ['web', 'service', 'sign_in.failed'],
    registered_by: ['admin', 'developer', 'itself'],
    unused_days: ['90'],
    days: ['90'],
    role: ['admin', 'user'],
    disabled: ['true', 'false'],
    user_id: [userId(11)],
    client_id: [INSTALLED.popular],
    actor_type: ['user', 'cli'],
    actor_id: [userId(11)],
    since: [new Date(Date.now() - 3_600_000).toISOString()],
    until: ['2026-01-01T00:00:00Z'],
    limit: ['100'],
  }
  const get = async (path: string) => {
    const answer = await fetch(new URL(path, server.origin), {
      headers: { Authorization: `Bearer ${token}` },
    })
    const text = await answer.text()
    if (answer.status >= 500) throw new Error(`${path}: ${answer.status} ${text}`)
    const type = answer.headers.get('content-type') ?? ''
    return (/^application\/json\b/.test(type) ? JSON.parse(text) : {}) as { next?: string | null }
  }
  const reads = operationsAt(server.origin).filter(({ method }) => method === 'GET')

  const found = await checked(async () => {
    for (const { path, query } of reads) {
      const address = `/api/v1${at(path)}`
      // An export of everything reads everything.
      const isExport = path.endsWith('/export')
      if (!isExport) {
        const { next } = await get(address)
        if (next) await get(next)
      }
      for (const name of Object.keys(query?.shape ?? {})) {
        if (name === 'after' || (isExport && !name.endsWith('_id'))) continue
        for (const value of values[name]!) {
          const { next } = await get(`${address}?${new URLSearchParams({ [name]: value })}`)
          if (next) await get(next)
        }
      }
    }
  })

  expect(found).toEqual([])
})

test('the lists of the command line', async () => {
  const { db } = server
  const found = await checked(async () => {
    const [client, user, grant] = [await listClients(db), await listUsers(db), await listGrants(db)]
    await listClients(db, { after: client.at(-1)!.id })
    await listUsers(db, { after: user.at(-1)!.id })
    await listGrants(db, { after: grant.at(-1)!.id })
    await listGrants(db, { user_id: userId(11) })
    await listGrants(db, { client_id: INSTALLED.popular, after: grant.at(-1)!.id })
    const tokens = await listRegistrationTokens(db)
    await listRegistrationTokens(db, { after: tokens.at(-1)!.id })
    await listEvents(db, { client_id: INSTALLED.popular })
    await listEvents(db, { user_id: userId(11), type: 'sign_in.failed' })
    const apps = []
    for await (const app of standingApps(db)) if (apps.push(app) === 600) break
    await planApply(db, apps)
  })

  expect(found).toEqual([])
})

test('what the protocol asks for', async () => {
  const app = await server.app()
  const service = await server.app({ type: 'service', scopes: ['photos.read'] })
  const device = await server.app({ type: 'device', scopes: ['openid', 'photos.read'] })
  const jo = await server.person('Jo')

  const found = await checked(async () => {
    const tokens = await app.connect(jo)
    await app.connect(jo)
    await app.connect(jo.elsewhere())
    const { body } = await app.refresh(tokens.refresh_token)
    await app.refresh(tokens.refresh_token)
    await server.photos.introspect(tokens.access_token)
    await app.userinfo(body.access_token)
    const own = await service.post('/token', { grant_type: 'client_credentials' })
    await service.post('/revoke', { token: own.body.access_token })
    const again = await app.connect(jo)
    await app.post('/revoke', { token: again.refresh_token! })
    await app.post('/par', { response_type: 'code', redirect_uri: app.redirectUri, scope: 'openid' })
    const asked = await device.post('/device_authorization', { scope: 'openid photos.read' })
    await jo.open(asked.body.verification_uri_complete)
    await device.post('/token', {
      grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
      device_code: asked.body.device_code,
    })
    await jo.open('/session/end')
    const { value } = await createRegistrationToken(
      server.db,
      { scopes: ['openid'], maxUses: 5, days: 1 },
      SYSTEM,
    )
    const registered = await fetch(`${server.origin}/register`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${value}`, 'Content-Type': 'application/json' },
      body: JSON.stringify({ redirect_uris: ['https://new.example/callback'] }),
    })
    expect(registered.status).toBe(201)
  })

  expect(found).toEqual([])
})

test('what people, developers and administrators do', async () => {
  const { db } = server
  await createUser(db, { email: 'wide@people.example', name: 'Wide', password: 'five wet umbrellas' }, SYSTEM)
  const call = async (method: string, path: string, body?: unknown, etag?: string) => {
    const answer = await fetch(`${server.origin}/api/v1${path}`, {
      method,
      headers: {
        Authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...(etag && { 'If-Match': etag }),
      },
      body: body === undefined ? null : JSON.stringify(body),
    })
    const text = await answer.text()
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
    return answer.headers.get('etag') ?? undefined
  }
  const etagOf = (path: string) => call('GET', path)

  const found = await checked(async () => {
    const app = '/clients/app4'
    await call('PATCH', app, { name: 'Other' }, await etagOf(app))
    await call('PUT', `${app}/verification`, undefined, await etagOf(app))
    await call('DELETE', `${app}/verification`)
    await call('PUT', `${app}/suspension`)
    await call('DELETE', `${app}/suspension`)
    await call('POST', `${app}/secrets`, { name: 'two' })
    await call('POST', `${app}/secret-rotation`, {})
    await call('DELETE', `${app}/access`)
    await call('DELETE', '/clients/app7')
    await call('POST', '/clients', { name: 'New', type: 'service', scopes: ['photos.read'] })
    const person = `/users/${userId(13)}`
    await call('DELETE', `${person}/sessions`)
    await call('PUT', `${person}/disablement`)
    await call('DELETE', `${person}/disablement`)
    await call('PUT', `${person}/role`, { role: 'admin' })
    await call('PUT', `${person}/role`, { role: 'user' })
    await call('POST', `${person}/password-reset`)
    await call('DELETE', `${person}/access`)
    await call('DELETE', `/consents/${places.consent_id}`)
    await call('DELETE', `/consents?client_id=app1`)
    await call('DELETE', '/unused-clients?days=200')
    await call(
      'DELETE',
      `/resources/${places.resource_id}/scopes/${Buffer.from('photos.share').toString('base64url')}`,
    )
    await call('POST', '/keys/rotation')
    await dev.press(await dev.open('/account/apps/remove-all'), 'Remove all')
    await jobsDone()
    // Much is another by now.
    await run(db, sql`analyze`)
  })

  expect(found).toEqual([])
})

async function jobsDone(): Promise<void> {
  for (let i = 0; i < 1_000; i++) {
    if ((await listJobs(server.db, 100)).every(({ finished_at }) => finished_at)) return
    await heard(server)
  }
}

test('every sweep, and the seals', async () => {
  const sent = await statementsOf(async (sofar) => {
    const sweeping = await startApp({
      db: server.db,
      env: {
        SWEEP_INTERVAL_SECONDS: '1',
        DYNAMIC_REGISTRATION: 'token',
        DYNAMIC_REGISTRATION_UNUSED_DAYS: '90',
      },
    })
    try {
      const has = (words: string) => sofar.some(({ text }) => text.includes(words))
      // The last of the sweeps, and the first seal.
      while (!has('update client_registrations set reviewed_at') || !has('insert into audit_seals'))
        await heard(server)
    } finally {
      await sweeping.stop()
    }
  })

  const swept = (table: string) => sent.some(({ text }) => text.includes(`delete from ${table}`))
  expect(
    ['tokens', 'grants', 'consents', 'client_refusals', 'queued_jobs', 'logos'].filter(
      (table) => !swept(table),
    ),
  ).toEqual([])
  expect(sent.some(({ text }) => text.includes('insert into audit_seals'))).toBe(true)
  expect((await findings(server.db, sent)).filter((each) => !isAllowed(each))).toEqual([])
})

test('a statement without an index is found', async () => {
  const { db } = server
  const unindexed = () => run(db, sql`update grants set device = 'x' where device = ${'nobody'}`)
  const wasteful = () =>
    many(db, sql`select id from audit_events where id > 0 and user_agent = ${'nobody'} order by id limit 10`)

  expect(await checked(unindexed)).toMatchObject([{ problem: 'reads all of grants' }])
  expect(await checked(wasteful)).toMatchObject([
    { problem: expect.stringMatching(/^reads .* audit_events/) },
  ])
})
