// A person's browser and an app, as far as the load needs them: forms, redirects, codes, tokens. Every answer is checked,
// so that a figure never comes from errors. It does not know which server it talks to.
import { decodeProtectedHeader } from 'jose'
import { type Answer, type Connection, cookies, header, type Jar, keepCookies } from './http.ts'
import {
  type Clients,
  type Credentials,
  PASSWORD,
  REDIRECT_URI,
  RESOURCE_SCOPE,
  type SigningAlg,
} from './plan.ts'

/** An answer that was not the expected one. */
export class Unexpected extends Error {
  override name = 'Unexpected'
}

/** A browser with its own cookies and address. One request at a time, as its connection takes no more. */
export class Browser {
  readonly connection: Connection
  readonly #jar: Jar
  readonly #from: string

  constructor(connection: Connection, jar: Jar = new Map(), address = nextAddress()) {
    this.connection = connection
    this.#jar = jar
    this.#from = `x-forwarded-for: ${address}\r\nuser-agent: bench\r\n`
  }

  /** The same person over another connection. */
  through(connection: Connection): Browser {
    return new Browser(connection, this.#jar)
  }

  async get(path: string): Promise<Answer> {
    const answer = await this.connection.send('GET', path, this.#headers())
    keepCookies(this.#jar, answer)
    return answer
  }

  async post(path: string, form: string): Promise<Answer> {
    // Browsers say where a form comes from; a server may insist on it.
    const origin = `origin: ${this.connection.origin}\r\n`
    const answer = await this.connection.send('POST', path, this.#headers() + origin + FORM, form)
    keepCookies(this.#jar, answer)
    return answer
  }

  #headers(): string {
    return this.#from + cookies(this.#jar)
  }
}

/** Signs a person in to the app through the login and consent pages. @returns the code. */
export async function signIn(browser: Browser, clients: Clients, email: string): Promise<string> {
  let answer = await browser.get(authorizationPath(clients))
  for (let steps = 0; steps < 12; steps++) {
    const location = header(answer, 'location')
    if (location.startsWith(REDIRECT_URI)) return codeIn(location, answer)
    if (answer.status === 302 || answer.status === 303) {
      answer = await browser.get(pathOf(location))
      continue
    }
    expect(answer, 200, 'a page of the sign-in')
    const form = mainForm(answer)
    if (form.fields.has('password')) {
      form.fields.set('email', email)
      form.fields.set('password', PASSWORD)
    }
    answer = await browser.post(form.action, form.fields.toString())
  }
  throw new Unexpected('the sign-in does not come back to the app')
}

/** Asks for a code while signed in, without any page. */
export async function authorizeSilently(browser: Browser, clients: Clients): Promise<string> {
  const answer = await browser.get(silentPath(clients))
  expect(answer, 303, 'GET /auth?prompt=none')
  return codeIn(header(answer, 'location'), answer)
}

/** Tokens of one answer of the token endpoint. */
export interface Tokens {
  access_token: string
  refresh_token: string
  id_token: string
}

/** Redeems a code. */
export async function redeem(connection: Connection, { app }: Clients, code: string): Promise<Tokens> {
  const form = `grant_type=authorization_code&code=${code}&redirect_uri=${ENCODED_REDIRECT}&code_verifier=${VERIFIER}`
  const answer = await connection.send('POST', '/token', authorization(app) + FORM, form)
  expect(answer, 200, 'the code exchange')
  return tokensIn(answer)
}

/** What an ID token is signed with. */
export function signingAlg({ id_token }: Tokens): SigningAlg {
  return decodeProtectedHeader(id_token).alg as SigningAlg
}

/** Refreshes. @returns new tokens; the given one is used up. */
export async function refresh(connection: Connection, { app }: Clients, token: string): Promise<Tokens> {
  const form = `grant_type=refresh_token&refresh_token=${token}`
  const answer = await connection.send('POST', '/token', authorization(app) + FORM, form)
  expect(answer, 200, 'the refresh')
  const tokens = tokensIn(answer)
  if (tokens.refresh_token === token) throw new Unexpected('the refresh token was not rotated')
  return tokens
}

/** Gets an access token for a service. */
export async function clientCredentials(connection: Connection, { service }: Clients): Promise<void> {
  const form = `grant_type=client_credentials&scope=${RESOURCE_SCOPE}`
  const answer = await connection.send('POST', '/token', authorization(service) + FORM, form)
  expect(answer, 200, 'client credentials')
  const { access_token, scope } = JSON.parse(answer.body)
  if (!access_token || scope !== RESOURCE_SCOPE)
    throw new Unexpected('client credentials gave no token of the scope')
}

/** Asks, as the API, whether a token lives. */
export async function introspect(connection: Connection, { api }: Clients, token: string): Promise<boolean> {
  const answer = await connection.send('POST', '/introspect', authorization(api) + FORM, `token=${token}`)
  expect(answer, 200, 'the introspection')
  const { active, scope } = JSON.parse(answer.body)
  if (active && scope !== RESOURCE_SCOPE) throw new Unexpected('the introspection lacks the scope')
  return active
}

/** The form of a page that does what the page is for: the one with most fields, filled as it came. */
export function mainForm({ body }: Answer): { action: string; fields: URLSearchParams } {
  const forms = [...body.matchAll(/<form\b([^>]*)>(.*?)<\/form>/gs)].map(([, attributes, content]) => ({
    action: pathOf(attribute(attributes!, 'action')),
    fields: new URLSearchParams([...inputs(content!), ...choices(content!)]),
  }))
  const [form] = forms.sort((a, b) => b.fields.size - a.fields.size)
  if (!form) throw new Unexpected(`a form was expected: ${body.slice(0, 200)}`)
  return form
}

/** Ends the run when an answer has another status. */
export function expect(answer: Answer, status: number, what: string): void {
  if (answer.status === status) return
  const said = answer.body.replace(/\s+/g, ' ').slice(0, 300)
  throw new Unexpected(
    `${what}: ${status} expected, ${answer.status} came: ${header(answer, 'location')} ${said}`,
  )
}

const FORM = 'content-type: application/x-www-form-urlencoded\r\n'
const ENCODED_REDIRECT = encodeURIComponent(REDIRECT_URI)
// The example of RFC 7636, appendix B.
const VERIFIER = 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk'
const CHALLENGE = 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'

function authorizationPath({ app }: Clients): string {
  const asked = new URLSearchParams({
    client_id: app.id,
    response_type: 'code',
    redirect_uri: REDIRECT_URI,
    scope: `openid profile email ${RESOURCE_SCOPE}`,
    state: 'bench',
    nonce: 'bench',
    code_challenge: CHALLENGE,
    code_challenge_method: 'S256',
  })
  return `/auth?${asked}`
}

const silentPath = perClients((clients) => `${authorizationPath(clients)}&prompt=none`)

function authorization({ id, secret }: Credentials): string {
  const name = `${id}:${secret}`
  let line = authorizations.get(name)
  if (!line) {
    line = `authorization: Basic ${btoa(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`)}\r\n`
    authorizations.set(name, line)
  }
  return line
}

const authorizations = new Map<string, string>()

function perClients(make: (clients: Clients) => string): (clients: Clients) => string {
  const made = new WeakMap<Clients, string>()
  return (clients) => {
    const text = made.get(clients) ?? make(clients)
    made.set(clients, text)
    return text
  }
}

function codeIn(location: string, answer: Answer): string {
  const code = /[?&]code=([^&]+)/.exec(location)?.[1]
  if (!location.startsWith(REDIRECT_URI) || !code) {
    throw new Unexpected(`a code was expected, ${answer.status} came: ${location}`)
  }
  return code
}

function tokensIn({ body }: Answer): Tokens {
  const tokens = JSON.parse(body) as Tokens
  if (!tokens.access_token || !tokens.refresh_token || !tokens.id_token)
    throw new Unexpected('a token is missing')
  return tokens
}

function inputs(form: string): [string, string][] {
  return [...form.matchAll(/<input\b([^>]*)>/g)]
    .map(([, field]) => field!)
    .filter((field) => attribute(field, 'name'))
    .filter((field) => attribute(field, 'type') !== 'checkbox' || /\schecked\b/.test(field))
    .map((field) => [attribute(field, 'name'), attribute(field, 'value')])
}

function choices(form: string): [string, string][] {
  return [...form.matchAll(/<select\b([^>]*)>(.*?)<\/select>/gs)].map(([, field, content]) => {
    const options = [...content!.matchAll(/<option\b([^>]*)>/g)].map(([, option]) => option!)
    const chosen = options.find((option) => /\sselected\b/.test(option)) ?? options[0] ?? ''
    return [attribute(field!, 'name'), attribute(chosen, 'value')]
  })
}

function pathOf(location: string): string {
  return location.replace(/^https?:\/\/[^/]+/, '')
}

function attribute(tag: string, name: string): string {
  const value = new RegExp(`(?:^|\\s)${name}="([^"]*)"`).exec(tag)?.[1] ?? ''
  return value
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&lt;', '<')
    .replaceAll('&amp;', '&')
}

// 10.0.0.1, 10.0.0.2, …: each browser comes from an address of its own, as people do.
let addresses = 0
function nextAddress(): string {
  addresses++
  return `10.${(addresses >> 16) & 255}.${(addresses >> 8) & 255}.${addresses & 255}`
}
