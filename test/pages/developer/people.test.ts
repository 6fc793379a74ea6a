// The people around an app: who may try it out while it waits, its owners, and invitations. Through real sign-ins.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { SYSTEM } from '../../../src/base/audit-events.ts'
import { MOST_APPS, removeOwner } from '../../../src/core/clients/owners.ts'
import { acceptInvitation, createInvitation } from '../../../src/core/ownership/invitations.ts'
import { MOST_TEST_USERS } from '../../../src/core/ownership/test-users.ts'
import { disableUser } from '../../../src/core/users/store.ts'
import { many, one, run, sql } from '../../../src/db/pool.ts'
import type { App, Person, ServerFixture } from '../../support/flow.ts'
import { heard } from '../../support/heard.ts'
import { startServer } from '../../support/server.ts'
import { csrfOf } from '../admin/admin-fixture.ts'
import {
  type DeveloperFixture,
  linkOn,
  ownApp,
  portalRows,
  resetChangeLimits,
  startDeveloperFixture,
} from './developer-fixture.ts'

let fixture: DeveloperFixture
let server: ServerFixture
let dev: Person
let other: Person
let sam: Person
beforeAll(async () => {
  fixture = await startDeveloperFixture()
  ;({ server, dev, other, sam } = fixture)
})
beforeEach(() => resetChangeLimits(fixture))
afterAll(() => fixture.server.stop())

const name = async (app: App, email: string) =>
  dev.press(await dev.open(`/developer/apps/${app.id}/test-users`), 'Add', { email })
const invite = async (app: App, email: string, by = dev) =>
  by.press(await by.open(`/developer/apps/${app.id}/owners/invite`), 'Make the link', { email })
const ownersOf = async (app: App): Promise<string[]> => {
  const rows = await many<{ user_id: string }>(
    server.db,
    sql`select user_id from client_owners where client_id = ${app.id} order by created_at`,
  )
  return rows.map(({ user_id }) => user_id)
}
const asUser = (person: Person) => ({ ...SYSTEM, type: 'user' as const, id: person.id })

