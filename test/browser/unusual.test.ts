// Pages that few people see, and then when something has gone wrong or was too much: at three widths, in a light and a dark room and
// in forced colours. `SCREENSHOTS=folder` keeps pictures.
import { randomUUID } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { Page } from 'playwright-core'
import { SYSTEM } from '../../src/base/audit-events.ts'
import { loadConfig } from '../../src/base/config.ts'
import { messages } from '../../src/core/mail/messages.ts'
import type { Mail } from '../../src/core/mail/outbox.ts'
import { setRole } from '../../src/core/users/roles.ts'
import { createSetupLink } from '../../src/core/users/setup-links.ts'
import { run, sql } from '../../src/db/pool.ts'
import { TooManyRequests } from '../../src/http/errors.ts'
import { changesOfPerson } from '../../src/protocol/guards.ts'
import { axe, contentWidth, screenshot } from '../support/browser.ts'
import type { App, Person } from '../support/flow.ts'
import {
  type BrowserFixture,
  press,
  read,
  signIn,
  startBrowserFixture,
  type Visit,
  visit,
} from './browser-fixture.ts'

const WIDTHS = [360, 768, 1280]
const LIGHTS = {
  light: { colorScheme: 'light', forcedColors: 'none' },
  dark: { colorScheme: 'dark', forcedColors: 'none' },
  forced: { colorScheme: 'dark', forcedColors: 'active' },
} as const
/** 100 characters without a place to break. */
const LONG = `Landscapecalendarspostcards${'andanniversaryphotobooks'.repeat(4)}`.slice(0, 100)
const GOING = `going.${LONG}`.slice(0, 100)
const STOPPED = `stopped.${LONG}`.slice(0, 100)
const LONG_API = `https://${'photographs.'.repeat(10)}example`
const MANY_API = 'https://many.example'

let fixture: BrowserFixture
let ada: Person
let jamie: Person
let max: Person
let desk: Visit
let device: App
let longApp: string
/** The job of each scope that is removed. */
const jobs: Record<string, string> = {}

beforeAll(async () => {
  fixture = await startBrowserFixture()
  const { server } = fixture
  const { db } = server
  ada = await server.person('Ada')
  jamie = await server.person('Jamie')
  max = await server.person('Max')
  await setRole(db, ada.id, 'admin', SYSTEM)
  await run(
    db,
    sql`update users set name = ${LONG}, email = ${`${LONG.slice(0, 60).toLowerCase()}@${'photography.'.repeat(8)}example`} where id = ${max.id}`,
  )
  await server.api({
    identifier: LONG_API,
    name: LONG,
    scopes: [
      { name: 'kept', sentence: 'Look at what is kept' },
      { name: GOING, sentence: LONG },
      { name: STOPPED, sentence: LONG },
    ],
  })
  await server.api({
    identifier: MANY_API,
    name: 'Many',
    scopes: Array.from({ length: 60 }, (_, i) => ({ name: `many.${i}`, sentence: `Do the thing ${i}` })),
  })
  for (const [i, { identifier, scope, state }] of [
    ...Array.from({ length: 40 }, (_, i) => ({
      identifier: MANY_API,
      scope: `many.${i}`,
      state: i % 3 === 0 ? 'failed' : 'running',
    })),
    { identifier: LONG_API, scope: GOING, state: 'running' },
    { identifier: LONG_API, scope: STOPPED, state: 'failed' },
    { identifier: 'https://photos.example', scope: 'prints.order', state: 'failed' },
    { identifier: 'https://photos.example', scope: 'photos.share', state: 'running' },
  ].entries()) {
    const id = randomUUID()
    await run(
      db,
      sql`insert into jobs (id, kind, params, actor, state, done, total, problem, created_at, finished_at, next_try_at)
          values (${id}, 'take_scope', ${JSON.stringify({ resource: identifier, scope })}, '{}', ${state}, 120500, 1000000,
                  ${state === 'failed' ? 'It stopped at an error; the log says which.' : null},
                  now() + make_interval(secs => ${i}::int), ${state === 'failed' ? new Date() : null}, now() + interval '1 day')`,
    )
    await run(
      db,
      sql`update resource_scopes set removed_at = now(), removal_job_id = ${id} where name = ${scope}`,
    )
    jobs[scope] = id
  }
  device = await fixture.app({
    type: 'device',
    name: 'Picture Frame',
    scopes: ['openid', 'photos.read'],
    redirect_uris: [],
    post_logout_redirect_uris: [],
  })
  longApp = (await fixture.app({ name: LONG.slice(0, 80), scopes: ['openid', 'photos.read'] })).id
  desk = await visit(fixture, { deviceScaleFactor: 1 })
})
afterAll(async () => {
  await desk?.[Symbol.asyncDispose]()
  await fixture?.close()
})

