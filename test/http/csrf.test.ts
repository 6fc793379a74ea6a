// Forms that another site, another session or another page could have sent change nothing: every POST of a page, one by one.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { formsOf } from '../../demo/form.ts'
import { createSetupLink } from '../../src/core/users/setup-links.ts'
import { many, one, sql } from '../../src/db/pool.ts'
import { authUrl, Browser, formWith, populate, type Reply, redeem, type World } from '../support/attack.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { startApp, type TestApp } from '../support/server.ts'

let database: TestDatabase
let app: TestApp
let world: World
let alice: Browser
/** The csrf value of somebody else's session. */
let foreign: string
const pages: Record<
  string,
  { browser: Browser; page: Reply; button: string; typed: Record<string, string> }
> = {}
beforeAll(async () => {
  database = await createTestDatabase()
  world = await populate(database.db)
  app = await startApp({ db: database.db })
  const browser = () => new Browser(app.origin)
  alice = browser()
  await redeem(app.origin, world.web, await alice.code(authUrl(world.web), world.alice))
  const profile = await alice.open('/account')
  const apps = await alice.open('/account/apps')
  const device = /href="(\/account\/apps\/[^"]+\/devices\/[^"]+)"/.exec(apps.text)![1]!
  const bob = browser()
  foreign = formWith(await bob.signIn(world.bob), 'Save name').fields.get('csrf')!

  const { email, password } = world.bob
  const signingIn = browser()
  const deciding = browser()
  const atSignIn = await deciding.open(authUrl(world.spa))
  const atConsent = await deciding.follow(await deciding.submit(atSignIn, 'Sign in', { email, password }))
  const invited = browser()
  const link = `/setup/${await createSetupLink(database.db)}`
  const root = { name: 'Root', email: 'root@example.com', password: 'the password of root' }
  Object.assign(pages, {
    'sign-in': {
      browser: signingIn,
      page: await signingIn.open(authUrl(world.spa)),
      button: 'Sign in',
      typed: { email, password },
    },
    consent: { browser: deciding, page: atConsent, button: 'Allow', typed: {} },
    'another account': { browser: deciding, page: atConsent, button: 'Use another account', typed: {} },
    'set-up': { browser: invited, page: await invited.open(link), button: 'Create', typed: root },
    name: { browser: alice, page: profile, button: 'Save name', typed: { name: 'Mallory' } },
    password: {
      browser: alice,
      page: profile,
      button: 'Change password',
      typed: { current_password: world.alice.password, new_password: 'the password of mallory' },
    },
    'remove device': { browser: alice, page: await alice.open(device), button: 'Remove', typed: {} },
    'remove app': {
      browser: alice,
      page: await alice.open(`/account/apps/${world.web.id}/remove`),
      button: 'Remove',
      typed: {},
    },
    'remove all': {
      browser: alice,
      page: await alice.open('/account/apps/remove-all'),
      button: 'Remove',
      typed: {},
    },
  })
})
afterAll(async () => {
  await app?.stop()
  await database?.drop()
})

const FORGERIES: [string, (form: URLSearchParams) => void, Record<string, string>][] = [
  ['no token', (form) => form.delete('csrf'), {}],
  ['an empty token', (form) => form.set('csrf', ''), {}],
  ['a wrong token', (form) => form.set('csrf', 'A'.repeat(43)), {}],
  ['the token of another session', (form) => form.set('csrf', foreign), {}],
  ['two tokens', (form) => form.append('csrf', form.get('csrf')!), {}],
  ['a token as an array', (form) => rename(form, 'csrf[]'), {}],
  [
    'a right token from another site',
    () => {},
    { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' },
  ],
  [
    'a right token from a neighbouring site',
    () => {},
    { 'sec-fetch-site': 'same-site', origin: 'https://evil.localhost' },
  ],
]

describe.each([
  'sign-in',
  'consent',
  'another account',
  'set-up',
  'name',
  'password',
  'remove device',
  'remove app',
  'remove all',
])('the form %s', (name) => {
  test.each(FORGERIES)(
    'with %s is refused with 403 in words, and nothing changes',
    async (_what, forge, headers) => {
      const { browser, page, button, typed } = pages[name]!
      const { action, fields } = formWith(page, button)
      const form = new URLSearchParams(fields)
      for (const [field, value] of Object.entries(typed)) form.set(field, value)
      forge(form)
      const before = await state()

      const reply = await browser.request('POST', action, { form, headers })

      expect(reply.status).toBe(403)
      expect(reply.headers.get('content-type')).toContain('text/html')
      expect(reply.text).toContain('This form has expired. Go back, reload the page and send it again.')
      expect(await state()).toEqual(before)
    },
  )
})

test('the form to sign out is bound to its session too', async () => {
  const page = await alice.open('/session/end')
  const { action, fields } = formsOf(page.text, page.url).find(({ fields }) => fields.has('xsrf'))!
  const xsrf = fields.get('xsrf')!
  const bob = new Browser(app.origin)
  await bob.signIn(world.bob)

  for (const form of [{ logout: 'yes' }, { logout: 'yes', xsrf: 'wrong' }] as Record<string, string>[]) {
    expect((await alice.request('POST', action, { form })).status).toBe(400)
  }
  expect((await bob.request('POST', action, { form: { logout: 'yes', xsrf } })).status).toBe(400)
  expect((await alice.open('/account')).text).toContain(world.alice.email)
})

test('the right forms do what they say, so that the refusals above mean something', async () => {
  for (const name of ['name', 'remove device', 'remove app']) {
    const { browser, page, button, typed } = pages[name]!
    expect((await browser.submit(page, button, typed)).status).toBe(303)
  }
  const { browser, page, button, typed } = pages.consent!
  expect((await browser.authorize((await browser.submit(page, button, typed)).next!)).next!.origin).toBe(
    new URL(world.spa.redirect_uri).origin,
  )
})

function rename(form: URLSearchParams, to: string): void {
  form.set(to, form.get('csrf')!)
  form.delete('csrf')
}

/** Everything that a form could change. */
async function state(): Promise<unknown> {
  const users = await many(database.db, sql`select * from users order by id`)
  const grants = await many(database.db, sql`select id, revoked_at from grants order by id`)
  const consents = await many(database.db, sql`select id, revoked_at, scopes from consents order by id`)
  const sessions = await many(database.db, sql`select uid, user_id from sessions order by uid`)
  const { rest } = await one<{ rest: unknown }>(
    database.db,
    sql`select json_build_array((select count(*) from audit_events), (select count(*) from tokens),
               (select count(*) from rate_limits), (select count(*) from provider_state where consumed_at is null)) as rest`,
  )
  return { users, grants, consents, sessions, rest }
}