describe('an app that waits', () => {
  test('serves its owner and those it names; everybody else reads that it waits', async () => {
    const app = await ownApp(fixture, dev, { approval: true })
    await name(app, `  ${sam.email.toUpperCase()} `)

    expect(await app.connect(dev)).toHaveProperty('access_token')
    expect(await app.connect(sam)).toHaveProperty('access_token')
    const page = await other.open((await app.begin()).url)
    expect(page.status).toBe(403)
    expect(page.title).toContain('Calendar cannot be used yet')
    expect(page.text).toContain('Until then only they and the people they named can try it out.')
    expect(page.html).not.toContain('name="scope"')
  })

  test('serves everybody once it is approved', async () => {
    const app = await ownApp(fixture, dev, { approval: true })
    await fixture.ada.press(await fixture.ada.open(`/admin/clients/${app.id}/approve`), 'Approve')
    await heard(server)

    expect(await app.connect(other)).toHaveProperty('access_token')
  })

  test('does not serve somebody whose address nobody has confirmed', async () => {
    const app = await ownApp(fixture, dev, { approval: true })
    const claims = await server.person('Claims')
    await run(server.db, sql`update users set email_verified = false where id = ${claims.id}`)
    await name(app, claims.email)

    const page = await claims.signIn(await claims.open((await app.begin()).url))

    expect(page.status).toBe(403)
    expect(page.title).toContain('cannot be used yet')
  })

  test('takes back what it gave to somebody who is named no longer', async () => {
    const app = await ownApp(fixture, dev, { approval: true })
    await name(app, sam.email)
    const tokens = await app.connect(sam)
    const list = await dev.open(`/developer/apps/${app.id}/test-users`)

    const page = await dev.press(list, 'Remove')

    expect(page.text).toContain(`${sam.email} may no longer try the app out.`)
    expect((await app.userinfo(tokens.access_token)).status).toBe(401)
    expect((await app.refresh(tokens.refresh_token)).status).toBe(400)
    expect((await sam.open((await app.begin()).url)).status).toBe(403)
    expect((await sam.open('/account/activity')).text).toContain('The access of Calendar was ended')
    expect(await server.events({ type: 'client.test_user_removed', client_id: app.id })).toHaveLength(1)
  })

  test('says the same of an address with an account and one without', async () => {
    const app = await ownApp(fixture, dev, { approval: true })
    const words = (text: string, email: string) => text.replaceAll(email, '…')

    const known = words((await name(app, other.email)).text, other.email)
    await dev.press(await dev.open(`/developer/apps/${app.id}/test-users`), 'Remove')
    const unknown = words((await name(app, 'nobody@example.org')).text, 'nobody@example.org')

    expect(unknown).toBe(known)
  })

  test.each(['', 'sam', 'sam@', 'a b@example.com', '<b>@example.com', `${'a'.repeat(400)}@example.com`])(
    'does not name %j',
    async (email) => {
      const app = await ownApp(fixture, dev, { approval: true })

      const page = await name(app, email)

      expect(page.status).toBe(422)
      expect(page.title).toMatch(/^Error: /)
      expect(page.text).toMatch(/Email: is .*, e\.g\. sam@example\.com\./)
    },
  )

  test('names 20 people at most, each once', async () => {
    const app = await ownApp(fixture, dev, { approval: true })
    const form = await dev.open(`/developer/apps/${app.id}/test-users`)
    for (let i = 0; i < MOST_TEST_USERS; i++) await dev.press(form, 'Add', { email: `p${i}@example.org` })

    const full = await dev.press(form, 'Add', { email: 'more@example.org' })
    const again = await dev.press(form, 'Add', { email: 'p3@example.org' })

    expect(full.status).toBe(422)
    expect(full.text).toContain('there are 20 already')
    expect(again.status).toBe(200)
    const { count } = await one<{ count: string }>(
      server.db,
      sql`select count(*) from client_test_users where client_id = ${app.id}`,
    )
    expect(count).toBe('20')
  })
})

