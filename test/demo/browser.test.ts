// The demo in a real browser, with and without JavaScript: sign in, allow, use, remove, really over.
// The pictures that the README shows are taken here.
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { Browser, Page } from 'playwright-core'
import { PEOPLE } from '../../demo/seed.ts'
import { axe, contentWidth, openBrowser, screenshot } from '../support/browser.ts'
import { type DemoProcess, startDemoProcess } from './process.ts'

const IMAGES = fileURLToPath(new URL('../../docs/images/', import.meta.url))
const { person } = PEOPLE

let demo: DemoProcess
let slideshow: string
let browser: Browser

beforeAll(async () => {
  demo = await startDemoProcess()
  slideshow = (await demo.printed(/(http:\S+) +\(Slideshow TV\)[\s\S]*Ctrl-C/))[1]!
  browser = await openBrowser()
})

afterAll(async () => {
  await browser?.close()
  demo?.process.kill('SIGINT')
  await demo?.ended()
})

describe.each([
  ['with JavaScript', true],
  ['without JavaScript', false],
])('in a browser %s', (_, javaScriptEnabled) => {
  test('an app is allowed, used, removed, and its access is over at once', async () => {
    await using visit = await openPage({ javaScriptEnabled })
    const { page } = visit

    await signIn(page)
    expect(await page.isChecked('input[value="photos.read"]')).toBe(true)
    expect(await page.isChecked('input[value="prints.order"]')).toBe(false)
    await press(page, 'Allow')

    expect(new URL(page.url()).origin).toBe(demo.app)
    expect(await read(page)).toContain(person.name)
    expect(await read(page)).toContain(person.email)
    expect(await page.locator('.photos img').count()).toBe(6)

    await removeFromAccount(page, 'Photo Printer')
    expect(await read(page)).toContain('No app has access to your account')

    await page.goto(demo.app)
    await press(page, 'Reload photos')
    expect(await read(page)).toContain('Your access was removed')
    expect(await read(page)).toContain('Valetkey said invalid_grant. Sign in again to reconnect.')
    expect(await page.locator('.photos img').count()).toBe(0)
  })

  test('renewing is refused, too, and signing in again asks again', async () => {
    await using visit = await openPage({ javaScriptEnabled })
    const { page } = visit
    await signIn(page)
    await press(page, 'Allow')
    await press(page, 'Refresh access now')
    expect(await read(page)).toContain('Access was renewed')

    await removeFromAccount(page, 'Photo Printer')
    await page.goto(demo.app)
    await press(page, 'Refresh access now')

    expect(await read(page)).toContain('Valetkey said invalid_grant. Sign in again to reconnect.')
    await page.getByRole('link', { name: 'Sign in with Valetkey' }).click()
    expect(await read(page)).toContain('Photo Printer wants access to your account')
  })

  test('what is not allowed is not done, and can be allowed later', async () => {
    await using visit = await openPage({ javaScriptEnabled })
    const { page } = visit
    await signIn(page)
    await press(page, 'Allow')
    await press(page, 'Print Pine ridge')
    expect(await read(page)).toContain('We may not order prints for you')

    await page.getByRole('link', { name: 'ask me again' }).click()
    await page.getByText('Order prints for you').click()
    await press(page, 'Allow')
    await press(page, 'Print Pine ridge')

    expect(await read(page)).toContain('“Pine ridge” is being printed')
  })

  test('who only signs in is known by name, and no photo is shown', async () => {
    await using visit = await openPage({ javaScriptEnabled })
    const { page } = visit
    await signIn(page)

    await page.getByText('Look at your photos').click()
    await press(page, 'Allow')

    expect(await read(page)).toContain('We may not look at your photos')
    expect(await read(page)).toContain(person.name)
    expect(await read(page)).toContain(person.email)
    expect(await page.locator('.photos img').count()).toBe(0)
  })

  test('a person who does not allow it goes back to the app, which gets nothing', async () => {
    await using visit = await openPage({ javaScriptEnabled })
    const { page } = visit
    await signIn(page)

    await press(page, 'Don’t allow')

    expect(new URL(page.url()).origin).toBe(demo.app)
    expect(await read(page)).toContain('You did not allow it')
    expect(await read(page)).not.toContain(person.email)
  })

  test('signing out of the app leads through Valetkey and back', async () => {
    await using visit = await openPage({ javaScriptEnabled })
    const { page } = visit
    await signIn(page)
    await press(page, 'Allow')

    await press(page, 'Sign out')
    expect(await read(page)).toContain('Sign out of Valetkey?')
    await press(page, 'Sign out')

    expect(page.url()).toBe(`${demo.app}/`)
    await page.getByRole('link', { name: 'Sign in with Valetkey' }).click()
    expect(await page.getByLabel('Password').count()).toBe(1)
  })
})

