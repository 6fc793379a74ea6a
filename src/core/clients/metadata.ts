// What may be registered as a client: the rules of RFC 7591, RFC 8252 and RFC 9700, said so that a developer can mend
// the mistake. It knows no storage; every door (command line, pages, API) comes through here.
import { z } from 'zod'
import { OPENID_SCOPES } from '../../base/openid-scopes.ts'
import { isPlainName } from '../../base/printable.ts'

/** Kinds of client. A resource_server is an API's own credentials; it can do nothing but introspect. */
export type ClientType = 'web' | 'spa' | 'native' | 'device' | 'service' | 'resource_server'

/** The kinds that a person or developer registers. */
export const APP_TYPES = ['web', 'spa', 'native', 'device', 'service'] as const

/** The grant type of a device code. */
export const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code'

/** How long a device waits before it asks again whether somebody has allowed it (RFC 8628 §3.5). */
export const DEVICE_INTERVAL_SECONDS = 5

/** What ID tokens may be signed with. */
export const ID_TOKEN_ALGS = ['RS256', 'ES256'] as const

/** A registration that is refused; the message names the field, what is wrong, and a right example. */
export class InvalidMetadata extends Error {
  override name = 'InvalidMetadata'
  readonly field: string
  readonly problem: string

  constructor(field: string, problem: string) {
    super(`${field}: ${problem}`)
    this.field = field
    this.problem = problem
  }
}

/** What a registration says, after {@link validMetadata}. */
export interface ClientMetadata {
  name: string
  type: (typeof APP_TYPES)[number]
  redirect_uris: string[]
  post_logout_redirect_uris: string[]
  scopes: string[]
  homepage_uri: string | null
  logo_uri: string | null
  tos_uri: string | null
  policy_uri: string | null
  description: string
  first_party: boolean
  pkce_required: boolean
  id_token_signed_response_alg: (typeof ID_TOKEN_ALGS)[number]
}

const addresses = z
  .array(z.string())
  .max(20, 'has more than 20 entries; one is enough for most, e.g. https://app.example/callback')
  .default([])

/** The fields of a registration, one by one; what they mean together is {@link validMetadata}'s. */
export const clientFields = {
  name: z
    .string()
    .trim()
    .min(1, 'is missing, e.g. "Photo Printer"')
    .max(80, 'has more than 80 characters, e.g. "Photo Printer"')
    .refine(isPlainName, 'holds characters that cannot be seen, e.g. "Photo Printer"'),
  type: z.enum(APP_TYPES, `must be one of ${APP_TYPES.join(', ')}, e.g. web`),
  redirect_uris: addresses,
  post_logout_redirect_uris: addresses,
  scopes: z.array(z.string()).max(100, 'has more than 100 entries, e.g. openid alone will do').optional(),
  homepage_uri: z.string().nullish(),
  logo_uri: z.string().nullish(),
  tos_uri: z.string().nullish(),
  policy_uri: z.string().nullish(),
  description: z
    .string()
    .trim()
    .max(1000, 'has more than 1,000 characters, e.g. "Prints your photos"')
    .refine(
      (text) => text === '' || isPlainName(text.replace(/\r?\n/g, ' ')),
      'holds characters that cannot be seen, e.g. "Prints your photos"',
    )
    .default(''),
  first_party: z.boolean().default(false),
  pkce_required: z.boolean().default(true),
  id_token_signed_response_alg: z
    .enum(ID_TOKEN_ALGS, `must be one of ${ID_TOKEN_ALGS.join(', ')}, e.g. RS256`)
    .default('RS256'),
}
const schema = z.object(clientFields)

/** What a caller hands in; everything but name and type may be left out. */
export type ClientInput = z.input<typeof schema>

