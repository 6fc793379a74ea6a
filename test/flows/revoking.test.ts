// Taking access back, whoever does it: one durable mark, and from that moment nothing on it works any more.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { SYSTEM } from '../../src/base/audit-events.ts'
import { deleteClient, resumeClient, suspendClient } from '../../src/core/clients/lifecycle.ts'
import { revokeApp } from '../../src/core/grants/account-apps.ts'
import { revokeGrant } from '../../src/core/grants/store.ts'
import { disableUser, enableUser } from '../../src/core/users/store.ts'
import { one, sql } from '../../src/db/pool.ts'
import {
  type Api,
  type App,
  type Person,
  type ServerFixture,
  startServerFixture,
  type Tokens,
} from '../support/flow.ts'
import { until } from '../support/patience.ts'

let server: ServerFixture & { photos: Api }
let app: App
let jamie: Person
let held: Held
beforeAll(async () => {
  server = await startServerFixture()
})
afterAll(() => server.stop())
beforeEach(async () => {
  app = await server.app()
  jamie = await server.person('Jamie')
  held = await holdEverything()
})

test('before anything is taken back, everything works', async () => {
  expect(await app.introspect(held.photos.access_token)).toMatchObject({ active: true })
  expect(await server.photos.introspect(held.photos.access_token)).toMatchObject({ active: true })
  expect((await app.userinfo(held.userinfo.access_token)).status).toBe(200)
  expect((await app.refresh(held.photos.refresh_token)).status).toBe(200)
  expect((await app.post('/token', held.code)).status).toBe(200)
})

describe.each([
  ['the person removes the app', (db: ServerFixture['db']) => revokeApp(db, jamie.id, app.id, SYSTEM)],
  ['the account is disabled', (db: ServerFixture['db']) => disableUser(db, jamie.id, SYSTEM)],
])('once %s', (_, takeBack) => {
  test('every token is dead at once', async () => {
    await takeBack(server.db)

    await expectEverythingDead()
    const { rows } = await one<{ rows: number }>(
      server.db,
      sql`select count(*)::int as rows from tokens t join grants g on g.id = t.grant_id where g.user_id = ${jamie.id}`,
    )
    // One mark; the rows stay until the sweeper comes by.
    expect(rows).toBeGreaterThan(3)
  })

  test('another person’s access to the same app goes on', async () => {
    const robin = await server.person('Robin')
    const tokens = await app.connect(robin)

    await takeBack(server.db)

    expect((await app.introspect(tokens.access_token)).active).toBe(true)
    expect((await app.refresh(tokens.refresh_token)).status).toBe(200)
  })
})

describe('removing an app', () => {
  test('leaves the person’s other apps alone', async () => {
    const other = await server.app({ name: 'Other' })
    const tokens = await other.connect(jamie)

    await revokeApp(server.db, jamie.id, app.id, SYSTEM)

    expect((await other.introspect(tokens.access_token)).active).toBe(true)
  })

  test('a second time says that there is nothing', async () => {
    expect(await revokeApp(server.db, jamie.id, app.id, SYSTEM)).toMatchObject({
      client_name: 'Photo Printer',
      devices: 1,
    })

    expect(await revokeApp(server.db, jamie.id, app.id, SYSTEM)).toBeUndefined()
    expect(await server.events({ type: 'app.removed', user_id: jamie.id })).toHaveLength(1)
  })

  test('and allowing it again does not bring back what was dead', async () => {
    await revokeApp(server.db, jamie.id, app.id, SYSTEM)

    const anew = await app.connect(jamie)

    expect((await app.introspect(anew.access_token)).active).toBe(true)
    await expectEverythingDead()
  })
})

test('one grant is ended alone', async () => {
  const phone = await app.connect(jamie.elsewhere())
  const { id } = await one<{ id: string }>(
    server.db,
    sql`select id from grants where user_id = ${jamie.id} and device like 'Safari%'`,
  )

  await revokeGrant(server.db, id, 'revoked_by_admin', SYSTEM)

  expect(await app.introspect(phone.access_token)).toEqual({ active: false })
  expect((await app.refresh(phone.refresh_token)).body.error).toBe('invalid_grant')
  expect((await app.introspect(held.photos.access_token)).active).toBe(true)
})

