// Who may act on whom, held against every operation of the Admin API that changes something, and every store function behind
// the console: a lesser token, or somebody without the role, acts on nobody and nothing that can do more than it, or could
// within the last day. An operation without a row fails.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { ApiScope } from '../../../src/base/admin-api-scopes.ts'
import { type Actor, SYSTEM } from '../../../src/base/audit-events.ts'
import { createClient } from '../../../src/core/clients/create.ts'
import { deleteClient, resumeClient, suspendClient } from '../../../src/core/clients/lifecycle.ts'
import { approveChange, rejectChange } from '../../../src/core/clients/pending-changes.ts'
import {
  approveClient,
  rejectClient,
  unverifyClient,
  verifyClient,
} from '../../../src/core/clients/review.ts'
import { addNamedSecret, revokeSecret, rotateSecret } from '../../../src/core/clients/secrets.ts'
import { updateClient } from '../../../src/core/clients/update.ts'
import { endAccess, endAllAccess, endGrant } from '../../../src/core/grants/revoke.ts'
import { sendReset } from '../../../src/core/users/reset-links.ts'
import { setRole } from '../../../src/core/users/roles.ts'
import { endSessions } from '../../../src/core/users/search.ts'
import { setPassword } from '../../../src/core/users/sign-in.ts'
import { disableUser, enableUser } from '../../../src/core/users/store.ts'
import { type Db, many, one, run, sql } from '../../../src/db/pool.ts'
import {
  ALL,
  type ApiFixture,
  operationsAt,
  startApiFixture,
  tokenFor,
  tokenOf,
} from '../../api/api-fixture.ts'
import { administrator } from '../../pages/admin/admin-fixture.ts'
import type { App } from '../../support/flow.ts'

const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
const operations = operationsAt()
const changing = operations.filter(({ method }) => method !== 'GET')

/** What an operation acts on, and how it is asked to. */
interface Row {
  on: 'person' | 'app'
  /** Makes the target so that there is something to do. @returns what the address needs besides the target */
  ready?(db: Db, id: string): Promise<Record<string, string>>
  query?(id: string): string
  body?: unknown
  headers?: Record<string, string>
  /** Whatever it is done to, it needs every power. */
  gives?: true
}

const set = (columns: string) => async (db: Db, id: string) => {
  await run(db, { text: `update clients set ${columns} where id = $1`, values: [id] })
  return {}
}
const consentOf = async (db: Db, id: string) => {
  const { id: consent_id } = await one<{ id: string }>(
    db,
    sql`insert into consents (user_id, client_id, client_name, client_host, scopes)
        values (coalesce((select id from users where id::text = ${id}), (select id from users where name = 'Bystander')),
                coalesce((select id from clients where id = ${id}), (select id from clients where name = 'Plain')),
                'App', 'app.example', '{openid}')
        on conflict (user_id, client_id) where revoked_at is null do update set scopes = excluded.scopes
        returning id`,
  )
  return { consent_id }
}
const grantOf = async (db: Db, id: string) => {
  const { consent_id } = await consentOf(db, id)
  const { id: grant_id } = await one<{ id: string }>(
    db,
    sql`insert into grants (id, consent_id, user_id, client_id, payload, device_id, expires_at)
        select 'g_' || id, id, user_id, client_id, '{}', 'd', now() + interval '1 day' from consents where id = ${consent_id}
        returning id`,
  )
  return { grant_id }
}
const changeOf = async (db: Db, id: string) => {
  const changes = JSON.stringify([{ field: 'description', from: '', to: 'Anew' }])
  const { id: change_id } = await one<{ id: string }>(
    db,
    sql`insert into client_changes (client_id, changes, base_version) values (${id}, ${changes}, 1) returning id`,
  )
  return { change_id }
}
const secretOf = (db: Db, id: string) =>
  one<{ secret_id: string }>(db, sql`select id as secret_id from client_secrets where client_id = ${id}`)
const linkOf = async (db: Db, id: string) => {
  await sendReset(db, id, 'hand', SYSTEM)
  return {}
}
const disabled = async (db: Db, id: string) => {
  await run(db, sql`update users set disabled_at = now() where id = ${id}`)
  return {}
}
const SEEN = { 'If-Match': 'the version' }
const ANY = { 'If-Match': '*' }

