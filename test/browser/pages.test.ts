// Every page and each of its states, as people get to them, in a light and a dark room, on a phone and on a desk: nothing that
// axe-core finds, nothing that scrolls sideways, nothing the browser complains of. `SCREENSHOTS=folder` keeps pictures.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { Page } from 'playwright-core'
import { SYSTEM } from '../../src/base/audit-events.ts'
import { recordAll } from '../../src/core/audit/store.ts'
import { suspendClient } from '../../src/core/clients/lifecycle.ts'
import { giveConsent } from '../../src/core/grants/consents.ts'
import { createSetupLink } from '../../src/core/users/setup-links.ts'
import { setPassword } from '../../src/core/users/sign-in.ts'
import { run, sql } from '../../src/db/pool.ts'
import { axe, contentWidth, screenshot } from '../support/browser.ts'
import type { App, Person } from '../support/flow.ts'
import {
  type BrowserFixture,
  heading,
  press,
  read,
  signIn,
  startBrowserFixture,
  type Visit,
  visit,
} from './browser-fixture.ts'

const SIZES = { phone: { width: 360, height: 740 }, desk: { width: 1180, height: 860 } }
const SCHEMES = ['light', 'dark'] as const
const PLACES = ['target-size', 'color-contrast', 'scrollable-region-focusable']
const ALL = 'openid profile email offline_access photos.read photos.share prints.order'
const LONG_NAME = 'Landscape Calendars, Postcards & Anniversary Photobooks for the Whole Family Ltd'
const LONG_EMAIL =
  'maximiliane-alexandrina.von-und-zu-hohenlohe-waldenburg@photography.department.example.com'

let fixture: BrowserFixture
let app: App
let jamie: Person
let here: Visit

beforeAll(async () => {
  fixture = await startBrowserFixture()
  app = await fixture.app({ scopes: ALL.split(' ') })
  jamie = await fixture.server.person('Jamie')
  here = await visit(fixture, { deviceScaleFactor: 1 })
})
afterAll(async () => {
  await here?.[Symbol.asyncDispose]()
  await fixture?.close()
})

describe('signing in', () => {
  test('the page', async () => {
    const page = await freshPage()
    await page.goto((await app.begin()).url.href)
    await expectFine(page, 'sign-in', 'Photo Printer never sees your password')
  })

  test('to the account', async () => {
    const page = await freshPage()
    await page.goto(`${fixture.server.origin}/account/apps`)
    await expectFine(page, 'sign-in-account', 'Sign in')
  })

  test('with nothing filled in', async () => {
    const page = await freshPage()
    await page.goto((await app.begin()).url.href)
    await press(page, 'Sign in')
    await expectFine(page, 'sign-in-empty', 'Enter your password')
    expect(await page.title()).toMatch(/^Error: /)
  })

  test('with a wrong password, and then too often', async () => {
    const stranger = await fixture.server.person('Stranger')
    const page = await freshPage()
    await page.goto((await app.begin()).url.href)
    await signIn(page, stranger, 'wrong password')
    await expectFine(page, 'sign-in-wrong', 'do not fit together')
    expect(await page.getByLabel('Email').inputValue()).toBe(stranger.email)

    for (let i = 0; i < 5; i++) await signIn(page, stranger, 'wrong password')
    await expectFine(page, 'sign-in-limited', /Too many attempts to sign in\. Try again in 1\d minutes/)
  })
})

describe('who goes on', () => {
  test('is chosen, where the app asks for that', async () => {
    const page = await signedIn(await fixture.server.person(LONG_NAME))
    await page.goto((await app.begin({ prompt: 'select_account' })).url.href)
    await expectFine(page, 'select-account', 'Choose an account')
    await page.getByRole('button', { name: 'Continue as' }).press('Enter')
    expect(await heading(page)).toContain('wants access')
  })

  test('sees where an error of a self-registered app would take them', async () => {
    const own = await fixture.app({ name: LONG_NAME })
    await run(fixture.server.db, sql`update clients set registered_by = 'itself' where id = ${own.id}`)
    const page = await freshPage()
    await page.goto((await own.begin({ prompt: 'none', response_mode: 'form_post' })).url.href)
    here.complaints.length = 0
    await expectFine(page, 'leaving-form', 'could not sign you in')
  })
})