describe('a disabled account', () => {
  test('is signed out everywhere, and cannot sign in', async () => {
    expect((await jamie.open('/account')).title).toBe('Profile · Valetkey')

    await disableUser(server.db, jamie.id, SYSTEM)

    const page = await jamie.open('/account')
    expect(page.title).toBe('Sign in · Valetkey')
    const refused = await jamie.signIn(page)
    expect(refused.status).toBe(422)
    expect(refused.text).toContain('do not fit together')
  })

  test('that is enabled again can sign in, and its old grants stay dead', async () => {
    await disableUser(server.db, jamie.id, SYSTEM)

    await enableUser(server.db, jamie.id, SYSTEM)

    await expectEverythingDead()
    expect((await jamie.account()).title).toBe('Profile · Valetkey')
    const anew = await app.connect(jamie)
    expect((await app.introspect(anew.access_token)).active).toBe(true)
  })

  test('in the middle of a sign-in gets no further', async () => {
    const pending = await app.begin({ prompt: 'consent' })
    const page = await jamie.open(pending.url)
    await disableUser(server.db, jamie.id, SYSTEM)

    const pressed = await jamie.press(page, 'Allow')

    expect(pressed.away?.searchParams.get('code') ?? null).toBeNull()
    expect(pressed.status).toBeLessThan(500)
    await expectEverythingDead()
  })
})

describe('a suspended client', () => {
  test('has no live token, gets none, and cannot send anybody here', async () => {
    await suspend()

    expect(await server.photos.introspect(held.photos.access_token)).toEqual({ active: false })
    expect((await app.userinfo(held.userinfo.access_token)).status).toBe(401)
    for (const answer of [
      await app.refresh(held.photos.refresh_token),
      await app.post('/token', held.code),
      await app.post('/token', { grant_type: 'client_credentials', scope: 'photos.read' }),
      await app.post('/introspect', { token: held.photos.access_token }),
      await app.post('/par', { response_type: 'code' }),
    ]) {
      expect(answer.status).toBe(401)
      expect(answer.body.error).toBe('invalid_client')
    }
    const page = await jamie.open((await app.begin()).url)
    expect(page.status).toBe(400)
    expect(page.away).toBeUndefined()
  })

  test('loses the tokens of its own, too', async () => {
    const { body } = await app.post('/token', { grant_type: 'client_credentials', scope: 'photos.read' })
    expect((await server.photos.introspect(body.access_token)).active).toBe(true)

    await suspend()

    expect(await server.photos.introspect(body.access_token)).toEqual({ active: false })
  })

  test('that is resumed has its tokens again, as far as they still live', async () => {
    await suspend()

    await resumeClient(server.db, app.id, SYSTEM)
    await until(async () => (await app.refresh(held.photos.refresh_token)).status === 200)

    expect((await app.introspect(held.photos.access_token)).active).toBe(true)
    expect((await app.userinfo(held.userinfo.access_token)).status).toBe(200)
  })

  test('is said to be suspended on the list of apps, where it can be removed', async () => {
    await suspend()

    const page = await jamie.account('/account/apps')

    expect(page.text).toContain('Photo Printer Suspended')
    await jamie.press(await jamie.open(`/account/apps/${app.id}/remove`), 'Remove access')
    await resumeClient(server.db, app.id, SYSTEM)
    await until(async () => (await app.post('/introspect', { token: 'x' })).status === 200)
    await expectEverythingDead()
  })

  // Announced to every node; the tokens themselves need no announcement.
  async function suspend(): Promise<void> {
    expect(await suspendClient(server.db, app.id, SYSTEM)).toBe(true)
    expect(await server.photos.introspect(held.photos.access_token)).toEqual({ active: false })
    await until(async () => (await app.post('/introspect', { token: 'x' })).status === 401)
  }
})

test('a deleted client is gone: no token, no list entry, no sign-in', async () => {
  await deleteClient(server.db, app.id, SYSTEM)

  expect(await server.photos.introspect(held.photos.access_token)).toEqual({ active: false })
  await until(async () => (await app.refresh(held.photos.refresh_token)).status === 401)
  expect((await jamie.open((await app.begin()).url)).status).toBe(400)
  expect((await jamie.account('/account/apps')).text).toContain('No app has access to your account')
  expect((await jamie.account('/account/activity')).status).toBe(200)
  expect(await resumeClient(server.db, app.id, SYSTEM)).toBe(false)
})

interface Held {
  photos: Tokens
  userinfo: Tokens
  code: Record<string, string>
}

/** One of everything that can be redeemed or shown. */
async function holdEverything(): Promise<Held> {
  return {
    photos: await app.connect(jamie),
    userinfo: await app.connect(jamie, { scope: 'openid email' }),
    code: (await app.code(jamie)).form,
  }
}

async function expectEverythingDead(): Promise<void> {
  const { photos, userinfo, code } = held
  for (const token of [
    photos.access_token,
    photos.refresh_token!,
    userinfo.access_token,
    userinfo.refresh_token!,
  ]) {
    expect(await app.introspect(token)).toEqual({ active: false })
  }
  expect(await server.photos.introspect(photos.access_token)).toEqual({ active: false })
  expect((await app.userinfo(userinfo.access_token)).status).toBe(401)
  for (const answer of [
    await app.refresh(photos.refresh_token),
    await app.refresh(userinfo.refresh_token),
    await app.post('/token', code),
  ]) {
    expect(answer.status).toBe(400)
    expect(answer.body.error).toBe('invalid_grant')
  }
}
