// Taking somebody over with less power than theirs, step by step as it was done, and undoing what was done: over two nodes.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { SYSTEM } from '../../src/base/audit-events.ts'
import { redeemResetLink } from '../../src/core/users/reset-links.ts'
import { setRole } from '../../src/core/users/roles.ts'
import { one, run, sql } from '../../src/db/pool.ts'
import { administrator } from '../pages/admin/admin-fixture.ts'
import { type App, PASSWORD, Person } from '../support/flow.ts'
import { freePort, startServer, type TestServer } from '../support/server.ts'
import { type ApiFixture, startApiFixture, tokenOf } from './api-fixture.ts'

const NEXT = 'seven dry umbrellas'

let fixture: ApiFixture
let other: TestServer
let origin: string
let lesser: string
let app: App
let mighty: Person
beforeAll(async () => {
  fixture = await startApiFixture()
  const port = await freePort()
  origin = `http://127.0.0.1:${port}`
  other = await startServer({
    databaseUrl: fixture.server.databaseUrl,
    port,
    env: { ISSUER_URL: fixture.server.origin, PORT: `${port}`, LOG_LEVEL: 'error' },
  })
  const scopes = ['users:read', 'users:write']
  lesser = await tokenOf(await fixture.server.app({ type: 'service', name: 'Lesser', scopes }), scopes)
  app = await fixture.server.app()
})
afterAll(async () => {
  await other?.stop()
  await fixture?.stop()
})
beforeEach(async () => {
  mighty = await administrator(fixture.server, 'Mighty')
})

type Step = [method: string, path: string, body?: unknown]
const STEPS: Record<string, Step> = {
  'takes their role': ['PUT', '/role', { role: 'user' }],
  'makes a link for their password': ['POST', '/password-reset'],
  'disables them': ['PUT', '/disablement'],
  'signs them out': ['DELETE', '/sessions'],
}

describe.each(Object.keys(STEPS))('a token that can write users %s', (name) => {
  const [method, path, body] = STEPS[name]!
  const step = (token: string, node: string) =>
    fixture.call(method, `/users/${mighty.id}${path}`, { token, body, origin: node })

  test('not while they administer, at whichever node', async () => {
    for (const node of [fixture.server.origin, origin]) {
      expect(await step(lesser, node)).toMatchObject({ status: 403, body: { code: 'insufficient_scope' } })
    }
    expect(await standing()).toEqual({ role: 'admin', disabled: false, links: 0 })
  })

  test('nor on the day on which they ceased to, by somebody else', async () => {
    await setRole(fixture.server.db, mighty.id, 'user', SYSTEM)

    expect((await step(lesser, origin)).status).toBe(403)
    expect(await standing()).toEqual({ role: 'user', disabled: false, links: 0 })
  })

  test('nor at the moment at which they cease to', async () => {
    for (let round = 0; round < 5; round++) {
      mighty = await administrator(fixture.server, 'Mighty')

      const [taken, tried] = await Promise.all([
        fixture.call('PUT', `/users/${mighty.id}/role`, { body: { role: 'user' } }),
        step(lesser, origin),
      ])

      expect([taken.status, tried.status]).toEqual([200, 403])
    }
  })
})