describe('an invitation', () => {
  test('is a link, shown once, that makes whoever it is for an owner', async () => {
    const app = await ownApp(fixture, dev)
    const shown = await invite(app, other.email)
    const link = linkOn(shown)
    const secret = link.split('/').at(-1)!
    const list = await dev.open(`/developer/apps/${app.id}/owners`)
    expect(list.text).toContain(other.email)
    expect(list.html).not.toContain(secret)

    const page = await other.open(link)
    expect(page.text).toContain('Look after Calendar?')
    expect(page.url.pathname).toBe('/developer/invitation')
    expect(await ownersOf(app)).toEqual([dev.id])
    const accepted = await other.press(page, 'Accept')

    expect(accepted.url.pathname).toBe(`/developer/apps/${app.id}`)
    expect(accepted.text).toContain('You look after Calendar now.')
    expect(await ownersOf(app)).toEqual([dev.id, other.id])
    expect((await other.open(link)).status).toBe(404)
    const types = (await server.events({ client_id: app.id })).map(({ type }) => type)
    expect(types).toEqual(expect.arrayContaining(['client.owner_invited', 'client.owner_added']))
    expect((await other.open('/account/activity')).text).toContain('You look after Calendar now')
  })

  test('leads there through signing in, and its secret stands in no row', async () => {
    const app = await ownApp(fixture, dev)
    const late = await server.person('Late')
    const link = linkOn(await invite(app, late.email))

    const asked = await late.open(link)
    const rows = await many(
      server.db,
      sql`select payload::text as text from provider_state
          union all select payload::text from sessions
          union all select data::text from audit_events`,
    )
    expect(rows.length).toBeGreaterThan(0)
    expect(JSON.stringify(rows)).not.toContain(link.split('/').at(-1))
    const page = await late.signIn(asked)

    expect(page.text).toContain('Look after Calendar?')
  })

  test('stands in no log, and no link that could not be one is followed', async () => {
    const { name: database } = await one<{ name: string }>(server.db, sql`select current_database() as name`)
    const url = new URL(process.env.TEST_DATABASE_URL!)
    url.pathname = `/${database}`
    const child = await startServer({ databaseUrl: url.href, env: { LOG_LEVEL: 'debug' } })
    const secret = linkOn(await invite(await ownApp(fixture, dev), 'logged@example.org'))
      .split('/')
      .at(-1)!

    const open = (text: string) =>
      fetch(`${child.origin}/developer/invitations/${text}`, { redirect: 'manual' })
    const statuses = [(await open(secret)).status, (await open('short')).status]
    await child.stop()
    expect(statuses).toEqual([303, 404])

    expect(child.output()).toContain('/developer/invitations/…')
    expect(child.output()).not.toContain(secret)
  })

  test('serves nobody else, and says nothing about the app to them', async () => {
    const app = await ownApp(fixture, dev, { name: 'Secret plans' })
    const link = linkOn(await invite(app, 'who.else@example.org'))
    const before = await portalRows(fixture)

    const page = await other.open(link)
    const sent = await other.post('/developer/invitation', { csrf: csrfOf(await other.open('/account')) })

    for (const refused of [page, sent]) {
      expect(refused.status).toBe(403)
      expect(refused.text).toContain('This invitation is not for this account')
      expect(refused.text).not.toContain('Secret plans')
      expect(refused.text).not.toContain('who.else@example.org')
    }
    expect(await portalRows(fixture)).toBe(before)
  })

  test('does not serve an account with that address while it is not confirmed', async () => {
    const app = await ownApp(fixture, dev)
    const claims = await server.person('Claims')
    await run(server.db, sql`update users set email_verified = false where id = ${claims.id}`)
    await claims.account()
    const link = linkOn(await invite(app, claims.email))

    const page = await claims.open(link)

    expect(page.status).toBe(403)
    expect(page.text).toContain('whose email address is confirmed')
    await expect(
      acceptInvitation(server.db, link.split('/').at(-1)!, asUser(claims)),
    ).resolves.toBeUndefined()
    expect(await ownersOf(app)).toEqual([dev.id])
  })

  test('is accepted once, of two at the same time over two connections', async () => {
    const app = await ownApp(fixture, dev)
    const link = linkOn(await invite(app, other.email))
    const here = await other.open(link)
    const there = other.elsewhere()
    await there.account()
    const page = await there.open(link)

    const answers = await Promise.all([other.press(here, 'Accept'), there.press(page, 'Accept')])

    // Whoever looks after it by now is told so twice.
    expect(answers.map(({ status }) => status)).toEqual([200, 200])
    expect(await ownersOf(app)).toEqual([dev.id, other.id])
    expect(await server.events({ type: 'client.owner_added', client_id: app.id })).toHaveLength(1)
  })

  test.each([
    ['was withdrawn', sql`update client_invitations set withdrawn_at = now()`],
    ['is over', sql`update client_invitations set expires_at = now()`],
    ['is of an app that is gone', sql`update clients set deleted_at = now() where name = 'Gone soon'`],
  ])('serves nobody when it %s', async (_, change) => {
    const app = await ownApp(fixture, dev, { name: 'Gone soon' })
    const link = linkOn(await invite(app, other.email))
    await run(server.db, change)

    const page = await other.open(link)

    expect(page.status).toBe(404)
    expect(page.text).toContain('accepted or withdrawn, or it is too old')
    expect(await ownersOf(app)).toEqual([dev.id])
  })

  test('is withdrawn on the page, and replaced by a newer one of the same address', async () => {
    const app = await ownApp(fixture, dev)
    const first = linkOn(await invite(app, other.email))
    const second = linkOn(await invite(app, other.email))
    expect((await other.open(first)).status).toBe(404)
    expect((await other.open(second)).status).toBe(200)

    const page = await dev.press(await dev.open(`/developer/apps/${app.id}/owners`), 'Withdraw')

    expect(page.text).toContain('The invitation is withdrawn. Its link is dead.')
    expect((await other.open(second)).status).toBe(404)
    expect(await server.events({ type: 'client.invitation_withdrawn', client_id: app.id })).toHaveLength(1)
  })

  test('is refused for an owner, for no address, and after 20 open ones', async () => {
    const app = await ownApp(fixture, dev)

    expect((await invite(app, dev.email)).text).toContain('looks after this app already')
    expect((await invite(app, 'nobody')).text).toContain('is not an e-mail address, e.g. sam@example.com')
    for (let i = 0; i < 20; i++)
      await createInvitation(server.db, app.id, `i${i}@example.org`, { mailed: false }, asUser(dev))
    const page = await invite(app, 'more@example.org')
    expect(page.status).toBe(422)
    expect(page.text).toContain('there are 20 open invitations')
  })

  test('is not accepted by somebody who looks after 25 apps, and is still open then', async () => {
    const busy = await server.person('Busy')
    await busy.account()
    for (let i = 0; i < MOST_APPS; i++) await ownApp(fixture, busy)
    const app = await ownApp(fixture, dev)
    const link = linkOn(await invite(app, busy.email))

    const page = await busy.press(await busy.open(link), 'Accept')

    expect(page.status).toBe(422)
    expect(page.text).toContain('You look after 25 apps already')
    expect((await busy.open(link)).status).toBe(200)
    expect(await ownersOf(app)).toEqual([dev.id])
  })
})