const ROWS: Record<string, Row[]> = {
  setRole: [
    { on: 'person', body: { role: 'user' } },
    { on: 'person', body: { role: 'admin' }, gives: true },
  ],
  disableUser: [{ on: 'person' }],
  enableUser: [{ on: 'person', ready: disabled }],
  endSessions: [{ on: 'person' }],
  sendPasswordReset: [{ on: 'person' }],
  withdrawPasswordReset: [{ on: 'person', ready: linkOf }],
  revokeUserConsents: [{ on: 'person' }],
  revokeConsents: [
    { on: 'person', query: (id) => `?user_id=${id}` },
    { on: 'app', query: (id) => `?client_id=${id}` },
  ],
  revokeGrant: [
    { on: 'person', ready: grantOf },
    { on: 'app', ready: grantOf },
  ],
  revokeConsent: [
    { on: 'person', ready: consentOf },
    { on: 'app', ready: consentOf },
  ],
  changeClient: [{ on: 'app', body: { redirect_uris: ['https://evil.example/cb'] }, headers: ANY }],
  deleteClient: [{ on: 'app' }],
  approveClient: [{ on: 'app', ready: set(`state = 'pending'`), headers: SEEN }],
  rejectClient: [{ on: 'app', ready: set(`state = 'pending'`), body: { reason: 'No' } }],
  verifyClient: [{ on: 'app', headers: SEEN }],
  unverifyClient: [{ on: 'app', ready: set('verified_at = now()') }],
  suspendClient: [{ on: 'app' }],
  resumeClient: [{ on: 'app', ready: set('suspended_at = now()') }],
  revokeClientConsents: [{ on: 'app' }],
  addSecret: [{ on: 'app', body: { name: 'mine' } }],
  rotateSecret: [{ on: 'app', body: {} }],
  revokeSecret: [{ on: 'app', ready: secretOf }],
  setClientLogo: [{ on: 'app', body: Buffer.from(PNG, 'base64'), headers: { 'Content-Type': 'image/png' } }],
  removeClientLogo: [{ on: 'app', ready: set(`logo_uri = 'https://app.example/logo.png'`) }],
  approveChange: [{ on: 'app', ready: changeOf }],
  rejectChange: [{ on: 'app', ready: changeOf, body: { reason: 'No' } }],
}

// Operations that act on nobody who could do more, and why.
const NOBODY: Record<string, string> = {
  createClient: 'what it hands out is held against the token: below',
  createRegistrationToken: 'no scope of this API can be registered with one',
  revokeRegistrationToken: 'nobody holds power by one',
  deleteUnusedClients: 'apps that registered themselves hold no scope of this API',
  unblockClient: 'an app with a document holds no scope of this API',
  createResource: 'the API of this server is built in, and its names are taken',
  changeResource: 'the API of this server cannot be changed',
  addScope: 'the names of this API are taken',
  changeScope: 'the scopes of this API cannot be changed',
  removeScope: 'the scopes of this API cannot be removed',
  addResourceSecret: 'it introspects tokens of another API, and nothing else',
  rotateResourceSecret: 'it introspects tokens of another API, and nothing else',
  revokeResourceSecret: 'it introspects tokens of another API, and nothing else',
  rotateKeys: 'it acts on everybody alike, and what was signed stays good',
}

let fixture: ApiFixture
let office: App
const lesser = new Map<ApiScope, string>()
const whole: string[] = []
const lesserOfPerson = new Map<ApiScope, string>()
beforeAll(async () => {
  fixture = await startApiFixture()
  const { server, ada } = fixture
  office = await server.app({ name: 'Office', scopes: ['openid', ...ALL] })
  await server.app({ name: 'Plain', scopes: ['openid'] })
  await server.person('Bystander')
  await administrator(server, 'Bob')
  for (const scope of new Set(changing.map((operation) => operation.scope))) {
    lesser.set(scope, await tokenOf(await server.app({ type: 'service', scopes: [scope] }), [scope]))
    lesserOfPerson.set(scope, await tokenFor(office, ada.elsewhere(), [scope]))
  }
  whole.push(fixture.token, await tokenFor(office, ada.elsewhere()))
})
afterAll(() => fixture.stop())

const TARGETS = {
  'can do more': true,
  'could within the last day': true,
  'could two days ago': false,
  'never could': false,
} as const
type Target = keyof typeof TARGETS

async function person(target: Target): Promise<string> {
  const { server } = fixture
  if (target === 'never could') return (await server.person('Plain')).id
  const { id } = await administrator(server, 'Mighty')
  if (target !== 'can do more') await setRole(server.db, id, 'user', SYSTEM)
  if (target === 'could two days ago') {
    await run(
      server.db,
      sql`update users set administered_until = now() - interval '2 days' where id = ${id}`,
    )
  }
  return id
}

