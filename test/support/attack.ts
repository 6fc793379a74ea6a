// Requests of an attacker, of a faulty app and of a person with a browser, byte for byte, to any node of a server. It collects every
// value in the answers that could let somebody in. It knows only addresses, forms and headers, and no internals.
import { createHash, randomBytes } from 'node:crypto'
import { request as httpRequest } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Form, formsOf, textOf } from '../../demo/form.ts'
import { CookieJar } from '../../demo/jar.ts'
import { createClient } from '../../src/core/clients/create.ts'
import { createResource } from '../../src/core/resources/store.ts'
import { createUser } from '../../src/core/users/store.ts'
import type { Pool } from '../../src/db/pool.ts'
import { PATIENCE_MS } from './patience.ts'
import { freePort, startServer, type TestServer } from './server.ts'

/** An answer with its whole body. */
export interface Reply {
  status: number
  headers: Headers
  text: string
  /** The address that answered, as the browser sees it: under the issuer's origin. */
  url: URL
  next: URL | undefined
}

/** The headers and the body of a request. */
export interface Sent {
  headers?: Record<string, string>
  /** A form. `body` is for any other body. */
  form?: Record<string, string> | URLSearchParams
  body?: string | Buffer
}

/** Two processes that serve one issuer over one database, as behind a load balancer without stickiness. */
export async function startTwo(
  databaseUrl: string,
  env: Record<string, string> = {},
): Promise<{ issuer: string; one: TestServer; two: TestServer; stop(): Promise<void> }> {
  const port = await freePort()
  const issuer = `http://localhost:${port}`
  const other = await freePort()
  const shared = { ISSUER_URL: issuer, LOG_LEVEL: 'error', ...env }
  const [one, two] = await Promise.all([
    startServer({ databaseUrl, port, env: { ...shared, PORT: String(port) } }),
    startServer({ databaseUrl, port: other, env: { ...shared, PORT: String(other) } }),
  ])
  return {
    issuer,
    one,
    two,
    stop: async () => void (await Promise.all([one.stop(), two.stop()])),
  }
}

/** Runs a call `count` times at once, alternating between the nodes. */
export function atOnce<T>(
  count: number,
  nodes: string[],
  work: (node: string, i: number) => Promise<T>,
): Promise<T[]> {
  return Promise.all(Array.from({ length: count }, (_, i) => work(nodes[i % nodes.length]!, i)))
}

/** Whether an answer asks to send the request again: 503, or for an app the error of RFC 6749 §4.1.2.1. */
export function saysTryAgain({ status, next }: { status: number; next?: URL | undefined }): boolean {
  return status === 503 || next?.searchParams.get('error') === 'temporarily_unavailable'
}

/**
 * Sends a request again until the answer is not {@link saysTryAgain}. A busy server answers so, and has changed nothing.
 * @throws Error after two minutes
 */
export async function untilAnswered<T extends { status: number; next?: URL | undefined }>(
  work: () => Promise<T>,
): Promise<T> {
  const deadline = performance.now() + PATIENCE_MS
  for (;;) {
    const reply = await work()
    if (!saysTryAgain(reply)) return reply
    if (performance.now() > deadline) throw new Error('two minutes of 503')
    await sleep(200)
  }
}

/** Counts the answers by status. */
export function tally(replies: { status: number }[]): Record<number, number> {
  const counted: Record<number, number> = {}
  for (const { status } of replies) counted[status] = (counted[status] ?? 0) + 1
  return counted
}

/** Sends one request exactly as given: adds no header, and does not normalize the address. */
export function send(method: string, origin: string, path: string, sent: Sent = {}): Promise<Reply> {
  const body = sent.form ? new URLSearchParams(sent.form).toString() : sent.body
  const { hostname, port } = new URL(origin)
  const headers: Record<string, string | number> = {
    ...(sent.form && { 'content-type': 'application/x-www-form-urlencoded' }),
    ...(body !== undefined && { 'content-length': Buffer.byteLength(body) }),
    ...sent.headers,
  }
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(
      { host: hostname, port, method, path, headers, agent: false, timeout: PATIENCE_MS },
      (incoming) => {
        const chunks: Buffer[] = []
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
        incoming.on('error', reject)
        incoming.on('end', () => {
          const answered = new Headers()
          for (let i = 0; i < incoming.rawHeaders.length; i += 2) {
            answered.append(incoming.rawHeaders[i]!, incoming.rawHeaders[i + 1]!)
          }
          const url = URL.parse(path, origin) ?? new URL(origin)
          const location = answered.get('location')
          resolve({
            status: incoming.statusCode!,
            headers: answered,
            text: Buffer.concat(chunks).toString('utf8'),
            url,
            next: location === null ? undefined : (URL.parse(location, url.href) ?? undefined),
          })
        })
      },
    )
    outgoing.on('error', reject)
    outgoing.on('timeout', () => outgoing.destroy(new Error(`${method} ${path}: no answer in two minutes`)))
    outgoing.end(body)
  })
}

