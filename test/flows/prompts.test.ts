// `prompt` and `max_age`, in all their combinations: each page comes once a request, whichever way the request came, and one decision
// makes one grant.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { one, sql } from '../../src/db/pool.ts'
import { type App, type Page, type Person, type ServerFixture, startServerFixture } from '../support/flow.ts'

let server: ServerFixture
let web: App
let native: App
let device: App
beforeAll(async () => {
  server = await startServerFixture()
  web = await server.app()
  native = await server.app({ type: 'native', redirect_uris: ['http://127.0.0.1/callback'] })
  device = await server.app({ type: 'device', name: 'TV', scopes: ['openid', 'photos.read'] })
})
afterAll(() => server.stop())

type Seen = { accounts: number; signIns: number; consents: number; end: Page }

/** Goes from page to page as they come, and counts them. */
async function walk(who: Person, first: Page): Promise<Seen> {
  const seen = { accounts: 0, signIns: 0, consents: 0 }
  let page = first
  for (let pages = 0; pages < 8; pages++) {
    if (page.title.startsWith('Choose an account')) {
      seen.accounts++
      page = await who.press(page, 'Continue as Kim')
    } else if (page.title.startsWith('Sign in')) {
      seen.signIns++
      page = await who.signIn(page)
    } else if (page.title.includes('wants access')) {
      seen.consents++
      page = await who.press(page, 'Allow')
    } else if (page.text.includes('Continue')) page = await who.press(page, 'Continue')
    else break
  }
  return { ...seen, end: page }
}

async function liveGrants(user_id: string): Promise<number> {
  const { count } = await one<{ count: number }>(
    server.db,
    sql`select count(*)::int as count from grants where user_id = ${user_id} and revoked_at is null`,
  )
  return count
}

/** How each prompt is answered: pages for somebody who is signed in, and for somebody who is not. Nobody has allowed the app before. */
const PROMPTS: [params: Record<string, string>, signedIn: Omit<Seen, 'end'>, signedOut: Omit<Seen, 'end'>][] =
  [
    [{ prompt: 'login' }, pages(0, 1), pages(0, 1)],
    [{ prompt: 'consent' }, pages(0, 0), pages(0, 1)],
    [{ prompt: 'login consent' }, pages(0, 1), pages(0, 1)],
    [{ prompt: 'consent', max_age: '0' }, pages(0, 1), pages(0, 1)],
    [{ max_age: '0' }, pages(0, 1), pages(0, 1)],
    [{ max_age: '3600' }, pages(0, 0), pages(0, 1)],
    [{ prompt: 'select_account' }, pages(1, 0), pages(0, 1)],
    [{ prompt: 'select_account consent' }, pages(1, 0), pages(0, 1)],
    [{ prompt: 'select_account login', max_age: '0' }, pages(0, 1), pages(0, 1)],
  ]

function pages(accounts: number, signIns: number) {
  return { accounts, signIns, consents: 1 }
}

const STATES = PROMPTS.flatMap(([params, signedIn, signedOut]) => [
  { params, who: 'somebody who is signed in', expected: signedIn },
  { params, who: 'somebody who is not', expected: signedOut },
])

describe.each(['/auth', '/par'])('at %s', (endpoint) => {
  test.each(['web', 'native'].flatMap((type) => STATES.map((state) => ({ type, ...state }))))(
    '$params of a $type app, for $who',
    async ({ type, params, who, expected }) => {
      const app = type === 'web' ? web : native
      const kim = await server.person('Kim')
      if (who.endsWith('in')) await kim.account()
      const pending = await app.begin(params)
      if (endpoint === '/par') {
        const { body } = await app.post('/par', Object.fromEntries(pending.url.searchParams))
        pending.url.search = String(new URLSearchParams({ client_id: app.id, request_uri: body.request_uri }))
      }

      const { end, ...seen } = await walk(kim, await kim.open(pending.url))

      expect(seen).toEqual(expected)
      const claims = (await app.finish(end.away!, pending)).claims()!
      expect(claims.sub).toBe(kim.id)
      if (params.max_age ?? params.prompt?.includes('login'))
        expect(Math.abs(claims.auth_time! - Date.now() / 1000)).toBeLessThan(600)
      expect(await liveGrants(kim.id)).toBe(1)
    },
  )
})

test.each(STATES)('by a device: $params, for $who', async ({ params, who, expected }) => {
  const kim = await server.person('Kim')
  if (who.endsWith('in')) await kim.account()
  const { body } = await device.post('/device_authorization', { scope: 'openid photos.read', ...params })

  const { end, ...seen } = await walk(kim, await kim.open(body.verification_uri_complete))

  expect(seen).toEqual(expected)
  expect(end.text).toContain('Your device is connected')
  expect(await liveGrants(kim.id)).toBe(1)
})

describe('choosing an account', () => {
  test('another one signs in, and the request goes on as them', async () => {
    const [kim, lee] = [await server.person('Kim'), await server.person('Lee')]
    await kim.account()
    const pending = await web.begin({ prompt: 'select_account' })

    const page = await kim.press(await kim.open(pending.url), 'Use another account')
    expect(page.title).toContain('Sign in')
    const consent = await kim.press(page, 'Sign in', { email: lee.email, password: 'five wet umbrellas' })
    const { away } = await kim.press(consent, 'Allow')

    expect((await web.finish(away!, pending)).claims()!.sub).toBe(lee.id)
  })

  test('can be cancelled', async () => {
    const kim = await server.person('Kim')
    await kim.account()

    const page = await kim.open((await web.begin({ prompt: 'select_account' })).url)
    const { away } = await kim.press(page, 'Cancel')

    expect(away!.searchParams.get('error')).toBe('access_denied')
  })

  test('together with none is refused', async () => {
    const kim = await server.person('Kim')

    const { away } = await kim.open((await web.begin({ prompt: 'none select_account' })).url)

    expect(away!.searchParams.get('error')).toBe('invalid_request')
  })
})