test('the second app, on a port of its own choice, stands beside the first and is removed alone', async () => {
  await using visit = await openPage({ deviceScaleFactor: 2, colorScheme: 'light' })
  const { page } = visit
  await page.setViewportSize({ width: 640, height: 720 })
  await signIn(page)
  expect(await read(page)).toContain('Photo Printer wants access to your account')
  await picture(page, 'consent')
  await press(page, 'Allow')
  await page.goto(slideshow)
  await page.getByRole('link', { name: 'Connect with Valetkey' }).click()
  await press(page, 'Allow')
  expect(await page.locator('figure').count()).toBe(6)

  await page.setViewportSize({ width: 1180, height: 700 })
  await page.goto(`${demo.valetkey}/account/apps`)
  expect(await page.getByRole('article').count()).toBe(2)
  await picture(page, 'apps')
  await removeFromAccount(page, 'Slideshow TV')

  await page.goto(slideshow)
  expect(await read(page)).toContain('access was removed: Valetkey said invalid_grant')
  await page.goto(demo.app)
  await press(page, 'Reload photos')
  expect(await read(page)).toContain('Your photos are up to date')
})

test.each(['light', 'dark'] as const)(
  'the sample app is accessible and fits a phone in a %s room',
  async (colorScheme) => {
    await using visit = await openPage({
      colorScheme,
      bypassCSP: true,
      viewport: { width: 360, height: 740 },
    })
    const { page } = visit
    await page.goto(demo.app)
    expect(await axe(page)).toEqual([])

    await signIn(page)
    await press(page, 'Allow')

    expect(await axe(page)).toEqual([])
    expect(await contentWidth(page)).toBe(360)
  },
)

test('the sample app refuses forms of other sites and answers to sign-ins it did not begin', async () => {
  const form = await fetch(`${demo.app}/refresh`, { method: 'POST', headers: { Origin: demo.api } })
  expect(form.status).toBe(403)

  const forged = await fetch(`${demo.app}/callback?code=vk_ac_forged&state=forged`, { redirect: 'manual' })
  expect(forged.status).toBe(303)
  const cookie = forged.headers.getSetCookie()[0]!.split(';')[0]!
  const page = await fetch(demo.app, { headers: { Cookie: cookie } })
  expect(await page.text()).toContain('That sign-in is over')
})

test('the API refuses calls without a token and with a made-up one', async () => {
  const without = await fetch(`${demo.api}/photos`)
  expect(without.status).toBe(401)
  expect(without.headers.get('www-authenticate')).toBe('Bearer')

  const madeUp = await fetch(`${demo.api}/photos`, { headers: { Authorization: 'Bearer vk_at_made_up' } })
  expect(madeUp.status).toBe(401)
  expect(madeUp.headers.get('www-authenticate')).toBe('Bearer error="invalid_token"')
})

interface Visit extends AsyncDisposable {
  page: Page
}

/** A browser of one person. At the end all apps are removed, so that the next test begins with none. */
async function openPage(options: Parameters<Browser['newContext']>[0]): Promise<Visit> {
  const context = await browser.newContext(options)
  context.setDefaultTimeout(15_000)
  const page = await context.newPage()
  return {
    page,
    [Symbol.asyncDispose]: async () => {
      await page.goto(`${demo.valetkey}/account/apps`)
      if (await page.getByLabel('Password').count()) await enterPassword(page)
      for (const app of await page.getByRole('article').getByRole('heading').allInnerTexts()) {
        await removeFromAccount(page, app)
      }
      await context.close()
    },
  }
}

async function signIn(page: Page): Promise<void> {
  await page.goto(demo.app)
  await page.getByRole('link', { name: 'Sign in with Valetkey' }).click()
  await enterPassword(page)
}

async function enterPassword(page: Page): Promise<void> {
  await page.getByLabel('Email').fill(person.email)
  await page.getByLabel('Password').fill(person.password)
  await press(page, 'Sign in')
}

async function removeFromAccount(page: Page, app: string): Promise<void> {
  await page.goto(`${demo.valetkey}/account/apps`)
  const entry = page.getByRole('article', { name: app })
  await entry.getByRole('link', { name: 'Remove access' }).click()
  await page.getByRole('button', { name: 'Remove access' }).click()
  expect(new URL(page.url()).pathname).toBe('/account/apps')
}

async function press(page: Page, name: string): Promise<void> {
  try {
    await page.getByRole('button', { name, exact: true }).click()
  } catch (cause) {
    throw new Error(`no “${name}” at ${page.url()}:\n${await read(page)}`, { cause })
  }
}

/** What a person can see of the page. */
function read(page: Page): Promise<string> {
  // biome-ignore lint/performance/useDomNodeTextContent: hidden text is not seen by anybody
  return page.locator('body').innerText()
}

/** Takes a picture for the documents, where it is missing or `UPDATE_IMAGES=1` asks for it. */
async function picture(page: Page, name: string): Promise<void> {
  const path = `${IMAGES}${name}.png`
  if (existsSync(path) && !process.env.UPDATE_IMAGES) return
  await mkdir(IMAGES, { recursive: true })
  // A reader's demo stands on the usual port, and each run on the same: the picture changes when the page does.
  await page.evaluate(`for (const element of document.querySelectorAll('p, span, strong')) {
    for (const node of element.childNodes) {
      if (node.nodeType === 3) node.data = node.data.replace(${JSON.stringify(new URL(demo.app).host)}, 'localhost:4000')
    }
  }`)
  await screenshot(page, path)
}