/** A person's browser. It keeps cookies, sends the forms of pages, and follows redirects one by one. */
export class Browser {
  readonly jar = new CookieJar()
  /** Values that nobody else may ever find: cookies, hidden fields, ids in addresses. */
  readonly handedOut = new Set<string>()
  readonly #issuer: string
  /** The node that its requests go to. */
  node: string
  headers: Record<string, string> = {
    accept: 'text/html',
    'user-agent': 'Mozilla/5.0 (X11; Linux) Firefox/140.0',
  }

  constructor(issuer: string, node = issuer) {
    this.#issuer = issuer
    this.node = node
  }

  get(address: string | URL): Promise<Reply> {
    return this.request('GET', address)
  }

  async request(method: string, address: string | URL, sent: Sent = {}): Promise<Reply> {
    const url = new URL(address, this.#issuer)
    const cookie = this.jar.header(url)
    const origin: Record<string, string> =
      method === 'POST' ? { origin: this.#issuer, 'sec-fetch-site': 'same-origin' } : {}
    const headers = { ...this.headers, ...(cookie && { cookie }), ...origin, ...sent.headers }
    const reply = await send(method, this.node, url.pathname + url.search, { ...sent, headers })
    const cookies = reply.headers.getSetCookie()
    this.jar.take(url, cookies)
    for (const line of cookies) {
      const [, value] = /^[^=]+=([^;]+)/.exec(line) ?? []
      if (value) this.handedOut.add(value)
    }
    for (const form of formsOf(reply.text, url)) {
      for (const name of ['csrf', 'xsrf']) {
        const value = form.fields.get(name)
        if (value) this.handedOut.add(value)
      }
    }
    const next = reply.headers.get('location')
    const seen = { ...reply, url, next: next === null ? undefined : (URL.parse(next, url.href) ?? undefined) }
    const [, id] = /^\/(?:interaction|auth)\/([^/]+)/.exec(seen.next?.pathname ?? '') ?? []
    if (id) this.handedOut.add(id)
    return seen
  }

  /** Fills the form of a page that has this button, and sends it. */
  submit(page: Reply, button: string, typed: Record<string, string> = {}, sent: Sent = {}): Promise<Reply> {
    const form = formWith(page, button)
    for (const [name, value] of Object.entries(typed)) form.fields.set(name, value)
    return this.request('POST', form.action, { form: form.fields, ...sent })
  }

  /** Follows redirects as long as they stay on this server. */
  async follow(reply: Reply): Promise<Reply> {
    let at = reply
    for (let i = 0; at.next && at.next.origin === this.#issuer; i++) {
      if (i > 12) throw new Error(`redirects without end at ${at.url}`)
      at = await this.get(at.next)
    }
    return at
  }

  /** Opens an address, and follows redirects to a page or to the app. */
  async open(address: string | URL): Promise<Reply> {
    return this.follow(await this.get(address))
  }

  /** Signs in to the account pages. */
  async signIn({ email, password }: Person): Promise<Reply> {
    const page = await this.open('/account')
    return this.follow(await this.submit(page, 'Sign in', { email, password }))
  }

  /**
   * Completes an authorization request. It signs in and allows access where a page asks for that.
   * @returns the redirect to the app
   */
  async authorize(address: string | URL, person?: Person): Promise<Reply> {
    let at = await this.open(address)
    if (person && at.status === 200 && at.text.includes('name="password"')) {
      const { email, password } = person
      at = await this.follow(await this.submit(at, 'Sign in', { email, password }))
    }
    if (at.status === 200 && at.text.includes('>Allow</button>')) {
      at = await this.follow(await this.submit(at, 'Allow'))
    }
    if (!at.next) throw new Error(`no way back to the app: ${at.status} ${textOf(at.text).slice(0, 300)}`)
    return at
  }

  /** As {@link authorize}. @returns the code */
  async code(address: string | URL, person?: Person): Promise<string> {
    const reply = await this.authorize(address, person)
    const code = reply.next?.searchParams.get('code')
    if (!code) throw new Error(`no code in ${reply.next}`)
    this.handedOut.add(code)
    return code
  }
}

/** The form of a page that has a button with this text. */
export function formWith(page: Reply, button: string): Form {
  const found = formsOf(page.text, page.url).find(({ buttons }) =>
    buttons.some(({ text }) => text.startsWith(button)),
  )
  if (!found) throw new Error(`no button “${button}” on ${page.status} ${textOf(page.text).slice(0, 300)}`)
  const pressed = found.buttons.find(({ text }) => text.startsWith(button))
  if (pressed?.name) found.fields.set(pressed.name, pressed.value)
  return found
}

/** Somebody with an account. */
export interface Person {
  id: string
  email: string
  password: string
}

/** The credentials of an app or an API, as its developer has them. */
export interface App {
  id: string
  secret: string
  redirect_uri: string
}

/** The accounts and clients that most of these tests start with. */
export interface World {
  alice: Person
  bob: Person
  /** A confidential web app. */
  web: App
  /** A public app. */
  spa: App
  /** A program without people. */
  service: App
  /** The credentials with which the API introspects. */
  api: App
}

const BY = { type: 'cli' } as const
export const API = 'https://photos.example'
export const REDIRECT_URI = 'https://printer.example/callback'

/** Two people, an API and three clients. */
export async function populate(db: Pool): Promise<World> {
  const person = async (name: string): Promise<Person> => {
    const email = `${name}@example.com`
    const password = `${name}'s long password`
    const { id } = await createUser(db, { email, name, password, email_verified: true }, BY)
    return { id, email, password }
  }
  const [alice, bob] = await Promise.all([person('alice'), person('bob')])
  const api = await createResource(
    db,
    {
      identifier: API,
      name: 'Photos',
      scopes: [
        { name: 'photos.read', sentence: 'Look at your photos' },
        { name: 'photos.list', sentence: 'List your photos' },
      ],
    },
    BY,
  )
  const scopes = ['openid', 'profile', 'email', 'offline_access', 'photos.read', 'photos.list']
  const redirect_uris = [REDIRECT_URI]
  const web = await createClient(db, { name: 'Printer', type: 'web', redirect_uris, scopes }, BY)
  const spa = await createClient(db, { name: 'Viewer', type: 'spa', redirect_uris, scopes }, BY)
  const service = await createClient(db, { name: 'Robot', type: 'service', scopes: ['photos.read'] }, BY)
  const app = ({ client, secret }: { client: { id: string }; secret?: string }): App => ({
    id: client.id,
    secret: secret ?? '',
    redirect_uri: REDIRECT_URI,
  })
  return { alice, bob, web: app(web), spa: app(spa), service: app(service), api: app(api) }
}

/** One PKCE verifier for all: these tests are about other things. */
export const VERIFIER = randomBytes(32).toString('base64url')

/** The parameters of an honest authorization request. */
export function asking(app: App, more: Record<string, string> = {}): Record<string, string> {
  return {
    client_id: app.id,
    response_type: 'code',
    redirect_uri: app.redirect_uri,
    scope: 'openid profile email photos.read',
    state: 'some-state',
    code_challenge: createHash('sha256').update(VERIFIER).digest('base64url'),
    code_challenge_method: 'S256',
    ...more,
  }
}

/** The address of an honest authorization request. */
export function authUrl(app: App, more: Record<string, string> = {}): string {
  return `/auth?${new URLSearchParams(asking(app, more))}`
}

/** An OAuth answer. */
export interface TokenReply {
  status: number
  headers: Headers
  body: Record<string, unknown>
}

/** A form post of a program with its credentials. */
export async function call(
  origin: string,
  path: string,
  app: App,
  form: Record<string, string>,
  headers: Record<string, string> = {},
): Promise<TokenReply> {
  const authorization = `Basic ${Buffer.from(`${app.id}:${app.secret}`).toString('base64')}`
  const reply = await send('POST', origin, path, {
    form: app.secret ? form : { client_id: app.id, ...form },
    headers: { ...(app.secret && { authorization }), ...headers },
  })
  return { status: reply.status, headers: reply.headers, body: reply.text ? JSON.parse(reply.text) : {} }
}

/** Redeems a code. */
export function redeem(
  origin: string,
  app: App,
  code: string,
  headers?: Record<string, string>,
): Promise<TokenReply> {
  const form = {
    grant_type: 'authorization_code',
    code,
    redirect_uri: app.redirect_uri,
    code_verifier: VERIFIER,
  }
  return call(origin, '/token', app, form, headers)
}

/** Refreshes. */
export function refresh(
  origin: string,
  app: App,
  token: string,
  headers?: Record<string, string>,
): Promise<TokenReply> {
  return call(origin, '/token', app, { grant_type: 'refresh_token', refresh_token: token }, headers)
}

/** Whether the app itself is told that a token of its own is active. */
export async function isActive(origin: string, app: App, token: string): Promise<boolean> {
  const { status, body } = await call(origin, '/introspect', app, { token })
  if (status !== 200) throw new Error(`introspection answered ${status} ${JSON.stringify(body)}`)
  return body.active as boolean
}