describe('deciding about an app', () => {
  test('that says what it does with data, and on which terms; Enter on a box is no decision', async () => {
    const robin = await fixture.server.person('Robin')
    const pages = { policy_uri: 'https://printer.example/privacy', tos_uri: 'https://printer.example/terms' }
    const careful = await fixture.app({ name: LONG_NAME, ...pages })
    const page = await freshPage()
    await page.goto((await careful.begin({ scope: 'openid photos.read photos.share' })).url.href)
    await signIn(page, robin)
    await expectFine(page, 'consent-terms', 'says itself: privacy policy')
    await page.locator('input[value="photos.share"]').uncheck()
    await page.getByLabel('Keep access').selectOption('day')

    await page.locator('input[value="photos.read"]').press('Enter')

    await expectFine(page, 'consent-enter', 'Nothing is decided yet')
    expect(await page.isChecked('input[value="photos.read"]')).toBe(true)
    expect(await page.isChecked('input[value="photos.share"]')).toBe(false)
    expect(await page.getByLabel('Keep access').inputValue()).toBe('day')
    await press(page, 'Allow')
    expect(new URL(page.url()).searchParams.has('code')).toBe(true)
  })

  test('that asks for the first time', async () => {
    const page = await freshPage()
    await page.goto((await app.begin({ scope: ALL, prompt: 'consent' })).url.href)
    await signIn(page, jamie)
    await expectFine(page, 'consent', 'Photo Printer wants access to your account')
    expect(await read(page)).toContain(`You will go to ${new URL(fixture.site).host}.`)
    expect(await page.isChecked('input[value="photos.read"]')).toBe(true)
    expect(await page.isChecked('input[value="prints.order"]')).toBe(false)
  })

  test('that asks for more than before', async () => {
    const page = await freshPage()
    const robin = await fixture.server.person('Robin')
    await page.goto((await app.begin({ scope: 'openid photos.read' })).url.href)
    await signIn(page, robin)
    await press(page, 'Allow')
    await page.goto((await app.begin({ scope: 'openid photos.read photos.share' })).url.href)
    await expectFine(page, 'consent-new', 'New')
  })

  test('with nothing ticked', async () => {
    const page = await freshPage()
    const sam = await fixture.server.person('Sam')
    await page.goto((await app.begin({ scope: 'photos.read', nonce: undefined })).url.href)
    await signIn(page, sam)
    await page.uncheck('input[value="photos.read"]')
    await press(page, 'Allow')
    await expectFine(page, 'consent-nothing', 'Tick at least one thing')
    expect(await page.title()).toMatch(/^Error: /)
  })

  test('with a long name, a logo and a long address of the person', async () => {
    await here.context.route('https://logo.example/**', (route) =>
      route.fulfill({ contentType: 'image/svg+xml', body: LOGO }),
    )
    const long = await fixture.app({
      name: LONG_NAME,
      logo_uri: 'https://logo.example/logo.svg',
      redirect_uris: [
        'https://calendars-and-postcards.customers.photography.department.example.com/callback',
      ],
    })
    const max = await fixture.server.person('Maximiliane')
    await run(fixture.server.db, sql`update users set email = ${LONG_EMAIL} where id = ${max.id}`)
    const page = await freshPage()
    await page.goto((await long.begin({ login_hint: LONG_EMAIL })).url.href)
    await expectFine(page, 'sign-in-long', LONG_NAME)
    await page.getByLabel('Password').fill('five wet umbrellas')
    await press(page, 'Sign in')
    await expectFine(page, 'consent-long', LONG_EMAIL)
  })

  test.each([
    ['by a scheme of its own', 'com.example.slideshow:/callback'],
    ['on a port of its own choice', 'http://127.0.0.1/callback'],
  ])('on the device itself, reached %s', async (_, redirect_uri) => {
    const native = await fixture.app({
      name: 'Slideshow',
      type: 'native',
      redirect_uris: [redirect_uri],
      homepage_uri: undefined,
    })
    const page = await freshPage()
    await page.goto((await native.begin({ scope: 'openid photos.read' })).url.href)
    await signIn(page, jamie)
    await expectFine(page, 'consent-native', 'You will go to an app on this device')
  })
})