async function app(target: Target): Promise<string> {
  const { server } = fixture
  const { id } = await server.app({ scopes: ['openid', ...(target === 'never could' ? [] : ALL)] })
  if (target === 'could within the last day' || target === 'could two days ago') {
    await updateClient(server.db, id, { scopes: ['openid'] }, SYSTEM)
    // What is given back, or taken once more, does not make it forgotten.
    await updateClient(server.db, id, { scopes: ['openid', 'photos.read'] }, SYSTEM)
    await updateClient(server.db, id, { scopes: ['openid'] }, SYSTEM)
  }
  if (target === 'could two days ago') {
    await run(
      server.db,
      sql`update clients set former_scopes_at = now() - interval '2 days' where id = ${id}`,
    )
  }
  return id
}

/** All that is kept of somebody, or of an app. */
async function standing(id: string): Promise<string> {
  const rows = await many(
    fixture.server.db,
    sql`select (select to_jsonb(u) from users u where u.id::text = ${id}) as person,
               (select to_jsonb(c) from clients c where c.id = ${id}) as app,
               (select json_agg(l) from user_links l where user_id::text = ${id}) as links,
               (select json_agg(s order by id) from client_secrets s where client_id = ${id}) as secrets,
               (select json_agg(s order by id) from consents s where user_id::text = ${id} or client_id = ${id}) as consents,
               (select json_agg(c) from client_changes c where client_id = ${id}) as changes,
               (select count(*) from jobs) as jobs, (select count(*) from mails) as mails,
               (select count(*) from audit_events where user_id::text = ${id} or client_id = ${id}) as events`,
  )
  return JSON.stringify(rows)
}

test('every operation that changes something has a row, or a reason', () => {
  const listed = [...Object.keys(ROWS), ...Object.keys(NOBODY)]

  expect(listed.toSorted()).toEqual(changing.map(({ id }) => id).toSorted())
})

const CASES = Object.entries(ROWS).flatMap(([id, rows]) =>
  rows.flatMap((row) =>
    (Object.keys(TARGETS) as Target[]).map((target) => ({
      id,
      row,
      target,
      what: `${row.on} that ${target}${row.gives ? ', and is given more' : ''}`,
    })),
  ),
)

describe.each(CASES)('$id: the $what', ({ id, row, target }) => {
  const { method, path, scope } = operations.find((each) => each.id === id)!
  const make = async () => {
    const target_id = await (row.on === 'person' ? person : app)(target)
    const places = {
      ...(await row.ready?.(fixture.server.db, target_id)),
      ...(row.on === 'person' ? { user_id: target_id } : { client_id: target_id }),
    }
    return { target_id, places }
  }
  const ask = async (token: string, { target_id, places }: Awaited<ReturnType<typeof make>>) => {
    const { version } = await one<{ version: number }>(
      fixture.server.db,
      sql`select coalesce((select version from clients where id = ${target_id}), 0) as version`,
    )
    const headers = row.headers === SEEN ? { 'If-Match': `"${version}"` } : row.headers
    const address = path.replace(/\{(\w+)\}/g, (_, name: string) => places[name as keyof typeof places]!)
    return fixture.call(method, `${address}${row.query?.(target_id) ?? ''}`, {
      token,
      headers,
      body: row.body,
    })
  }

  test('by a token with this scope alone', async () => {
    for (const token of [lesser.get(scope)!, lesserOfPerson.get(scope)!]) {
      const made = await make()
      const before = await standing(made.target_id)

      const { status, body, headers } = await ask(token, made)

      if (!TARGETS[target] && !row.gives) {
        expect(status).toBeLessThan(300)
        continue
      }
      expect([status, body.code]).toEqual([403, 'insufficient_scope'])
      expect(headers.get('www-authenticate')).toContain('scope="')
      expect(await standing(made.target_id)).toBe(before)
    }
  })

  test('by a token with every scope', async () => {
    for (const token of whole) expect((await ask(token, await make())).status).toBeLessThan(300)
  })
})

test('an app is given no scope that the token does not hold', async () => {
  const body = { name: 'Trojan', type: 'service', scopes: ['clients:write', 'keys:write'] }

  const refused = await fixture.call('POST', '/clients', { token: lesser.get('clients:write')!, body })
  const own = { ...body, scopes: ['clients:write'] }
  const made = await fixture.call('POST', '/clients', { token: lesser.get('clients:write')!, body: own })

  expect([refused.status, refused.body.code]).toEqual([403, 'insufficient_scope'])
  expect(refused.headers.get('www-authenticate')).toContain('scope="keys:write"')
  expect(made.status).toBe(201)
})

