// Which addresses a registration may hold: redirect URIs by RFC 8252 and RFC 9700, and web pages. It says what is wrong so that
// a developer can fix it.
import type { AppType } from './kinds.ts'

/** An example of a redirect URI for each kind that has them. */
export const REDIRECT_EXAMPLE = {
  web: 'https://app.example/callback',
  spa: 'https://app.example/callback',
  native: 'http://127.0.0.1/callback or com.example.app:/callback',
  device: '',
  service: '',
} as const

/** What is wrong with a redirect URI; undefined: nothing. */
export function redirectUriProblem(uri: string, type: AppType): string | undefined {
  const problem = problemOf(uri, type)
  return problem && `${JSON.stringify(uri.slice(0, 200))} ${problem}, e.g. ${REDIRECT_EXAMPLE[type]}`
}

/** What is wrong with the address of a page; undefined: nothing. */
export function webAddressProblem(uri: string): string | undefined {
  const url = URL.parse(uri)
  const web = url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopback(url.hostname))
  const isPlain = url && !url.username && !url.password && !isForgiven(url, uri)
  if (web && isPlain && uri.length <= 1000 && !NO_ADDRESS.test(uri)) return undefined
  return `${JSON.stringify(uri.slice(0, 200))} is not an https address, e.g. https://app.example/`
}

// Refuse characters that a URL parser drops or repairs (tabs, line feeds, backslashes, lone surrogates), so that matching and showing
// see the same address, and characters that change how an address reads, such as bidirectional controls.
const NO_ADDRESS = /[\s\p{Cc}\p{Cf}\p{Cs}\\]/u

function problemOf(uri: string, type: AppType): string | undefined {
  const url = URL.parse(uri)
  if (!url) return 'is not an absolute URI'
  if (uri.length > 1000) return 'has more than 1000 characters'
  if (NO_ADDRESS.test(uri)) return 'holds white space, control characters or a backslash'
  // RFC 3986 §2: libraries send no other characters, and letters of other alphabets can imitate another host.
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

// A URL parser accepts `https:host` and `https:///host`. On a page of ours a browser takes the first for a path of ours, and a person
// may take the path of the second for its host.
function isForgiven({ protocol }: URL, uri: string): boolean {
  return (protocol === 'https:' || protocol === 'http:') && !/^https?:\/\/[^/?]/i.test(uri)
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname)
}
