// What the tests of flows share: a server with people and an API, apps built on openid-client, and a person who reads the real pages and
// fills in the real forms. It finds its way by the words on the pages, as people do.
import * as openid from 'openid-client'
import { formsOf, textOf } from '../../demo/form.ts'
import { CookieJar } from '../../demo/jar.ts'
import { SYSTEM } from '../../src/base/audit-events.ts'
import { type AuditRow, listEvents } from '../../src/core/audit/store.ts'
import { createClient } from '../../src/core/clients/create.ts'
import type { ClientInput } from '../../src/core/clients/fields.ts'
import { createResource, type NewResource } from '../../src/core/resources/store.ts'
import { createUser } from '../../src/core/users/store.ts'
import type { FetchOutside } from '../../src/http/fetch.ts'
import { createTestDatabase, type TestDatabase } from './database.ts'
import { startApp, type TestApp } from './server.ts'

/** A server in this process with a database of its own, and functions that add clients, APIs and people. */
export interface ServerFixture extends TestApp {
  db: TestDatabase['db']
  /** The URL of that database, for another process. */
  databaseUrl: string
  /** Registers a client: by default a web app with all scopes of OpenID and of the photos API. */
  app(input?: Partial<ClientInput>): Promise<App>
  /** Registers an API. @returns a program with its credentials */
  api(input: NewResource): Promise<Api>
  /** Creates an account. @returns its owner, with a browser */
  person(name: string): Promise<Person>
  /** The latest audit events, newest first. */
  events(filter: { type?: string; user_id?: string; client_id?: string }): Promise<AuditRow[]>
}

/** An answer of an endpoint. */
export interface Answer {
  status: number
  // biome-ignore lint/suspicious/noExplicitAny: a test asserts what it expects of it
  body: any
  headers: Headers
}

/** The API of most tests. `prints.order` is dangerous, so the consent page does not tick it in advance. */
export const PHOTOS = {
  identifier: 'https://photos.example',
  name: 'Photos',
  scopes: [
    { name: 'photos.read', sentence: 'Look at your photos' },
    { name: 'photos.share', sentence: 'Share your photos' },
    { name: 'prints.order', sentence: 'Order prints', detail: 'This spends your money', dangerous: true },
  ],
} satisfies NewResource

/** The password of every account. */
export const PASSWORD = 'five wet umbrellas'

/** Runs `work` with the clock of this process so many seconds ahead. The database's clock stays. */
export async function atTime<T>(seconds: number, work: () => Promise<T>): Promise<T> {
  const now = Date.now
  Date.now = () => now() + seconds * 1000
  try {
    return await work()
  } finally {
    Date.now = now
  }
}

/** Starts a server with the photos API. @param env settings that differ from the defaults. */
export async function startServerFixture(
  env?: Record<string, string>,
  parts: { fetchOutside?: FetchOutside } = {},
): Promise<ServerFixture & { photos: Api }> {
  const database = await createTestDatabase()
  const { db } = database
  const photos = await createResource(db, PHOTOS, SYSTEM)
  const served = await startApp({ db, env, ...parts })
  const { origin } = served
  return {
    ...served,
    db,
    databaseUrl: database.url,
    photos: new Api(origin, photos.client.id, photos.secret),
    async api(input) {
      const { client, secret } = await createResource(db, input, SYSTEM)
      return new Api(origin, client.id, secret)
    },
    async app(input = {}) {
      const web = input.type !== 'service' && input.type !== 'device'
      const { client, secret } = await createClient(
        db,
        {
          name: 'Photo Printer',
          type: 'web',
          scopes: ['openid', 'profile', 'email', ...PHOTOS.scopes.map(({ name }) => name)],
          ...(web ? { redirect_uris: [REDIRECT_URI], post_logout_redirect_uris: [`${APP}/bye`] } : {}),
          ...input,
        },
        SYSTEM,
      )
      return new App(origin, client.id, secret, client.redirect_uris[0] ?? '')
    },
    async person(name) {
      const email = `${name.toLowerCase()}.${people++}@example.com`
      const user = await createUser(db, { email, name, password: PASSWORD, email_verified: true }, SYSTEM)
      return new Person(origin, user.id, email)
    },
    events: (filter) => listEvents(db, filter),
    async stop() {
      await served.stop()
      await database.drop()
    },
  }
}

const APP = 'https://printer.example'
const REDIRECT_URI = `${APP}/callback`
let people = 1

/** What an app keeps from the authorization request until the redirect. */
export interface Pending {
  url: URL
  verifier: string
  state: string
  /** Undefined: it was not sent, and no ID token is expected. */
  nonce: string | undefined
}

/** Tokens as openid-client returns them. */
export type Tokens = openid.TokenEndpointResponse & openid.TokenEndpointResponseHelpers

/** A program that authenticates at the protocol's endpoints. */
class Program {
  readonly origin: string
  readonly id: string
  readonly secret: string | undefined

  constructor(origin: string, id: string, secret: string | undefined) {
    this.origin = origin
    this.id = id
    this.secret = secret
  }