/** Checks a registration. @throws InvalidMetadata for the first thing that is wrong. */
export function validMetadata(input: ClientInput): ClientMetadata {
  const parsed = schema.safeParse(input)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw new InvalidMetadata(issue!.path.join('.') || 'registration', issue!.message)
  }
  const { type, redirect_uris, post_logout_redirect_uris, ...rest } = parsed.data
  const interactive = hasRedirects(type)

  if (interactive && redirect_uris.length === 0) {
    throw new InvalidMetadata('redirect_uris', `is empty, e.g. ${EXAMPLE[type]}`)
  }
  if (!interactive && redirect_uris.length > 0) {
    throw new InvalidMetadata(
      'redirect_uris',
      type === 'device'
        ? 'must be empty: a device is sent nowhere, people enter its code; an app with a browser is another kind, e.g. native'
        : 'must be empty: a service signs nobody in; an app with people is another kind, e.g. web',
    )
  }
  if (type === 'device' && post_logout_redirect_uris.length > 0) {
    throw new InvalidMetadata(
      'post_logout_redirect_uris',
      'must be empty: a device signs nobody out, e.g. []',
    )
  }
  for (const uri of redirect_uris) checkRedirectUri('redirect_uris', uri, type)
  for (const uri of post_logout_redirect_uris) checkRedirectUri('post_logout_redirect_uris', uri, type)
  for (const field of WEB_ADDRESSES) if (rest[field]) checkWebAddress(field, rest[field])
  if (!rest.pkce_required && type !== 'web') {
    throw new InvalidMetadata(
      'pkce_required',
      'may be relaxed for a web client only: others keep no secret; e.g. true',
    )
  }
  return {
    ...rest,
    type,
    redirect_uris: [...new Set(redirect_uris)],
    post_logout_redirect_uris: [...new Set(post_logout_redirect_uris)],
    scopes: [...new Set(rest.scopes ?? (type === 'service' ? [] : OPENID_SCOPES))],
    homepage_uri: rest.homepage_uri || null,
    logo_uri: rest.logo_uri || null,
    tos_uri: rest.tos_uri || null,
    policy_uri: rest.policy_uri || null,
  }
}

/** Whether people are sent back to an app of this kind. */
export function hasRedirects(type: string): boolean {
  return type !== 'service' && type !== 'device'
}

const WEB_ADDRESSES = ['homepage_uri', 'logo_uri', 'tos_uri', 'policy_uri'] as const

// Matching and showing must never see what a parser drops or forgives: tabs, line feeds, backslashes, half a surrogate; nor what
// turns an address round for whoever decides about it.
const NO_ADDRESS = /[\s\p{Cc}\p{Cf}\p{Cs}\\]/u

const EXAMPLE = {
  web: 'https://app.example/callback',
  spa: 'https://app.example/callback',
  native: 'http://127.0.0.1/callback or com.example.app:/callback',
  device: '',
  service: '',
} as const

function checkRedirectUri(field: string, uri: string, type: (typeof APP_TYPES)[number]): void {
  const problem = redirectUriProblem(uri, type)
  if (problem) {
    throw new InvalidMetadata(field, `${JSON.stringify(uri.slice(0, 200))} ${problem}, e.g. ${EXAMPLE[type]}`)
  }
}

function redirectUriProblem(uri: string, type: (typeof APP_TYPES)[number]): string | undefined {
  const url = URL.parse(uri)
  if (!url) return 'is not an absolute URI'
  if (uri.length > 1000) return 'has more than 1000 characters'
  if (NO_ADDRESS.test(uri)) return 'holds white space, control characters or a backslash'
  // RFC 3986 §2: libraries send no others, and letters of other alphabets look like those of somebody else's host.
  if (/[^\x21-\x7e]/.test(uri))
    return 'has letters beyond ASCII; write its host as xn--… and the rest percent-encoded'
  if (uri.includes('#')) return 'has a fragment'
  if (uri.includes('*')) return 'has a wildcard; redirect URIs are compared exactly'
  if (url.username || url.password || /^[^/?]*:\/\/[^/?]*@/.test(uri)) return 'has user information'
  if (isForgiven(url, uri)) return 'does not have exactly two slashes before its host'
  if (url.protocol === 'https:') return undefined
  if (url.protocol === 'http:') {
    return isLoopback(url.hostname) ? undefined : 'is not https; plain http is for loopback only'
  }
  if (type !== 'native') return 'is neither https nor loopback http'
  // RFC 8252 §7.1: a private-use scheme is a domain name under the app's control, reversed.
  const reversedDomain = /^[a-z][a-z0-9-]*(\.[a-z0-9-]+)+:$/.test(url.protocol)
  return reversedDomain ? undefined : 'is not a private-use scheme in reverse-domain form'
}

function checkWebAddress(field: string, uri: string): void {
  const url = URL.parse(uri)
  const web = url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopback(url.hostname))
  const isPlain = url && !url.username && !url.password && !isForgiven(url, uri)
  if (!web || !isPlain || uri.length > 1000 || NO_ADDRESS.test(uri)) {
    throw new InvalidMetadata(
      field,
      `${JSON.stringify(uri.slice(0, 200))} is not an https address, e.g. https://app.example/`,
    )
  }
}

// A parser takes `https:host` and `https:///host` for an address with a host; on a page of ours a browser takes the first for a
// path of ours, and a person who reads the second may take the path for the host.
function isForgiven({ protocol }: URL, uri: string): boolean {
  return (protocol === 'https:' || protocol === 'http:') && !/^https?:\/\/[^/?]/i.test(uri)
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname)
}