describe('the console, where a removal has failed', () => {
  beforeAll(async () => {
    await signedIn(ada, '/admin')
  })

  test.each([
    ['overview', () => '/admin', 'bulk removals have failed'],
    ['api', () => api('https://photos.example'), 'Go on'],
    ['api-long', () => api(LONG_API), 'Go on'],
    ['api-many', () => api(MANY_API), 'Go on'],
    [
      'api-go-on',
      () =>
        `${api('https://photos.example')}/scopes/${Buffer.from('prints.order').toString('base64url')}/remove`,
      'prints.order',
    ],
    [
      'api-go-on-long',
      () => `${api(LONG_API)}/scopes/${Buffer.from(STOPPED).toString('base64url')}/remove`,
      'stopped',
    ],
    ['jobs', () => '/admin/jobs', 'Failed'],
    ['job-failed', () => `/admin/jobs/${jobs['prints.order']}`, 'It stopped at an error'],
    ['app-long', () => `/admin/clients/${longApp}`, LONG.slice(0, 80)],
    ['users', () => '/admin/users', LONG],
  ])(
    '%s',
    async (name, path, words) => {
      await desk.page.goto(fixture.server.origin + path())
      await expectFine(desk.page, name, words)
    },
    120_000,
  )

  test('shows in forced colours how far a removal has come', async () => {
    const { page } = desk
    await page.goto(`${fixture.server.origin}/admin/jobs/${jobs['prints.order']}`)
    await page.emulateMedia(LIGHTS.forced)
    const border = 'getComputedStyle(document.querySelector("progress")).borderTopWidth'
    expect(await page.evaluate(border)).toBe('1px')
  })

  test('breaks no number in two', async () => {
    const { page } = desk
    await page.setViewportSize({ width: 768, height: 800 })
    await page.goto(`${fixture.server.origin}/admin/jobs`)
    // “120,500 of” and “1,000,000”.
    const tall = `[...document.querySelectorAll('td[data-label=Done]')].filter((cell) => {
      const range = document.createRange()
      range.selectNodeContents(cell)
      return range.getClientRects().length > 2
    }).length`
    expect(await page.evaluate(tall)).toBe(0)
  })

  test('a link for a new password that waits, and its withdrawal', async () => {
    const { page } = desk
    await page.goto(`${fixture.server.origin}/admin/users/${max.id}/send-reset`)
    await press(page, 'Make the link')
    await page.goto(`${fixture.server.origin}/admin/users/${max.id}`)
    await expectFine(page, 'user-with-link', 'Withdraw the link')
    await page.getByRole('link', { name: 'Withdraw the link' }).click()
    await expectFine(page, 'user-withdraw', 'Withdraw')
    await page.locator('main button').click()
    await expectFine(page, 'user-withdrawn', 'Send a link')
  })
})

test('a set-up link that was used: the page, and another form', async () => {
  await desk.context.clearCookies()
  const { db, origin } = fixture.server
  await run(db, sql`update users set role = 'user' where id = ${ada.id}`)
  const link = `${origin}/setup/${await createSetupLink(db)}`
  const tabs = [desk.page, await desk.context.newPage()] as const
  for (const [i, tab] of tabs.entries()) {
    await tab.goto(link)
    await tab.getByLabel('Name').fill('Root')
    await tab.getByLabel('Email').fill('root@example.com')
    await tab.getByLabel('Password').fill(`${i} dry umbrellas`)
  }
  for (const tab of tabs) await press(tab, 'Create the administrator')
  await expectFine(tabs[1], 'setup-other-again', 'This link is over')
  await tabs[1].goto(link)
  await expectFine(tabs[1], 'setup-used', 'This link is over')
  await tabs[1].close()
})