  /** Posts a form as this client, without the checks of openid-client. */
  async post(
    path: string,
    form: Record<string, string>,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const basic = this.secret && Buffer.from(`${this.id}:${this.secret}`).toString('base64')
    const answer = await fetch(`${this.origin}${path}`, {
      method: 'POST',
      headers: { Accept: 'application/json', ...(basic && { Authorization: `Basic ${basic}` }), ...headers },
      body: new URLSearchParams(basic ? form : { client_id: this.id, ...form }),
    })
    return read(answer)
  }

  async introspect(token: string): Promise<Answer['body']> {
    return (await this.post('/introspect', { token })).body
  }
}

/** An API. It introspects tokens. */
export class Api extends Program {}

/** An app, written as a third party would. */
export class App extends Program {
  readonly redirectUri: string
  #discovered: Promise<openid.Configuration> | undefined

  constructor(origin: string, id: string, secret: string | undefined, redirectUri: string) {
    super(origin, id, secret)
    this.redirectUri = redirectUri
  }

  /** The app's openid-client. */
  client(): Promise<openid.Configuration> {
    const authentication = this.secret ? openid.ClientSecretBasic(this.secret) : openid.None()
    this.#discovered ??= openid.discovery(new URL(this.origin), this.id, {}, authentication, {
      execute: [openid.allowInsecureRequests],
    })
    return this.#discovered
  }

  /** Starts a sign-in. Undefined parameters are left out. */
  async begin(params: Record<string, string | undefined> = {}): Promise<Pending> {
    const verifier = openid.randomPKCECodeVerifier()
    const [state, nonce] = [openid.randomState(), openid.randomNonce()]
    const all = {
      redirect_uri: this.redirectUri,
      scope: 'openid profile email photos.read',
      state,
      nonce,
      code_challenge: await openid.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      ...params,
    }
    const given = Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined)
    return {
      url: openid.buildAuthorizationUrl(await this.client(), new URLSearchParams(given)),
      verifier,
      state,
      nonce: all.nonce,
    }
  }

  /** Completes a sign-in with every check of openid-client: state, iss, PKCE, nonce, ID token. */
  async finish(
    back: URL,
    { verifier, state, nonce }: Pending,
    options?: openid.DPoPOptions,
  ): Promise<Tokens> {
    const checks = {
      pkceCodeVerifier: verifier,
      expectedState: state,
      ...(nonce ? { expectedNonce: nonce } : {}),
    }
    return openid.authorizationCodeGrant(await this.client(), back, checks, undefined, options)
  }

  /** A complete sign-in of a person who allows what is ticked. */
  async connect(
    person: Person,
    params?: Record<string, string | undefined>,
    choices?: Choices,
  ): Promise<Tokens> {
    const pending = await this.begin(params)
    return this.finish(await person.authorize(pending.url, choices), pending)
  }

  /** A new code, and the form that redeems it. */
  async code(
    person: Person,
    params?: Record<string, string | undefined>,
  ): Promise<{ code: string; form: CodeForm }> {
    const pending = await this.begin(params)
    const back = await person.authorize(pending.url)
    const code = back.searchParams.get('code')
    if (!code) throw new Error(`no code: ${back.search}`)
    const form = {
      grant_type: 'authorization_code',
      code,
      redirect_uri: this.redirectUri,
      code_verifier: pending.verifier,
    }
    return { code, form }
  }

  /** Refreshes the tokens. */
  refresh(refresh_token: string | undefined, params: Record<string, string> = {}): Promise<Answer> {
    return this.post('/token', { grant_type: 'refresh_token', refresh_token: refresh_token!, ...params })
  }

  /** Calls userinfo. */
  async userinfo(token: string): Promise<Answer> {
    return read(await fetch(`${this.origin}/userinfo`, { headers: { Authorization: `Bearer ${token}` } }))
  }
}

type CodeForm = { grant_type: string; code: string; redirect_uri: string; code_verifier: string }

/** What a person chooses on the consent page, where it differs from the suggestion. */
export interface Choices {
  /** The scopes to tick. */
  scope?: string[]
  keep?: string
}

/** A page, or the address of another server that the browser was sent to. */
export interface Page {
  url: URL
  status: number
  text: string
  title: string
  html: string
  headers: Headers
  /** The address of another server that this browser was sent to. */
  away: URL | undefined
}

/** A person with a browser. It keeps cookies, and follows redirects within the server. */
export class Person {
  readonly origin: string
  readonly id: string
  readonly email: string
  readonly #jar = new CookieJar()
  readonly #userAgent: string

  constructor(origin: string, id: string, email: string, userAgent = FIREFOX) {
    this.origin = origin
    this.id = id
    this.email = email
    this.#userAgent = userAgent
  }

  /** The same person on another device. */
  elsewhere(userAgent = IPHONE): Person {
    return new Person(this.origin, this.id, this.email, userAgent)
  }

