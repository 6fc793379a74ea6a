// Refresh tokens (RFC 6749 §6, RFC 9700 §4.14.2): they rotate at each use, and one that is shown twice ends its family.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import * as openid from 'openid-client'
import { digest } from '../../src/base/credentials.ts'
import { one, run, sql } from '../../src/db/pool.ts'
import { type App, type Person, type ServerFixture, startServerFixture } from '../support/flow.ts'

let server: ServerFixture
let web: App
let jamie: Person
beforeAll(async () => {
  server = await startServerFixture()
  web = await server.app()
  jamie = await server.person('Jamie')
})
afterAll(() => server.stop())

describe.each(['web', 'spa', 'native'] as const)('an app of type %s', (type) => {
  let app: App
  beforeAll(async () => {
    app = await server.app({ type, name: `An app of type ${type}` })
  })

  test('gets a new refresh token at each use, and the chain goes on', async () => {
    const first = await app.connect(jamie)
    const second = await openid.refreshTokenGrant(await app.client(), first.refresh_token!)
    const third = await openid.refreshTokenGrant(await app.client(), second.refresh_token!)

    expect(new Set([first, second, third].map((tokens) => tokens.refresh_token)).size).toBe(3)
    expect(third).toMatchObject({
      expires_in: 600,
      scope: 'openid profile email photos.read',
      token_type: 'bearer',
    })
    expect(third.claims()!.sub).toBe(jamie.id)
    expect((await app.introspect(third.access_token)).active).toBe(true)
  })

  test('loses everything when a used one is shown again, and the account says so', async () => {
    const first = await app.connect(jamie)
    const { body: second } = await app.refresh(first.refresh_token)

    const replay = await app.refresh(first.refresh_token)

    expect(replay.status).toBe(400)
    expect(replay.body.error).toBe('invalid_grant')
    expect((await app.refresh(second.refresh_token)).body.error).toBe('invalid_grant')
    for (const token of [first.access_token, second.access_token, second.refresh_token]) {
      expect(await app.introspect(token)).toEqual({ active: false })
    }
    const [event] = await server.events({ type: 'token.reuse_detected', client_id: app.id })
    expect(event).toMatchObject({
      user_id: jamie.id,
      actor_type: 'client',
      actor_id: app.id,
      data: { kind: 'refresh_token' },
    })
    expect((await jamie.account('/account/activity')).text).toContain(
      `We ended a connection of An app of type ${type} to protect you`,
    )
  })

  test('cannot use the refresh token of another client, which stays good', async () => {
    const { refresh_token } = await web.connect(jamie)

    const refused = await app.refresh(refresh_token)

    expect(refused.status).toBe(400)
    expect(refused.body.error).toBe('invalid_grant')
    expect((await web.refresh(refresh_token)).status).toBe(200)
  })
})

test('a reuse ends the family of one device only', async () => {
  const app = await server.app({ name: 'On two devices' })
  const here = await app.connect(jamie)
  const there = await app.connect(jamie.elsewhere())

  await app.refresh(here.refresh_token)
  await app.refresh(here.refresh_token)

  expect((await app.introspect(here.access_token)).active).toBe(false)
  expect((await app.introspect(there.access_token)).active).toBe(true)
  expect((await app.refresh(there.refresh_token)).status).toBe(200)
})

describe('scopes', () => {
  test('an app may ask for less for one access token, and has all again the next time', async () => {
    const app = await server.app()
    const { refresh_token } = await app.connect(jamie, { scope: 'openid photos.read photos.share' })

    const narrow = await app.refresh(refresh_token, { scope: 'photos.share' })
    const full = await app.refresh(narrow.body.refresh_token)

    expect(narrow.body.scope).toBe('photos.share')
    expect(narrow.body.id_token).toBeUndefined()
    expect((await app.introspect(narrow.body.access_token)).scope).toBe('photos.share')
    expect(full.body.scope.split(' ').sort()).toEqual(['openid', 'photos.read', 'photos.share'])
  })

  test('an app may not ask for more, and loses nothing by trying', async () => {
    const { refresh_token } = await web.connect(jamie)

    const refused = await web.refresh(refresh_token, { scope: 'photos.read photos.share' })

    expect(refused.status).toBe(400)
    expect(refused.body.error).toBe('invalid_scope')
    expect((await web.refresh(refresh_token)).status).toBe(200)
  })
})

describe('how long it lasts', () => {
  test('a refresh token that is not used ends after 30 days', async () => {
    const { refresh_token } = await web.connect(jamie)
    expect(await daysLeft(refresh_token!)).toBeCloseTo(30, 1)
    await run(
      server.db,
      sql`update tokens set expires_at = now() - interval '1 second' where hash = ${digest(refresh_token!)}`,
    )

    const refused = await web.refresh(refresh_token)

    expect(refused.status).toBe(400)
    expect(refused.body.error).toBe('invalid_grant')
    expect(await web.introspect(refresh_token!)).toEqual({ active: false })
  })

  test('each use gives 30 days more', async () => {
    const { refresh_token } = await web.connect(jamie)
    await begunDaysAgo(refresh_token!, 29)

    const { body } = await web.refresh(refresh_token)

    expect(await daysLeft(body.refresh_token)).toBeCloseTo(30, 1)
  })

  test('but no use leads past a year after the person signed in', async () => {
    const { refresh_token } = await web.connect(jamie)
    await begunDaysAgo(refresh_token!, 350)

    const { body } = await web.refresh(refresh_token)
    expect(await daysLeft(body.refresh_token)).toBeCloseTo(15, 1)

    await begunDaysAgo(body.refresh_token, 364.9)
    const last = await web.refresh(body.refresh_token)
    expect(await daysLeft(last.body.refresh_token)).toBeCloseTo(0.1, 1)
  })
})

test('a refresh token that was never issued is refused', async () => {
  for (const made of [`vk_rt_${'A'.repeat(49)}`, 'nonsense', 'vk_at_x']) {
    const answer = await web.refresh(made)

    expect(answer.status).toBe(400)
    expect(answer.body.error).toBe('invalid_grant')
  }
})

test('an access token is no refresh token', async () => {
  const { access_token } = await web.connect(jamie)

  expect((await web.refresh(access_token)).body.error).toBe('invalid_grant')
})

test('a service gets no refresh token', async () => {
  const service = await server.app({ type: 'service', name: 'Nightly', scopes: ['photos.read'] })

  const { body } = await service.post('/token', { grant_type: 'client_credentials', scope: 'photos.read' })

  expect(body.refresh_token).toBeUndefined()
})

async function daysLeft(refresh_token: string): Promise<number> {
  const { days } = await one<{ days: number }>(
    server.db,
    sql`select extract(epoch from expires_at - now())::float8 / 86400 as days from tokens
        where hash = ${digest(refresh_token)}`,
  )
  return days
}

/** Moves the beginning of a chain of refresh tokens into the past; the token itself stays as it is. */
async function begunDaysAgo(refresh_token: string, days: number): Promise<void> {
  const iiat = Math.floor(Date.now() / 1000 - days * 86_400)
  await run(
    server.db,
    sql`update tokens set payload = jsonb_set(payload::jsonb, '{iiat}', ${String(iiat)}::jsonb)::json
        where hash = ${digest(refresh_token)}`,
  )
}