describe('what was made while somebody was no administrator', () => {
  const path = () => `/users/${mighty.id}`
  const linkBy = async (token: string): Promise<string> => {
    const { status, body } = await fixture.call('POST', `${path()}/password-reset`, { token })
    expect(status).toBe(201)
    return body.link
  }
  /** As when the role was taken a while ago. */
  const demoted = async (days: number) => {
    await setRole(fixture.server.db, mighty.id, 'user', SYSTEM)
    await run(
      fixture.server.db,
      sql`update users set administered_until = now() - make_interval(days => ${days}) where id = ${mighty.id}`,
    )
  }

  test('ends when the role is given back: links, sign-ins, the access of apps', async () => {
    await mighty.account()
    await demoted(2)
    // Their own, from before.
    await run(
      fixture.server.db,
      sql`update sessions set created_at = now() - interval '3 days' where user_id = ${mighty.id}`,
    )
    const first = await linkBy(lesser)
    await redeemResetLink(fixture.server.db, first.split('/').at(-1)!, NEXT, { type: 'user' })
    const thief = new Person(fixture.server.origin, mighty.id, mighty.email)
    await thief.signIn(await thief.open('/account'), NEXT)
    const { refresh_token } = await app.connect(thief, { scope: 'openid offline_access' })
    expect((await thief.open('/account')).text).toContain(mighty.email)
    const second = await linkBy(lesser)

    expect((await fixture.call('PUT', `${path()}/role`, { body: { role: 'admin' } })).status).toBe(200)

    expect((await thief.open(second)).status).toBe(404)
    expect((await thief.open('/account')).title).toMatch(/^Sign in/)
    expect((await app.refresh(refresh_token)).status).toBe(400)
    expect((await thief.signIn(await thief.open('/account'), NEXT)).text).toContain('do not fit')
    const own = await linkBy(fixture.token)
    await redeemResetLink(fixture.server.db, own.split('/').at(-1)!, PASSWORD, { type: 'user' })
    expect((await mighty.signIn(await mighty.open('/account'))).text).toContain(mighty.email)
  })

  test('a mail with a link that still waits ends, too', async () => {
    await demoted(2)
    await run(
      fixture.server.db,
      sql`insert into mails (recipient, kind, params)
          values (${mighty.email}, 'password_reset', ${JSON.stringify({ name: 'Mighty', user_id: mighty.id })})`,
    )

    await fixture.call('PUT', `${path()}/role`, { body: { role: 'admin' } })

    const { waiting } = await one<{ waiting: number }>(
      fixture.server.db,
      sql`select count(*)::int as waiting from mails
          where kind = 'password_reset' and state = 'waiting' and recipient = ${mighty.email}`,
    )
    expect(waiting).toBe(0)
  })

  test('a sign-in from before stays, and so does a password', async () => {
    await mighty.account()
    await setRole(fixture.server.db, mighty.id, 'user', SYSTEM)

    await fixture.call('PUT', `${path()}/role`, { body: { role: 'admin' } })

    expect((await mighty.open('/account')).text).toContain(mighty.email)
    expect((await mighty.elsewhere().account()).text).toContain(mighty.email)
  })

  test('signing somebody out everywhere ends the links of theirs', async () => {
    const { id, email } = await fixture.server.person('Plain')
    const { body } = await fixture.call('POST', `/users/${id}/password-reset`, { token: lesser })

    expect((await fixture.call('DELETE', `/users/${id}/sessions`)).status).toBe(200)

    const thief = new Person(fixture.server.origin, id, email)
    expect((await thief.open(body.link)).status).toBe(404)
    expect((await thief.signIn(await thief.open('/account'), PASSWORD)).text).toContain(email)
  })
})

describe('approving, and verifying', () => {
  test.each(['approval', 'verification'])('%s holds for what was seen alone', async (decision) => {
    const { id } = await fixture.server.app()
    await run(fixture.server.db, sql`update clients set state = 'pending' where id = ${id}`)
    const { headers } = await fixture.call('GET', `/clients/${id}`)
    const seen = headers.get('etag')!
    const decide = (etag?: string) =>
      fixture.call('PUT', `/clients/${id}/${decision}`, { headers: etag ? { 'If-Match': etag } : {} })

    for (const missing of [undefined, '*', `*, ${seen}`]) {
      expect(await decide(missing)).toMatchObject({ status: 428, body: { code: 'precondition_required' } })
    }
    await run(
      fixture.server.db,
      sql`update clients set redirect_uris = '{https://evil.example/cb}', version = version + 1 where id = ${id}`,
    )
    const stale = await decide(seen)
    expect(stale).toMatchObject({ status: 412, body: { code: 'changed_meanwhile' } })
    expect((await fixture.call('GET', `/clients/${id}`)).body).toMatchObject({
      state: 'pending',
      verified_at: null,
    })
    expect((await decide(stale.headers.get('etag')!)).status).toBe(200)
  })
})

function standing() {
  return one(
    fixture.server.db,
    sql`select role, disabled_at is not null as disabled,
               (select count(*)::int from user_links where user_id = u.id) as links
        from users u where id = ${mighty.id}`,
  )
}