  /** Opens an address. */
  open(address: string | URL): Promise<Page> {
    return this.#visit(new URL(address, this.origin))
  }

  /** Fills in fields, then presses a button. Other fields keep the values of the page. */
  press(page: Page, button: string, fields: Record<string, string | string[]> = {}): Promise<Page> {
    const { action, body } = formWith(page, button)
    for (const [name, values] of Object.entries(fields)) {
      body.delete(name)
      for (const value of [values].flat()) body.append(name, value)
    }
    return this.#visit(action, body)
  }

  /** Posts fields, without a page. */
  post(
    path: string,
    fields: Record<string, string> | URLSearchParams,
    headers?: Record<string, string>,
  ): Promise<Page> {
    return this.#visit(new URL(path, this.origin), new URLSearchParams(fields), headers)
  }

  /** Posts a form that may hold files, or any body with its type. */
  send(path: string, body: FormData | string | Uint8Array, headers?: Record<string, string>): Promise<Page> {
    return this.#visit(new URL(path, this.origin), body, headers)
  }

  /** Posts fields in the encoding of the page at that address: the form of a logo holds a file. */
  submit(path: string, fields: Record<string, string>, headers?: Record<string, string>): Promise<Page> {
    if (!path.endsWith('/logo')) return this.post(path, fields, headers)
    const form = new FormData()
    for (const [name, value] of Object.entries(fields)) form.set(name, value)
    return this.send(path, form, headers)
  }

  /** Signs in on the sign-in page. */
  signIn(page: Page, password = PASSWORD): Promise<Page> {
    return this.press(page, 'Sign in', { email: this.email, password })
  }

  /** Signs in and allows access. @returns the redirect to the app. @throws Error with the page, where it is neither of these */
  async authorize(url: URL, choices: Choices = {}): Promise<URL> {
    let page = await this.open(url)
    if (page.title.startsWith('Sign in')) page = await this.signIn(page)
    if (page.title.includes('wants access')) page = await this.press(page, 'Allow', { ...choices })
    if (!page.away) throw new Error(`stuck at ${page.status} ${page.url.pathname}: ${page.text}`)
    return page.away
  }

  /** Opens a page of the account, and signs in where it has to. */
  async account(path = '/account'): Promise<Page> {
    const page = await this.open(path)
    return page.title.startsWith('Sign in') ? this.signIn(page) : page
  }

  /** The value of a cookie, on any path. */
  cookie(name: string, path = '/'): string | undefined {
    const header = this.#jar.header(new URL(path, this.origin)) ?? ''
    return header
      .split('; ')
      .find((each) => each.startsWith(`${name}=`))
      ?.slice(name.length + 1)
  }

  async #visit(
    url: URL,
    body?: URLSearchParams | FormData | string | Uint8Array,
    headers: Record<string, string> = {},
  ): Promise<Page> {
    const cookie = this.#jar.header(url)
    const answer = await fetch(url, {
      method: body ? 'POST' : 'GET',
      body: body as RequestInit['body'],
      redirect: 'manual',
      headers: {
        Accept: 'text/html',
        'User-Agent': this.#userAgent,
        ...(cookie && { Cookie: cookie }),
        ...headers,
      },
    })
    this.#jar.take(url, answer.headers.getSetCookie())
    const html = await answer.text()
    const location = answer.headers.get('location')
    const next = location ? new URL(location, url) : undefined
    if (next?.origin === this.origin) return this.#visit(next)
    const title = textOf(/<title>(.*?)<\/title>/is.exec(html)?.[1] ?? '')
    return {
      url,
      status: answer.status,
      text: textOf(html),
      title,
      html,
      headers: answer.headers,
      away: next,
    }
  }
}

const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0'
const IPHONE =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Mobile/15E148 Safari/604.1'

// A button submits the form around it, or the form that its attribute `form` names.
function formWith(page: Page, text: string): { action: URL; body: URLSearchParams } {
  const forms = formsOf(page.html, page.url)
  const around = forms.find(({ buttons }) => buttons.some((button) => button.text === text))
  const button = around?.buttons.find((each) => each.text === text)
  if (around && button) {
    const body = new URLSearchParams(around.fields)
    if (button.name) body.set(button.name, button.value)
    return { action: around.action, body }
  }
  const named = [...page.html.matchAll(/<button\b[^>]*\bform="([^"]*)"[^>]*>([^<]*)</g)].find(
    ([, , name]) => name === text,
  )
  const index = [...page.html.matchAll(/<form\b[^>]*>/g)].findIndex(([tag]) =>
    tag.includes(`id="${named?.[1]}"`),
  )
  const form = forms[index]
  if (!named || !form)
    throw new Error(`no button “${text}” on ${page.status} ${page.url.pathname}: ${page.text}`)
  return { action: form.action, body: new URLSearchParams(form.fields) }
}

async function read(answer: Response): Promise<Answer> {
  const text = await answer.text()
  const json = answer.headers.get('content-type')?.includes('json')
  return { status: answer.status, body: json ? JSON.parse(text) : text, headers: answer.headers }
}