describe('owners', () => {
  const withTwo = async (): Promise<App> => {
    const app = await ownApp(fixture, dev)
    await other.press(await other.open(linkOn(await invite(app, other.email))), 'Accept')
    return app
  }

  test('hand an app over: one invites, the other accepts, the first leaves', async () => {
    const app = await withTwo()
    const page = await dev.open(`/developer/apps/${app.id}/owners/${dev.id}/remove`)
    expect(page.text).toContain('Leave Calendar?')

    const left = await dev.press(page, 'Leave')

    expect(left.url.pathname).toBe('/developer')
    expect(left.text).toContain('You no longer look after Calendar.')
    expect((await dev.open(`/developer/apps/${app.id}`)).status).toBe(404)
    expect((await other.open(`/developer/apps/${app.id}`)).status).toBe(200)
    expect(await ownersOf(app)).toEqual([other.id])
    expect(await server.events({ type: 'client.owner_removed', user_id: dev.id })).not.toEqual([])
  })

  test('never leave it to nobody, nor to somebody who cannot sign in', async () => {
    const app = await ownApp(fixture, dev)
    const path = `/developer/apps/${app.id}/owners`
    expect((await dev.open(path)).html).not.toContain('>Leave<')

    const page = await dev.press(await dev.open(`${path}/${dev.id}/remove`), 'Leave')
    expect(page.status).toBe(422)
    expect(page.text).toContain('Somebody must look after the app; invite another owner first.')

    const gone = await server.person('Gone')
    await run(server.db, sql`insert into client_owners (client_id, user_id) values (${app.id}, ${gone.id})`)
    await disableUser(server.db, gone.id, SYSTEM)
    expect((await dev.press(await dev.open(`${path}/${dev.id}/remove`), 'Leave')).status).toBe(422)
    expect(await ownersOf(app)).toContain(dev.id)
  })

  test('who remove each other at the same time leave one', async () => {
    const app = await withTwo()

    await Promise.allSettled([
      removeOwner(server.db, app.id, other.id, asUser(dev)),
      removeOwner(server.db, app.id, dev.id, asUser(other)),
    ])

    expect(await ownersOf(app)).toHaveLength(1)
  })

  test('who are removed see and change nothing any more', async () => {
    const app = await withTwo()
    const edit = await other.open(`/developer/apps/${app.id}/edit`)
    await dev.press(await dev.open(`/developer/apps/${app.id}/owners/${other.id}/remove`), 'Remove')
    const before = await portalRows(fixture)

    const sent = await other.press(edit, 'Save', { description: 'Mine still' })

    expect(sent.status).toBe(404)
    expect(await portalRows(fixture)).toBe(before)
  })
})
