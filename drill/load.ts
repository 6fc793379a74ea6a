// Who uses the server while it breaks: apps that refresh, people who sign in and remove apps, machines, an administrator.
// Each waits for its answer, asks again after a 503 as clients do, and notes what it was told. It knows no fault.
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Pool } from '../src/db/pool.ts'
import {
  API,
  type App,
  authUrl,
  Browser,
  call,
  type Person,
  REDIRECT_URI,
  type Reply,
  redeem,
  refresh,
  type Sent,
  send,
} from '../test/support/attack.ts'
import type { Answer, Connection, Ledger } from './ledger.ts'

/** A node as its clients see it. */
interface Target {
  name: string
  origin: string
  isRunning: boolean
}

/** How clients find a node. */
export type Choice =
  /** In turns, passing over one whose port is closed. */
  | 'any'
  /** In turns among those whose `/readyz` says yes, asked every 200 ms, as load balancers do. */
  | 'ready'

/** The users of a server, at work. */
export interface Load {
  /** How many requests were answered as they should be, at a node. */
  successes(node: string): number
  /** The connection that an app of this name refreshes at this moment. */
  connectionOf(who: string): Connection | undefined
  /** Lets everybody finish what they began. */
  stop(): Promise<void>
}

/** Apps and people of a load. */
export interface Cast {
  apps: Record<'refreshers' | 'exchangers' | 'doubler' | 'removers' | 'signers', App>
  machine: App
  /** A service that may do everything to clients. */
  office: App
  person(name: string): Promise<Person>
}

type ClientStore = typeof import('../src/core/clients/create.ts')
type ResourceStore = typeof import('../src/core/resources/store.ts')
type UserStore = typeof import('../src/core/users/store.ts')

/** A module of the version in `dir`, at the first of these places that this version has. */
async function moduleIn<T>(dir: string, ...places: string[]): Promise<T> {
  const place = places.map((each) => join(dir, each)).find((each) => existsSync(each))
  return (await import(place ?? join(dir, places[0]!))) as T
}

/** Puts tables, apps, an API and the means to make people into an empty database, as the version in `dir` does. */
export async function castFor(db: Pool, dir: string): Promise<Cast> {
  const { migrate } = await moduleIn<typeof import('../src/db/migrate.ts')>(dir, 'src/db/migrate.ts')
  const { createClient } = await moduleIn<ClientStore>(
    dir,
    'src/core/clients/create.ts',
    'src/core/clients/store.ts',
    'src/clients/store.ts',
  )
  const { createResource } = await moduleIn<ResourceStore>(
    dir,
    'src/core/resources/store.ts',
    'src/resources/store.ts',
  )
  const { createUser } = await moduleIn<UserStore>(dir, 'src/core/users/store.ts', 'src/users/store.ts')
  await migrate(db)
  const by = { type: 'cli' } as const
  const scopes = [{ name: 'photos.read', sentence: 'Look at your photos' }]
  await createResource(db, { identifier: API, name: 'Photos', scopes }, by)
  const web = async (name: string): Promise<App> => {
    const allowed = ['openid', 'profile', 'email', 'offline_access', 'photos.read']
    const input = { name, type: 'web' as const, redirect_uris: [REDIRECT_URI], scopes: allowed }
    const { client, secret } = await createClient(db, input, by)
    return { id: client.id, secret: secret!, redirect_uri: REDIRECT_URI }
  }
  const service = async (name: string, allowed: string[]): Promise<App> => {
    const { client, secret } = await createClient(db, { name, type: 'service', scopes: allowed }, by)
    return { id: client.id, secret: secret!, redirect_uri: '' }
  }
  return {
    apps: {
      refreshers: await web('Refreshers'),
      exchangers: await web('Exchangers'),
      doubler: await web('Doubler'),
      removers: await web('Removers'),
      signers: await web('Signers'),
    },
    machine: await service('Machine', ['photos.read']),
    office: await service('Office', ['clients:read', 'clients:write']),
    async person(name) {
      const [email, password] = [`${name}@example.com`, `${name}'s long password`]
      const { id } = await createUser(db, { email, name, password, email_verified: true }, by)
      return { id, email, password }
    },
  }
}

