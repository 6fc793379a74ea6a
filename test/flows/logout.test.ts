// Signing out (OpenID Connect RP-Initiated Logout): the person is asked, the browser forgets, the apps keep their access.
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals'
import * as openid from 'openid-client'
import { many, sql } from '../../src/db/pool.ts'
import {
  type App,
  type Person,
  type ServerFixture,
  startServerFixture,
  type Tokens,
} from '../support/flow.ts'

const BYE = 'https://printer.example/bye'

let server: ServerFixture
let app: App
let jamie: Person
let tokens: Tokens
beforeAll(async () => {
  server = await startServerFixture()
  app = await server.app()
})
afterAll(() => server.stop())
beforeEach(async () => {
  jamie = await server.person('Jamie')
  tokens = await app.connect(jamie)
})

test('an app sends the person here, who says yes and goes back with the state', async () => {
  const page = await jamie.open(await endSession({ post_logout_redirect_uri: BYE, state: 'x/1' }))
  expect(page.status).toBe(200)
  expect(page.text).toContain('Sign out of Valetkey? Photo Printer asks to sign you out.')

  const { away } = await jamie.press(page, 'Sign out')

  expect(away!.href).toBe(`${BYE}?state=x%2F1`)
  expect((await jamie.open('/account')).title).toBe('Sign in · Valetkey')
  expect(await many(server.db, sql`select from sessions where user_id = ${jamie.id}`)).toEqual([])
  expect(await server.events({ type: 'sign_out', user_id: jamie.id })).toHaveLength(1)
})

test('access survives signing out: it ends when the person removes it', async () => {
  await jamie.press(await jamie.open(await endSession({})), 'Sign out')

  expect((await app.introspect(tokens.access_token)).active).toBe(true)
  const renewed = await openid.refreshTokenGrant(await app.client(), tokens.refresh_token!)
  expect(renewed.access_token).toMatch(/^vk_at_/)
})

test('a person who stays signed in is told so, and nothing ends', async () => {
  const page = await jamie.open(await endSession({}))

  const told = await jamie.press(page, 'Stay signed in')

  expect(told.status).toBe(200)
  expect(told.text).toContain('You are still signed in')
  expect((await jamie.open('/account')).title).toBe('Profile · Valetkey')
  expect((await app.introspect(tokens.access_token)).active).toBe(true)
})

test('an app may send its request by POST, as the specification has it', async () => {
  const { searchParams } = await endSession({ post_logout_redirect_uri: BYE, state: 'ünï & co' })

  const page = await jamie.post('/session/end', Object.fromEntries(searchParams))
  const { away } = await jamie.press(page, 'Sign out')

  expect(away!.searchParams.get('state')).toBe('ünï & co')
})

test('the link on the account page signs out without any app', async () => {
  const page = await jamie.open('/session/end')

  const told = await jamie.press(page, 'Sign out')

  expect(told.text).toContain('You are signed out')
  expect((await jamie.open('/account')).title).toBe('Sign in · Valetkey')
})

test('somebody who is signed out already is led on all the same', async () => {
  const stranger = jamie.elsewhere()

  const page = await stranger.open(await endSession({ post_logout_redirect_uri: BYE }))

  expect(page.status).toBe(200)
  // A form that needs no script: one button, and the person is back at the app.
  const button = /<(?:button|input)[^>]*type="submit"[^>]*>([^<]*)/.exec(page.html)
  expect(button).not.toBeNull()
})

test.each([
  'https://evil.example/',
  'https://printer.example/bye/',
  'https://printer.example/bye?next=evil',
  'https://printer.example/callback',
])('%s, which is not registered for it, is never led to', async (post_logout_redirect_uri) => {
  const page = await jamie.open(await endSession({ post_logout_redirect_uri }))

  expect(page.status).toBe(400)
  expect(page.away).toBeUndefined()
  expect((await jamie.open('/account')).title).toBe('Profile · Valetkey')
})

test('without a client nobody is led anywhere', async () => {
  const page = await jamie.open(
    `/session/end?post_logout_redirect_uri=${encodeURIComponent('https://evil.example/')}`,
  )

  const told = await jamie.press(page, 'Sign out')

  expect(told.away).toBeUndefined()
  expect(told.text).toContain('You are signed out')
})

test('a client id does instead of an ID token, and both must agree', async () => {
  const query = (client_id: string, hint?: string) =>
    `/session/end?${new URLSearchParams({ client_id, post_logout_redirect_uri: BYE, ...(hint && { id_token_hint: hint }) })}`
  const other = await server.app({ name: 'Other' })

  expect((await jamie.open(query(other.id, tokens.id_token))).status).toBe(400)
  const page = await jamie.open(query(app.id))
  expect((await jamie.press(page, 'Sign out')).away!.href).toBe(BYE)
})

test.each(['nonsense', 'a.b.c'])('an ID token that is none (%s) is refused', async (id_token_hint) => {
  const page = await jamie.open(`/session/end?${new URLSearchParams({ id_token_hint })}`)

  expect(page.status).toBe(400)
})

test('a form from elsewhere signs nobody out', async () => {
  await jamie.open(await endSession({}))

  const forged = await jamie.post('/session/end/confirm', { xsrf: 'guessed', logout: 'yes' })

  expect(forged.status).toBe(400)
  expect((await jamie.open('/account')).title).toBe('Profile · Valetkey')
})

test('the other browser of the same person stays signed in', async () => {
  const phone = jamie.elsewhere()
  await app.connect(phone)

  await jamie.press(await jamie.open('/session/end'), 'Sign out')

  expect((await phone.open('/account')).title).toBe('Profile · Valetkey')
})

test('a session of before signing out is worth nothing afterwards', async () => {
  const old = jamie.cookie('_session')!
  const signature = jamie.cookie('_session.sig')!
  await jamie.press(await jamie.open('/session/end'), 'Sign out')

  const answer = await fetch(`${server.origin}/account`, {
    redirect: 'manual',
    headers: { Cookie: `_session=${old}; _session.sig=${signature}` },
  })

  expect(answer.status).toBe(303)
  expect(answer.headers.get('location')).toMatch(/^\/auth\?/)
})

async function endSession(params: Record<string, string>): Promise<URL> {
  return openid.buildEndSessionUrl(await app.client(), { id_token_hint: tokens.id_token!, ...params })
}
