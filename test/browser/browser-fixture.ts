// What the browser tests share: a server, a site of an app on another origin, and visits in a real Chromium that collect the errors and
// warnings of the browser.
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core'
import type { ClientInput } from '../../src/core/clients/fields.ts'
import { openBrowser } from '../support/browser.ts'
import { type App, PASSWORD, type Person, type ServerFixture, startServerFixture } from '../support/flow.ts'
import { PATIENCE_MS } from '../support/patience.ts'
import { freePort } from '../support/server.ts'

/** A server, a browser, and the site of an app. */
export interface BrowserFixture {
  server: ServerFixture
  browser: Browser
  /** The origin of the app's own pages, `http://localhost:…`. Every address answers with a page that shows its path. */
  site: string
  /** Registers an app whose callback is on `site`; `Photo Printer` by default. */
  app(input?: Partial<ClientInput>): Promise<App>
  close(): Promise<void>
}

/** Starts them. @param page the answer of `site` to a path; undefined for its usual page @param env of the server */
export async function startBrowserFixture(
  page: (url: URL) => Answer | undefined = () => undefined,
  env?: Record<string, string>,
): Promise<BrowserFixture> {
  const [server, browser, site] = await Promise.all([startServerFixture(env), openBrowser(), serveSite(page)])
  return {
    server,
    browser,
    site: site.origin,
    app: (input) =>
      server.app({
        redirect_uris: [`${site.origin}/callback`],
        post_logout_redirect_uris: [`${site.origin}/bye`],
        homepage_uri: site.origin,
        ...input,
      }),
    async close() {
      await browser.close()
      await site.stop()
      await server.stop()
    },
  }
}

/** The answer of a site: a page, or a redirect. */
export interface Answer {
  html?: string
  location?: string
}

/** Serves a site of a third party. @returns its origin under `localhost`; browsers take 127.0.0.1 for another site */
export async function serveSite(page: (url: URL) => Answer | undefined) {
  const port = await freePort()
  const origin = `http://localhost:${port}`
  const listener = createServer((req, res) => {
    const url = new URL(req.url!, `http://${req.headers.host}`)
    const { html, location } = page(url) ?? { html: `<h1>Photo Printer</h1><p>${url.pathname}</p>` }
    res.writeHead(location ? 303 : 200, {
      'Content-Type': 'text/html; charset=utf-8',
      ...(location && { Location: location }),
    })
    res.end(`<!doctype html><html lang="en"><title>App</title><link rel="icon" href="data:,">${html ?? ''}`)
  }).listen(port, '127.0.0.1')
  await once(listener, 'listening')
  return {
    origin,
    async stop() {
      listener.closeAllConnections()
      listener.close()
      await once(listener, 'close')
    },
  }
}

/** A separate browser context with one open page. */
export interface Visit extends AsyncDisposable {
  context: BrowserContext
  page: Page
  /** Errors and warnings on any of its pages: of scripts, of policies, and answers of 5xx. */
  complaints: string[]
}

/** Opens a browser context without cookies. */
export async function visit(
  { browser }: BrowserFixture,
  options: BrowserContextOptions = {},
): Promise<Visit> {
  const context = await browser.newContext(options)
  context.setDefaultTimeout(PATIENCE_MS)
  const complaints: string[] = []
  context.on('weberror', (error) => complaints.push(String(error.error())))
  context.on('response', (response) => {
    if (response.status() >= 500) complaints.push(`${response.status()} ${response.url()}`)
  })
  context.on('console', (message) => {
    // The browser reports each page with an error status, e.g. 422 for a form with errors, as one that "failed to load".
    if (message.text().startsWith('Failed to load resource: the server responded with a status of')) return
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
  })
  return { context, page: await context.newPage(), complaints, [Symbol.asyncDispose]: () => context.close() }
}

/** Presses the button with exactly this name. */
export async function press(page: Page, name: string): Promise<void> {
  try {
    await page.getByRole('button', { name, exact: true }).click()
    await page.waitForLoadState()
  } catch (cause) {
    throw new Error(`no “${name}” at ${page.url()}:\n${await read(page)}`, { cause })
  }
}

/** Fills in and submits the sign-in page. */
export async function signIn(page: Page, person: Person, password = PASSWORD): Promise<void> {
  if (!(await page.title()).includes('Sign in')) {
    throw new Error(`not the sign-in page, but ${page.url()}:\n${await read(page)}`)
  }
  await page.getByLabel('Email').fill(person.email)
  await page.getByLabel('Password').fill(password)
  await press(page, 'Sign in')
}

/** The visible text of the page. */
export function read(page: Page): Promise<string> {
  // biome-ignore lint/performance/useDomNodeTextContent: hidden text is not seen by anybody
  return page.locator('body').innerText()
}

/** The page's main heading. */
export function heading(page: Page): Promise<string> {
  // biome-ignore lint/performance/useDomNodeTextContent: hidden text is not seen by anybody
  return page.getByRole('heading', { level: 1 }).innerText()
}