describe('too much at once', () => {
  test('of attempts to sign in', async () => {
    const stranger = await fixture.server.person('Stranger')
    const { page } = desk
    await desk.context.clearCookies()
    await page.goto(`${fixture.server.origin}/account`)
    for (let i = 0; i < 6; i++) await signIn(page, stranger, 'wrong password')
    await expectFine(page, 'sign-in-limited', 'Too many attempts to sign in')
  })

  test('of changes: on a form, and on the consent page', async () => {
    const kim = await fixture.server.person('Kim')
    const app = await fixture.app({ scopes: ['openid', 'profile', 'email', 'photos.read'] })
    await signedIn(kim, '/account')
    const { page } = desk
    await page.goto((await app.begin()).url.href)
    const changes = changesOfPerson(fixture.server.db)
    await expect(
      (async () => {
        for (let i = 0; i < 100; i++) await changes.count(kim.id)
      })(),
    ).rejects.toThrow(TooManyRequests)
    await press(page, 'Allow')
    await expectFine(page, 'consent-limited', 'You have changed a lot')
    // What is ticked is a picture otherwise, in a colour that forced colours do not know.
    await page.emulateMedia(LIGHTS.forced)
    const box = 'getComputedStyle(document.querySelector("[type=checkbox]")).appearance'
    expect(await page.evaluate(box)).toBe('auto')
    await page.goto(`${fixture.server.origin}/account`)
    await page.getByLabel('Name').fill('Somebody else')
    await press(page, 'Save name')
    await expectFine(page, 'changes-limited', 'Please wait a little')
  })
})

test('a device, whose page asks to sign in again', async () => {
  await signedIn(jamie, '/account')
  const { page } = desk
  const { body } = await device.post('/device_authorization', { scope: 'openid', prompt: 'login' })
  await page.goto(`${fixture.server.origin}/device?user_code=${body.user_code}`)
  await press(page, 'Continue')
  await expectFine(page, 'device-confirm', 'Connect Picture Frame?')
  await press(page, 'Continue')
  await expectFine(page, 'device-sign-in-again', 'to continue to Picture Frame')
  await signIn(page, jamie)
  await expectFine(page, 'device-consent', 'Picture Frame wants access')
})

describe('a mail', () => {
  const { brand } = loadConfig({ SUPPORT_ADDRESS: 'help@id.example', DATA_DIR: '/tmp' })
  const write = messages(brand, 'https://id.example.com')
  const to = 'jamie@example.com'
  const mails: Record<string, [Mail, string?]> = {
    'mail-summary': [
      {
        to,
        kind: 'more_notices',
        params: {
          name: 'Jamie',
          counts: {
            owner_came: 3,
            owner_gone: 1,
            verification_fell: 2,
            'account_changed:own_password': 4,
            'account_changed:made_user': 2,
            'account_changed:disabled': 1,
            'person_changed:password': 12,
            'person_changed:disabled': 2,
            'person_changed:signed_out': 1,
          },
        },
      },
    ],
    'mail-invitation': [
      {
        to,
        kind: 'owner_invitation',
        params: {
          invitation_id: 'x',
          client_id: 'y',
          client_name: LONG,
          inviter_name: LONG,
          inviter_email: to,
        },
      },
      'https://id.example.com/developer/invitation#vk_in_abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz',
    ],
    'mail-reset': [
      { to, kind: 'password_reset', params: { name: 'Jamie', user_id: 'x' } },
      'https://id.example.com/reset/vk_in_abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz',
    ],
    'mail-owner': [
      {
        to,
        kind: 'owner_came',
        params: { name: 'Jamie', client_id: 'x', client_name: LONG, person: LONG, by: 'Ada', is_last: true },
      },
    ],
  }
  test.each(Object.keys(mails))(
    '%s',
    async (name) => {
      const [mail, link] = mails[name]!
      await desk.page.goto('about:blank')
      await desk.page.setContent(write(mail, link).html)
      await expectFine(desk.page, name, 'Valetkey', ['color-contrast', 'target-size'])
    },
    60_000,
  )
})

function api(identifier: string): string {
  return `/admin/apis/${Buffer.from(identifier).toString('base64url')}`
}

async function signedIn(person: Person, path: string, password?: string): Promise<void> {
  await desk.context.clearCookies()
  await desk.page.goto(fixture.server.origin + path)
  await signIn(desk.page, person, password)
}

/** Looks at the page as it stands. @param rules those of axe-core that hold; without them all do */
async function expectFine(page: Page, name: string, words: string, rules?: string[]): Promise<void> {
  expect(await read(page)).toContain(words)
  for (const [light, media] of Object.entries(LIGHTS)) {
    await page.emulateMedia(media)
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: 800 })
      const where = `${name}-${light}-${width}`
      expect([where, await contentWidth(page)]).toEqual([where, width])
      if (process.env.SCREENSHOTS) {
        await mkdir(process.env.SCREENSHOTS, { recursive: true })
        await screenshot(page, join(process.env.SCREENSHOTS, `${where}.png`))
      }
    }
    // Forced colours are the browser's own.
    if (light === 'forced') continue
    await page.setViewportSize({ width: WIDTHS[0]!, height: 800 })
    expect([name, await axe(page, light === 'light' ? rules : ['color-contrast'])]).toEqual([name, []])
  }
  expect([name, desk.complaints.splice(0)]).toEqual([name, []])
}