const PAUSE_MS = 30
const PATIENCE_MS = 60_000
const ROUNDS_A_PERSON = 8
const ASK_AGAIN_MS = 200
const READY_MS = 200
const REFUSED = new Set(['ECONNREFUSED'])

/** What came of a request in the end. */
interface Told<R> {
  reply: R
  /** Some try was not answered at all: what it did, nobody knows. */
  unsure: boolean
  /** Some try was answered 503. */
  unavailable: boolean
}

/** A client that asks until it is answered. */
class Asker {
  readonly #targets: Target[]
  readonly #ledger: Ledger
  readonly #counts = new Map<string, number>()
  readonly #ready: Map<string, boolean> | undefined
  readonly #poll: NodeJS.Timeout | undefined
  #turn = 0

  constructor(targets: Target[], ledger: Ledger, choice: Choice) {
    this.#targets = targets
    this.#ledger = ledger
    if (choice === 'any') return
    const ready = new Map(targets.map(({ name }) => [name, true]))
    this.#ready = ready
    this.#poll = setInterval(() => {
      for (const { name, origin } of targets) {
        void send('GET', origin, '/readyz').then(
          ({ status }) => ready.set(name, status === 200),
          () => ready.set(name, false),
        )
      }
    }, READY_MS)
  }

  successes(node: string): number {
    return this.#counts.get(node) ?? 0
  }

  close(): void {
    clearInterval(this.#poll)
  }

  /** Whether somebody who chooses among the nodes would send a request to this one now. */
  mayAsk(target: Target): boolean {
    return target.isRunning && this.#ready?.get(target.name) !== false
  }

  /**
   * Sends a request to some node, again after a 503 and to another after no answer, until somebody says something else.
   * @param only the one node to ask. @throws Error when nobody does for a minute
   */
  async ask<R extends { status: number; next?: URL }>(
    who: string,
    what: string,
    to: (node: string) => Promise<R>,
    only?: Target,
  ): Promise<Told<R>> {
    const told = { unsure: false, unavailable: false }
    const deadline = performance.now() + PATIENCE_MS
    while (performance.now() < deadline) {
      const target = only ?? this.#next()
      const began = performance.now()
      const note = (outcome: Answer['outcome']) =>
        void this.#ledger.answers.push({ who, what, began, ended: performance.now(), outcome })
      try {
        const reply = await to(target.origin)
        if (isUnavailable(reply)) {
          note('unavailable')
          told.unavailable = true
          await sleep(ASK_AGAIN_MS)
          continue
        }
        note(reply.status >= 500 ? 'error' : 'answered')
        if (reply.status < 500) this.#counts.set(target.name, this.successes(target.name) + 1)
        return { reply, ...told }
      } catch (error) {
        // Nothing was sent to a port that is closed; the next one is asked at once, as load balancers do.
        if (REFUSED.has((error as { code?: string }).code ?? '')) {
          await sleep(5)
          continue
        }
        note('broken')
        told.unsure = true
      }
    }
    throw new Error(`${who}: nobody answered ${what} for a minute`)
  }

  #next(): Target {
    const running = this.#targets.filter(({ name }) => this.#ready?.get(name) !== false)
    const among = running.length > 0 ? running : this.#targets
    return among[this.#turn++ % among.length]!
  }
}

// An app that waits for its person is told by the redirect (RFC 6749 §4.1.2.1).
function isUnavailable({ status, next }: { status: number; next?: URL }): boolean {
  return status === 503 || next?.searchParams.get('error') === 'temporarily_unavailable'
}