test('a change that waits brings no scope that the token does not hold', async () => {
  const { server, call } = fixture
  const id = await app('never could')
  const changes = JSON.stringify([{ field: 'scopes', from: ['openid'], to: ['openid', 'users:write'] }])
  const { change_id } = await one<{ change_id: string }>(
    server.db,
    sql`insert into client_changes (client_id, changes, base_version) values (${id}, ${changes}, 1)
        returning id as change_id`,
  )

  const token = lesser.get('clients:write')!
  const { status } = await call('PUT', `/clients/${id}/changes/${change_id}/approval`, { token })

  expect(status).toBe(403)
})

describe('whoever is no administrator when it comes to it', () => {
  let former: Actor & { id: string }
  beforeAll(async () => {
    const { id } = await administrator(fixture.server, 'Former')
    await setRole(fixture.server.db, id, 'user', SYSTEM)
    former = { type: 'user', id }
  })

  // What the console does, by the functions behind its forms.
  const onPeople: Record<string, (db: Db, id: string, by: Actor) => Promise<unknown>> = {
    setRole: (db, id, by) => setRole(db, id, 'admin', by),
    'setRole, away': (db, id, by) => setRole(db, id, 'user', by),
    disableUser,
    enableUser,
    endSessions,
    setPassword: (db, id, by) => setPassword(db, id, 'seven dry umbrellas', by),
    'sendReset, by hand': (db, id, by) => sendReset(db, id, 'hand', by),
    'sendReset, by mail': (db, id, by) => sendReset(db, id, 'mail', by),
    endAllAccess: (db, user_id, by) => endAllAccess(db, { user_id }, by),
    endGrant: async (db, id, by) => endGrant(db, (await grantOf(db, id)).grant_id, by),
    endAccess: async (db, id, by) => endAccess(db, (await consentOf(db, id)).consent_id, by),
  }
  test.each(Object.keys(onPeople))('does nothing to anybody: %s', async (name) => {
    for (const target of ['never could', 'can do more', 'themselves'] as const) {
      const id = target === 'themselves' ? former.id : await person(target)
      // A new password of their own choice is everybody's business.
      if (target === 'themselves' && name === 'setPassword') continue

      await expect(onPeople[name]!(fixture.server.db, id, former)).rejects.toThrow('does not administer')
    }
  })

  const onApps: Record<string, (db: Db, id: string, by: Actor) => Promise<unknown>> = {
    updateClient: (db, id, by) => updateClient(db, id, { name: 'Mine' }, by),
    deleteClient,
    suspendClient,
    resumeClient,
    approveClient,
    verifyClient,
    unverifyClient,
    rejectClient: (db, id, by) => rejectClient(db, id, 'No', by),
    approveChange: async (db, id, by) => approveChange(db, id, (await changeOf(db, id)).change_id, by),
    rejectChange: async (db, id, by) => rejectChange(db, id, (await changeOf(db, id)).change_id, 'No', by),
    addNamedSecret: (db, id, by) => addNamedSecret(db, id, 'mine', by),
    rotateSecret: (db, id, by) => rotateSecret(db, id, by),
    revokeSecret: async (db, id, by) => revokeSecret(db, id, (await secretOf(db, id)).secret_id, by),
    endAllAccess: (db, client_id, by) => endAllAccess(db, { client_id }, by),
    createClient: (db, _, by) =>
      createClient(db, { name: 'Mine', type: 'service', scopes: ['users:write'] }, by),
  }
  test.each(Object.keys(onApps))('does nothing to an app that administers: %s', async (name) => {
    const id = await app('can do more')

    await expect(onApps[name]!(fixture.server.db, id, former)).rejects.toThrow('does not administer')
  })
})

test('taking the role away and acting at the same time: what was decided first counts', async () => {
  const { server } = fixture
  for (let round = 0; round < 10; round++) {
    const { id: acting } = await administrator(server, 'Acting')
    const { id } = await administrator(server, 'Mighty')

    const [, acted] = await Promise.allSettled([
      setRole(server.db, acting, 'user', SYSTEM),
      setRole(server.db, id, 'user', { type: 'user', id: acting }),
    ])

    const order = await many<{ user_id: string }>(
      server.db,
      sql`select user_id from audit_events
          where type = 'user.role_changed' and user_id in (${acting}, ${id}) and data ->> 'to' = 'user' order by id`,
    )
    const isFirst = order[0]?.user_id === id
    expect([acted!.status, isFirst]).toEqual(isFirst ? ['fulfilled', true] : ['rejected', false])
  }
})