describe('what is over', () => {
  test('a decision that was taken', async () => {
    const page = await freshPage()
    const kim = await fixture.server.person('Kim')
    await page.goto((await app.begin()).url.href)
    await signIn(page, kim)
    const consent = page.url()
    await press(page, 'Allow')
    await page.goto(consent)
    await expectFine(page, 'over', 'go back to it')
  })

  test('an address nobody knows', async () => {
    const page = await freshPage()
    await page.goto(`${fixture.server.origin}/interaction/nothing-known-here`)
    await expectFine(page, 'expired', 'This page has expired')
  })

  test('an address where nothing is', async () => {
    const page = await freshPage()
    await page.goto(`${fixture.server.origin}/nothing/here`)
    await expectFine(page, 'not-found', 'There is nothing here')
  })

  test('a request that an app got wrong', async () => {
    const page = await freshPage()
    await page.goto((await app.begin({ redirect_uri: 'https://elsewhere.example/callback' })).url.href)
    await expectFine(page, 'bad-request', 'The app that brought you here')
  })
})

describe('signing out', () => {
  test('asks, and says that it was done', async () => {
    const page = await signedIn(jamie)
    await page.goto(`${fixture.server.origin}/session/end`)
    await expectFine(page, 'sign-out', 'Apps keep the access you gave them')
    await press(page, 'Stay signed in')
    await expectFine(page, 'sign-out-stay', 'You are still signed in')
    await page.goto(`${fixture.server.origin}/session/end`)
    await press(page, 'Sign out')
    await expectFine(page, 'signed-out', 'You are signed out')
  })
})

describe('the account', () => {
  test('the profile, with errors and with what was done', async () => {
    const alex = await fixture.server.person('Alex')
    const page = await signedIn(alex, '/account')
    await expectFine(page, 'profile', 'Your name and email address')

    await page.getByLabel('Name').fill('')
    await press(page, 'Save name')
    await expectFine(page, 'profile-name-error', 'Enter your name')
    await page.getByLabel('Current password').fill('wrong')
    await page.getByLabel('New password').fill('short')
    await press(page, 'Change password')
    await expectFine(page, 'profile-password-error', 'Use at least 8 characters')
    await page.getByLabel('Current password').fill('wrong password')
    await page.getByLabel('New password').fill('six dry umbrellas')
    await press(page, 'Change password')
    await expectFine(page, 'profile-password-wrong', 'That is not your current password')
    await page.getByLabel('Current password').fill('five wet umbrellas')
    await page.getByLabel('New password').fill('six dry umbrellas')
    await press(page, 'Change password')
    await expectFine(page, 'profile-done', 'Your password was changed')
  })

  test('without any app', async () => {
    const page = await signedIn(await fixture.server.person('Toni'))
    await expectFine(page, 'apps-empty', 'No app has access to your account')
  })

  test('with many apps: looking at them, and removing a device, an app and all', async () => {
    const robin = await fixture.server.person('Robin')
    await allowApps(robin)
    const page = await signedIn(robin)
    await page.goto((await app.begin()).url.href)
    await press(page, 'Allow')
    await page.goto(`${fixture.server.origin}/account/apps`)
    await expectFine(page, 'apps', 'Unused for')
    for (const details of await page.locator('details > summary').all()) await details.click()
    await expectFine(page, 'apps-open', 'This device')

    await page.getByRole('link', { name: 'Remove Safari on iPhone from Notes for Mac' }).click()
    await expectFine(page, 'remove-device', 'On your other devices it goes on')
    await press(page, 'Remove this device')
    await expectFine(page, 'removed-device', 'Notes for Mac has no access on Safari on iPhone any more')

    await page
      .getByRole('article', { name: 'Notes for Mac' })
      .getByRole('link', { name: 'Remove access' })
      .click()
    await expectFine(page, 'remove-app', 'What stays as it is')
    await press(page, 'Remove access')
    await expectFine(page, 'removed-app', 'Notes for Mac has no access any more')

    await page.getByRole('link', { name: 'Remove all' }).click()
    await expectFine(page, 'remove-all', 'Remove access for all')
    await press(page, 'Remove all')
    await expectFine(page, 'removed-all', 'No app has access to your account any more')
    await page.goto(`${fixture.server.origin}/account/apps/${app.id}/remove`)
    await expectFine(page, 'remove-gone', 'That app has no access to your account')
    expect(await heading(page)).toBe('Apps with access')
  })

  test('what happened to it', async () => {
    const robin = await fixture.server.person('Chris')
    await live(robin)
    const page = await signedIn(robin, '/account/activity')
    await expectFine(page, 'activity', 'We ended a connection of Photo Printer to protect you')
  })
})

