// Resource indicators (RFC 8707): one sign-in for several APIs, and each access token for one of them.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import {
  type Api,
  type App,
  type Person,
  PHOTOS,
  type ServerFixture,
  startServerFixture,
} from '../support/flow.ts'

const CALENDAR = {
  identifier: 'https://calendar.example',
  name: 'Calendar',
  scopes: [
    { name: 'calendar.read', sentence: 'See your appointments' },
    { name: 'calendar.write', sentence: 'Change your appointments' },
  ],
}

let server: ServerFixture & { photos: Api }
let calendar: Api
let app: App
let jamie: Person
beforeAll(async () => {
  server = await startServerFixture()
  calendar = await server.api(CALENDAR)
  app = await server.app({ scopes: ['openid', 'email', 'photos.read', 'calendar.read'] })
  jamie = await server.person('Jamie')
})
afterAll(() => server.stop())

const BOTH = 'openid photos.read calendar.read'

test('the consent page names what all of the APIs would do', async () => {
  const page = await jamie.signIn(await jamie.open((await app.begin({ scope: BOTH })).url))

  expect(page.text).toContain('Look at your photos')
  expect(page.text).toContain('See your appointments')
  await jamie.press(page, 'Allow')
})

test('a scope alone says which API is meant', async () => {
  const tokens = await app.connect(jamie, { scope: 'openid calendar.read' })

  expect(tokens.scope).toBe('openid calendar.read')
  expect(await calendar.introspect(tokens.access_token)).toMatchObject({
    active: true,
    aud: CALENDAR.identifier,
  })
})

test('the app may name the API as well', async () => {
  const tokens = await app.connect(jamie, { scope: 'openid photos.read', resource: PHOTOS.identifier })

  expect(await server.photos.introspect(tokens.access_token)).toMatchObject({
    active: true,
    scope: 'photos.read',
  })
})

test('a sign-in for two APIs gives a token for either, and no token opens both', async () => {
  const { form } = await app.code(jamie, { scope: BOTH })
  const first = await app.post('/token', { ...form, resource: PHOTOS.identifier })
  const second = await app.refresh(first.body.refresh_token, { resource: CALENDAR.identifier })

  expect(first.body.scope).toBe('openid photos.read')
  expect(second.body.scope).toBe('openid calendar.read')
  expect(await server.photos.introspect(first.body.access_token)).toMatchObject({
    active: true,
    aud: PHOTOS.identifier,
  })
  expect(await server.photos.introspect(second.body.access_token)).toEqual({ active: false })
  expect(await calendar.introspect(second.body.access_token)).toMatchObject({
    active: true,
    aud: CALENDAR.identifier,
  })
  expect(await calendar.introspect(first.body.access_token)).toEqual({ active: false })
})

test('without naming one, the token is for one of them', async () => {
  const { form } = await app.code(jamie, { scope: BOTH })

  const { status, body } = await app.post('/token', form)

  expect(status).toBe(200)
  expect(['openid photos.read', 'openid calendar.read']).toContain(body.scope)
})

test('an API that was not part of the sign-in gives no token, and the refresh token stays good', async () => {
  const tokens = await app.connect(jamie, { scope: 'openid photos.read' })

  const refused = await app.refresh(tokens.refresh_token, { resource: CALENDAR.identifier })

  expect(refused.status).toBe(400)
  expect(refused.body.error).toBe('invalid_target')
  expect((await app.refresh(tokens.refresh_token)).status).toBe(200)
})

test('an API nobody registered is refused at every surface', async () => {
  const { form } = await app.code(jamie, { scope: 'openid photos.read' })

  const answer = await app.post('/token', { ...form, resource: 'https://elsewhere.example' })

  expect(answer.status).toBe(400)
  expect(answer.body.error).toBe('invalid_target')
})

test('a scope of one API is not had by naming another', async () => {
  const { away } = await jamie.open(
    (await app.begin({ scope: 'openid calendar.read', resource: PHOTOS.identifier })).url,
  )

  const code = away?.searchParams.get('code')
  if (!code)
    return expect(away!.searchParams.get('error')).toMatch(/^(invalid_scope|invalid_target|access_denied)$/)
  const tokens = await app.connect(jamie, { scope: 'openid calendar.read', resource: PHOTOS.identifier })
  const seen = await server.photos.introspect(tokens.access_token)
  expect(seen.scope ?? '').not.toContain('calendar')
})

test('a scope that this app may not ask for is refused, whichever API it names', async () => {
  for (const resource of [undefined, CALENDAR.identifier]) {
    const { away } = await jamie.open((await app.begin({ scope: 'openid calendar.write', resource })).url)

    expect(away!.searchParams.get('error')).toBe('invalid_scope')
  }
})