/** Starts everybody. */
export async function startLoad(
  cast: Cast,
  issuer: string,
  targets: Target[],
  ledger: Ledger,
  choice: Choice = 'any',
): Promise<Load> {
  const asker = new Asker(targets, ledger, choice)
  const { breaches } = ledger
  const current = new Map<string, Connection>()
  let going = true
  let addresses = 0

  /** Judges the last answer. @returns whether it was right */
  const right = <R extends { status: number }>(
    who: string,
    what: string,
    { reply, unsure, unavailable }: Told<R>,
    expected: number[],
  ): boolean => {
    if (expected.includes(reply.status)) return true
    // A request that broke off may have been carried out: what it was good for is used up then.
    if (unsure) return false
    const text = (reply as { body?: unknown; text?: string }).body ?? ''
    const said = `${who}: ${what} ${reply.status} ${JSON.stringify(text).slice(0, 200)}`
    ;(unavailable ? breaches.changed : breaches.wrong).push(said)
    return false
  }

  class Visitor extends Browser {
    readonly #who: string
    told = { unsure: false, unavailable: false }

    constructor(who: string) {
      super(issuer)
      this.#who = who
      this.headers = { ...this.headers, 'x-forwarded-for': address() }
    }

    override async request(method: string, at: string | URL, sent?: Sent): Promise<Reply> {
      const path = new URL(at, issuer).pathname.replace(/[\w-]{20,}/, '…')
      const told = await asker.ask(this.#who, `${method} ${path}`, (node) => {
        this.node = node
        return super.request(method, at, sent)
      })
      this.told.unsure ||= told.unsure
      this.told.unavailable ||= told.unavailable
      return told.reply
    }

    /** A code for an app; undefined when a fault had its hand in it, and the person has to start again. */
    async codeFor(app: App, person: Person): Promise<string | undefined> {
      this.told = { unsure: false, unavailable: false }
      try {
        return await this.code(authUrl(app), person)
      } catch (error) {
        if (this.told.unsure) return undefined
        const said = `${this.#who}: ${(error as Error).message}`
        ;(this.told.unavailable ? breaches.changed : breaches.wrong).push(said)
        return undefined
      }
    }
  }

  const address = (): string => `198.18.${(++addresses >> 8) & 255}.${addresses & 255}`
  const post = (who: string, what: string, to: (node: string) => ReturnType<typeof call>) =>
    asker.ask(who, what, to)

  /** Redeems a code. @returns the answer's body, or undefined */
  const exchange = async (who: string, app: App, code: string, connection: Connection) => {
    const told = await post(who, 'POST /token (code)', (node) => redeem(node, app, code))
    if (!right(who, 'POST /token (code)', told, [200])) return undefined
    ledger.spent(app, code, connection)
    ledger.issued(connection, told.reply.body)
    return told.reply.body as { access_token: string; refresh_token: string }
  }
  const isAlive = async (who: string, app: App, token: string): Promise<boolean | undefined> => {
    const told = await post(who, 'POST /introspect', (node) => call(node, '/introspect', app, { token }))
    return right(who, 'POST /introspect', told, [200]) ? (told.reply.body.active as boolean) : undefined
  }

  const actors: Promise<void>[] = []
  const act = (who: string, step: () => Promise<void>): void => {
    const loop = async (): Promise<void> => {
      while (going) {
        await step().catch((error: Error) => void breaches.wrong.push(`${who}: ${error.message}`))
        await sleep(PAUSE_MS)
      }
    }
    actors.push(loop())
  }

  // Apps that keep their access going, and look at the token they got at another node.
  for (let i = 1; i <= 3; i++) {
    const who = `refresher ${i}`
    const app = cast.apps.refreshers
    const person = await cast.person(`refresher${i}`)
    const browser = new Visitor(who)
    let token: string | undefined
    let connection = ledger.connection(app)
    act(who, async () => {
      if (!token) {
        const code = await browser.codeFor(app, person)
        token = code && (await exchange(who, app, code, connection))?.refresh_token
        current.set(who, connection)
        return
      }
      const told = await post(who, 'POST /token (refresh)', (node) => refresh(node, app, token!))
      if (!right(who, 'POST /token (refresh)', told, [200])) {
        // Whatever hung on it may have ended with what counted as a replay.
        connection.tokens.clear()
        connection = ledger.connection(app)
        token = undefined
        return
      }
      ledger.spent(app, token, connection)
      const { access_token, refresh_token } = told.reply.body as Record<string, string>
      ledger.issued(connection, told.reply.body)
      token = refresh_token
      if ((await isAlive(who, app, access_token!)) === false) {
        breaches.lost.push(`${who}: the access token of a refresh is dead`)
      }
    })
  }

  // Apps that sign somebody in, and end it with /revoke.
  for (let i = 1; i <= 2; i++) {
    const who = `exchanger ${i}`
    const app = cast.apps.exchangers
    const person = await cast.person(`exchanger${i}`)
    const browser = new Visitor(who)
    // The session gives all of its codes one grant, until that is over.
    let connection = ledger.connection(app)
    act(who, async () => {
      const code = await browser.codeFor(app, person)
      const tokens = code && (await exchange(who, app, code, connection))
      if (!tokens) return
      const { refresh_token, access_token } = tokens
      const told = await post(who, 'POST /revoke', (node) =>
        call(node, '/revoke', app, { token: refresh_token }),
      )
      if (!right(who, 'POST /revoke', told, [200])) return
      ledger.over(connection)
      connection = ledger.connection(app)
      if (await isAlive(who, app, access_token)) breaches.alive.push(`${who}: an access token after /revoke`)
    })
  }

  // An app that shows each code twice at once: one of the two at most may bring tokens.
  {
    const who = 'doubler'
    const app = cast.apps.doubler
    const person = await cast.person('doubler')
    const browser = new Visitor(who)
    act(who, async () => {
      const code = await browser.codeFor(app, person)
      if (!code) return
      const told = await Promise.all(
        [1, 2].map(() => post(who, 'POST /token (code, twice)', (node) => redeem(node, app, code))),
      )
      const good = told.filter(({ reply }) => reply.status === 200).length
      if (good > 1) breaches.doubled.push('a code shown twice at once brought tokens twice')
      await sleep(10 * PAUSE_MS)
    })
  }

  // People who allow an app and remove it, each as often as a person may change something.
  {
    const who = 'remover'
    const app = cast.apps.removers
    let person: Person
    let browser: Visitor
    let connection = ledger.connection(app)
    let rounds = 0
    act(who, async () => {
      if (rounds % ROUNDS_A_PERSON === 0) {
        // Made past the server, at a database that may be broken now: then it is tried again.
        const next = await cast.person(`remover${rounds}`).catch(() => undefined)
        if (!next) return
        person = next
        browser = new Visitor(who)
        connection = ledger.connection(app)
      }
      rounds++
      const code = await browser.codeFor(app, person)
      const tokens = code && (await exchange(who, app, code, connection))
      if (!tokens) return
      const page = await browser.open(`/account/apps/${app.id}/remove`)
      if (page.status !== 200) return
      const { status } = await browser.submit(page, 'Remove')
      // 404: it has no access, as the first of two tries has removed it.
      if (status !== 303 && status !== 404) {
        breaches.wrong.push(`${who}: POST of a removal ${status}`)
        return
      }
      ledger.over(connection)
      connection = ledger.connection(app)
      for (const token of Object.values(tokens)) {
        if (typeof token !== 'string' || !token.startsWith('vk_')) continue
        if (await isAlive(who, app, token)) breaches.alive.push(`${who}: a token after the app was removed`)
      }
      await sleep(3 * PAUSE_MS)
    })
  }

  // A person at ever new browsers: the password, a session, tokens.
  {
    const who = 'signer'
    const app = cast.apps.signers
    const person = await cast.person('signer')
    act(who, async () => {
      const code = await new Visitor(who).codeFor(app, person)
      const connection = ledger.connection(app)
      if (code) await exchange(who, app, code, connection)
      await sleep(20 * PAUSE_MS)
    })
  }

  // A program without people.
  {
    const who = 'machine'
    const app = cast.machine
    const connection = ledger.connection(app)
    act(who, async () => {
      const form = { grant_type: 'client_credentials', scope: 'photos.read' }
      const told = await post(who, 'POST /token (machine)', (node) => call(node, '/token', app, form))
      if (right(who, 'POST /token (machine)', told, [200])) ledger.issued(connection, told.reply.body)
    })
  }

  // An administrator who registers programs, tries them, and suspends them.
  {
    const who = 'administrator'
    let token: string | undefined
    const refusedEverywhere = async (app: App, what: string): Promise<void> => {
      const form = { grant_type: 'client_credentials' }
      for (const target of targets) {
        if (!asker.mayAsk(target)) continue
        const to = (node: string) => call(node, '/token', app, form)
        const { reply } = await asker.ask(who, `POST /token (${what})`, to, target)
        if (reply.status === 200) breaches.alive.push(`${who}: ${what} got a token`)
      }
    }
    act(who, async () => {
      if (!token) {
        const form = { grant_type: 'client_credentials', scope: 'clients:read clients:write' }
        const told = await post(who, 'POST /token (office)', (node) =>
          call(node, '/token', cast.office, form),
        )
        if (right(who, 'POST /token (office)', told, [200])) token = String(told.reply.body.access_token)
        return
      }
      const api = (method: string, path: string, body?: unknown) => {
        const key = randomUUID()
        return asker.ask(who, `${method} /api/v1${path.replace(/\/[^/]*\d[^/]*/, '/…')}`, async (node) => {
          const reply = await send(method, node, `/api/v1${path}`, {
            headers: {
              authorization: `Bearer ${token}`,
              'content-type': 'application/json',
              ...(method === 'POST' && { 'idempotency-key': key }),
            },
            ...(body !== undefined && { body: JSON.stringify(body) }),
          })
          return { status: reply.status, body: reply.text ? JSON.parse(reply.text) : {} }
        })
      }
      const made = await api('POST', '/clients', {
        name: 'Program',
        type: 'service',
        scopes: ['photos.read'],
      })
      if (!right(who, 'POST /clients', made, [201])) return
      const { id, client_secret } = made.reply.body as { id: string; client_secret: string | null }
      ledger.client(id, 'active')
      // Whoever had to ask twice is shown no secret.
      const app = { id, secret: client_secret ?? '', redirect_uri: '' }
      const connection = ledger.connection(app)
      if (client_secret) {
        const form = { grant_type: 'client_credentials' }
        const told = await post(who, 'POST /token (program)', (node) => call(node, '/token', app, form))
        if (right(who, 'POST /token (program)', told, [200])) ledger.issued(connection, told.reply.body)
      }
      if (client_secret) {
        const rotated = await api('POST', `/clients/${id}/secret-rotation`, { overlap_seconds: 0 })
        if (!right(who, 'POST /secret-rotation', rotated, [200, 201])) return
        await refusedEverywhere(app, 'a replaced secret')
      }
      const suspended = await api('PUT', `/clients/${id}/suspension`)
      if (!right(who, 'PUT /suspension', suspended, [200])) return
      ledger.client(id, 'suspended')
      ledger.over(connection)
      connection.tokens.clear()
      if (client_secret) await refusedEverywhere(app, 'a suspended client')
      await sleep(5 * PAUSE_MS)
    })
  }

  return {
    successes: (node) => asker.successes(node),
    connectionOf: (who) => current.get(who),
    async stop() {
      going = false
      await Promise.all(actors)
      asker.close()
    },
  }
}