describe('setting up', () => {
  test('the page, and what may be wrong with it', async () => {
    const page = await freshPage()
    await page.goto(`${fixture.server.origin}/setup/${await createSetupLink(fixture.server.db)}`)
    await expectFine(page, 'setup', 'Create the first administrator')
    await page.getByLabel('Email').fill('not an address')
    await page.getByLabel('Password').fill('password')
    await press(page, 'Create the administrator')
    await expectFine(page, 'setup-error', 'Too many people use this password')
    await page.goto(`${fixture.server.origin}/setup/used-already`)
    await expectFine(page, 'setup-over', 'This link was used already')
  })
})

const LOGO = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 96 48"><rect width="96" height="48" fill="#e0e6ff"/>
<circle cx="48" cy="24" r="18" fill="#7a4a2b"/></svg>`

/** The one page of all these tests, as if it had never been here. */
async function freshPage(): Promise<Page> {
  await here.context.clearCookies()
  here.complaints.length = 0
  return here.page
}

async function signedIn(person: Person, path = '/account/apps'): Promise<Page> {
  const page = await freshPage()
  await page.goto(fixture.server.origin + path)
  await signIn(page, person)
  return page
}

/** Looks at the page as it stands, in both schemes and both sizes. */
async function expectFine(page: Page, name: string, words: string | RegExp): Promise<void> {
  for (const [size, viewport] of Object.entries(SIZES)) {
    await page.setViewportSize(viewport)
    const overflow = (await contentWidth(page)) - viewport.width
    expect({ name, size, overflow }).toEqual({ name, size, overflow: 0 })
    for (const colorScheme of SCHEMES) {
      await page.emulateMedia({ colorScheme })
      const label = `${name} ${size} ${colorScheme}`
      if (process.env.SCREENSHOTS) {
        await mkdir(process.env.SCREENSHOTS, { recursive: true })
        await screenshot(page, join(process.env.SCREENSHOTS, `${label.replaceAll(' ', '-')}.png`))
      }
      // What is on the page is the same everywhere: the dark changes colours, the desk changes places.
      if (size === 'desk' && colorScheme === 'dark') continue
      const only = size === 'desk' ? PLACES : colorScheme === 'dark' ? ['color-contrast'] : undefined
      expect({ label, violations: await axe(page, only) }).toEqual({ label, violations: [] })
    }
  }
  const text = await read(page)
  expect(text).toMatch(words)
  // What is for the makers of an app speaks their language; all else is in the words of people.
  const [forPeople] = text.split('For the makers of the app')
  expect(forPeople).not.toMatch(/\b(tokens?|scopes?|grants?|clients?|authori[sz]e[sd]?)\b/i)
  expect({ name, complaints: here.complaints }).toEqual({ name, complaints: [] })
}

/** Apps as a person collects them in a few years. */
async function allowApps(person: Person): Promise<void> {
  const { db } = fixture.server
  const collected = [
    {
      name: 'Photo Printer',
      scopes: 'openid profile email photos.read',
      host: 'photoprinter.example',
      days: [0],
    },
    {
      name: 'Notes for Mac',
      scopes: 'openid email photos.read photos.share',
      host: 'notes.example',
      days: [1, 3, 40],
    },
    { name: 'Budget Bot', scopes: 'photos.read', host: 'budget.example', days: [214], ends: 200 },
    { name: LONG_NAME, scopes: ALL, host: `calendars.${'very-'.repeat(12)}long.example`, days: [12, 13] },
    { name: 'Old Importer', scopes: 'openid photos.read', host: 'importer.example', days: [30] },
    { name: 'Screensaver', scopes: 'openid offline_access', host: 'screensaver.example', days: [] },
  ]
  const devices = ['Safari on iPhone', 'Chrome on Windows', 'Firefox on Linux']
  for (const { name, scopes, host, days, ends } of collected) {
    const { id } = await fixture.app({
      name,
      scopes: ALL.split(' '),
      homepage_uri: `https://${host}`,
      redirect_uris: [`https://${host}/callback`],
    })
    if (name === 'Notes for Mac') await run(db, sql`update clients set verified_at = now() where id = ${id}`)
    if (name === 'Old Importer') await suspendClient(db, id, SYSTEM)
    for (const [i, ago] of (days.length > 0 ? days : [0]).entries()) {
      const grant = await giveConsent(
        db,
        {
          user_id: person.id,
          client: { id, name, host },
          scopes: scopes.split(' '),
          rejected_scopes: [],
          expires_at: ends ? new Date(Date.now() + ends * 86_400_000) : null,
          granted: {},
          device: { id: `session-${i}`, name: devices[i]! },
        },
        SYSTEM,
      )
      await run(
        db,
        sql`update grants set last_used_at = now() - make_interval(days => ${ago}), expires_at = now() + interval '30 days',
                   created_at = now() - make_interval(days => ${ago + 10}), revoked_at = ${days.length > 0 ? null : new Date()}
            where id = ${grant}`,
      )
      await run(
        db,
        sql`update consents set created_at = now() - make_interval(days => ${ago + 10})
            where user_id = ${person.id} and client_id = ${id}`,
      )
    }
  }
}

