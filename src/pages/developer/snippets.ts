// The programs of the quick start: templates in snippets/, filled with the values of an app. Each value becomes a literal of the
// program's language, so that it can be nothing but text. It knows no page.
import { readFileSync } from 'node:fs'
import type { ClientType } from '../../core/clients/kinds.ts'

/** The values that a program is filled with. */
export interface SnippetFacts {
  issuer: string
  client_id: string
  type: Exclude<ClientType, 'resource_server'>
  redirect_uris: readonly string[]
  /** Those of OpenID and of APIs. */
  scopes: readonly string[]
  id_token_signed_response_alg: string
  /** The API that the access token is for; without one it is for userinfo. */
  api: string | undefined
}

/** A program, ready to run. */
export interface Snippet {
  id: string
  name: string
  /** The file name to save it under. */
  file: string
  text: string
}

/** The programs that fit an app, the most popular first. */
export function snippetsFor(facts: SnippetFacts): Snippet[] {
  const parts = partsOf(facts)
  const prefix = PREFIXES[facts.type] ?? ''
  return PROGRAMS.filter(({ kinds }) => kinds.includes(facts.type)).map(({ id, name, file, literal }) => ({
    id,
    name,
    file,
    text: fill(template(`${prefix}${id}`), parts, literal),
  }))
}

/** The redirect URI for the programs of an app. `can_listen`: whether a program on the developer's machine can listen there. */
export function snippetRedirect({ type, redirect_uris }: Pick<SnippetFacts, 'type' | 'redirect_uris'>): {
  redirect_uri: string
  can_listen: boolean
} {
  const onOwnMachine = redirect_uris.filter(isOwnMachine)
  const choice = [...onOwnMachine, ...redirect_uris]
  const redirect_uri = choice.find((uri) => !isRewritten(uri)) ?? choice[0] ?? ''
  const can_listen = isOwnMachine(redirect_uri)
  // RFC 8252 §7.3: an installed app takes whatever port is free.
  if (type !== 'native' || !can_listen || URL.parse(redirect_uri)!.port) return { redirect_uri, can_listen }
  return { redirect_uri: redirect_uri.replace(/^(http:\/\/[^/?]+)/, `$1:${ANY_PORT}`), can_listen }
}

const PREFIXES: Partial<Record<SnippetFacts['type'], string>> = { service: 'service-', device: 'device-' }

type Literal = (text: string) => string

const ANY_PORT = 8765
const WITH_PERSON: SnippetFacts['type'][] = ['web', 'native']
const ALL: SnippetFacts['type'][] = [...WITH_PERSON, 'service']

const PROGRAMS: {
  id: string
  name: string
  file: string
  kinds: SnippetFacts['type'][]
  literal: Literal
}[] = [
  { id: 'spa', name: 'Single-page app', file: 'index.html', kinds: ['spa'], literal: javascript },
  { id: 'node', name: 'Node.js (openid-client)', file: 'quick-start.mjs', kinds: ALL, literal: javascript },
  { id: 'python-authlib', name: 'Python (Authlib)', file: 'quick_start.py', kinds: ALL, literal: python },
  {
    id: 'python-requests',
    name: 'Python (requests-oauthlib)',
    file: 'quick_start.py',
    kinds: ALL,
    literal: python,
  },
  { id: 'go', name: 'Go (golang.org/x/oauth2)', file: 'main.go', kinds: ALL, literal: go },
  { id: 'curl', name: 'curl', file: 'quick-start.sh', kinds: [...ALL, 'device'], literal: shell },
]

interface Parts {
  values: Record<string, string>
  conditions: Record<string, boolean>
}

function partsOf(facts: SnippetFacts): Parts {
  const { issuer, type, api } = facts
  const { redirect_uri, can_listen } = snippetRedirect(facts)
  const openid = type !== 'service' && facts.scopes.includes('openid')
  const secret = type === 'web' || type === 'service'
  const insecure = issuer.startsWith('http:')
  return {
    values: {
      issuer,
      client_id: facts.client_id,
      redirect_uri,
      scope: facts.scopes.join(' '),
      alg: facts.id_token_signed_response_alg,
      authorization_endpoint: `${issuer}/auth`,
      device_authorization_endpoint: `${issuer}/device_authorization`,
      token_endpoint: `${issuer}/token`,
      userinfo_endpoint: `${issuer}/userinfo`,
      jwks_uri: `${issuer}/jwks`,
      api: api ?? '',
    },
    conditions: {
      secret,
      insecure,
      openid,
      loopback: can_listen,
      paste: !can_listen,
      rewritten: isRewritten(redirect_uri),
      userinfo: openid,
      api: api !== undefined,
      // Imports that a program needs before their use.
      needs_os: secret || insecure,
      go_os: secret || !can_listen,
      go_strings: openid || !can_listen,
    },
  }
}

const templates = new Map<string, string>()

function template(name: string): string {
  const known = templates.get(name) ?? readFileSync(new URL(`snippets/${name}.txt`, import.meta.url), 'utf8')
  templates.set(name, known)
  return known
}

// {{if …}}, {{else}}, {{end}} and {{include …}} stand on lines of their own and are not nested; {{name}} is a literal.
function fill(text: string, parts: Parts, literal: Literal): string {
  const whole = text.replace(/^\{\{include ([\w-]+)\}\}\n/gm, (_, name: string) => template(`parts/${name}`))
  let taken = true
  const lines = whole.split('\n').filter((line) => {
    const [, word, name] = /^\{\{(if|else|end)(?: (\w+))?\}\}$/.exec(line) ?? []
    if (word === undefined) return taken
    taken = word === 'if' ? known(parts.conditions, name!) : word === 'end' || !taken
    return false
  })
  // One pass: a placeholder inside of a value is not replaced.
  return lines
    .join('\n')
    .replace(/\n{4,}/g, '\n\n\n')
    .replace(/\{\{(\w+)\}\}/g, (_, name: string) => literal(known(parts.values, name)))
}

function known<T>(table: Record<string, T>, name: string): T {
  const value = table[name]
  if (value === undefined) throw new Error(`the templates know no ${name}`)
  return value
}

/** A string literal of JavaScript that is safe in a script element, too. */
function javascript(text: string): string {
  return escaped(text, (code) =>
    code > 0xffff ? `\\u{${code.toString(16)}}` : `\\u${code.toString(16).padStart(4, '0')}`,
  )
}

function python(text: string): string {
  return escaped(text, wide)
}

function go(text: string): string {
  return escaped(text, wide)
}

function shell(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}

function wide(code: number): string {
  return code > 0xffff
    ? `\\U${code.toString(16).padStart(8, '0')}`
    : `\\u${code.toString(16).padStart(4, '0')}`
}

// Keep only characters that have no special meaning in any of these languages, and escape all others.
function escaped(text: string, name: (code: number) => string): string {
  const inside = [...text.toWellFormed()].map((char) =>
    /^[\w !#%&()*+,./:;=?@[\]^{|}~-]$/.test(char) ? char : name(char.codePointAt(0)!),
  )
  return `"${inside.join('')}"`
}

function isOwnMachine(uri: string): boolean {
  const url = URL.parse(uri)
  return url?.protocol === 'http:' && /^(localhost|127(\.\d{1,3}){3})$/.test(url.hostname)
}

// Some libraries parse an address and rebuild it without its query. Whether they would change this one.
function isRewritten(uri: string): boolean {
  const url = URL.parse(uri)
  if (!url) return false
  url.search = ''
  return url.href !== uri
}