/** Everything that may happen to an account. */
async function live(person: Person): Promise<void> {
  const { db } = fixture.server
  const of = { user_id: person.id, client_id: app.id }
  await setPassword(db, person.id, 'five wet umbrellas', SYSTEM)
  await recordAll(
    db,
    [
      { type: 'user.disabled', user_id: person.id },
      { type: 'user.enabled', user_id: person.id },
      { type: 'user.renamed', user_id: person.id },
      { type: 'sign_in.failed', ...of, reason: 'wrong_password' },
      { type: 'sign_in.limited', user_id: person.id },
      { type: 'sign_in.succeeded', ...of },
      { type: 'consent.given', ...of, scopes: ['openid'], rejected_scopes: [] },
      { type: 'consent.refused', ...of },
      { type: 'token.reuse_detected', ...of, grant_id: 'x', kind: 'refresh_token' },
      { type: 'grant.revoked', ...of, grant_id: 'x', reason: 'removed_by_user' },
      { type: 'grant.revoked', ...of, grant_id: 'x', reason: 'revoked_by_client' },
      { type: 'grant.revoked', ...of, grant_id: 'x', reason: 'revoked_by_admin' },
      { type: 'grant.revoked', ...of, grant_id: 'x', reason: 'replay' },
      { type: 'app.removed', ...of, grants: 3 },
      { type: 'sign_out', user_id: person.id },
    ],
    {
      type: 'user',
      id: person.id,
      ip: '2001:db8:85a3:8d3:1319:8a2e:370:7348',
      user_agent:
        'Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) Version/19.1 Mobile/15E148 Safari/604.1',
    },
  )
}
