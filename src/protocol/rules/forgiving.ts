// What requests may hold that other servers forgive, and that opens nothing: blanks, an empty secret of a client that has none, the address of
// an API in another spelling, a redirect URI whose query has its own encoding.
import type { Context } from 'koa'
import { errors, type Provider } from 'oidc-provider'
import { changeParams, replacePermissions, routeOf } from '../internals/library.ts'
import { currentContext } from '../storage/unit-of-work.ts'

/**
 * Reads the `Authorization` header as RFC 9110 §11.4 has it: any number of blanks after the scheme. `Basic` with an empty secret names a
 * client, and authenticates none (RFC 6749 §2.3.1).
 */
export function readAuthorization(ctx: Context): void {
  // No pattern: one with blanks at both ends takes quadratic time over a header of blanks.
  const header = ctx.req.headers.authorization?.trim() ?? ''
  const end = header.indexOf(' ')
  if (end < 1) return
  const [scheme, value] = [header.slice(0, end), header.slice(end).trim()]
  ctx.req.headers.authorization = `${scheme} ${value}`
  if (scheme.toLowerCase() !== 'basic') return
  const [, id] = /^([^:]+):$/.exec(Buffer.from(value, 'base64').toString('utf8')) ?? []
  if (id === undefined) return
  try {
    ctx.state.namedClient = decodeURIComponent(id.replaceAll('+', '%20'))
  } catch {
    return
  }
  delete ctx.req.headers.authorization
}

/** Answers who sent such a header, and is refused, as one who tried to authenticate (RFC 6749 §5.2). */
export function challengeNamed(ctx: Context, issuer: string): void {
  if (ctx.status === 401 && ctx.state.namedClient && !ctx.response.get('www-authenticate'))
    ctx.set('WWW-Authenticate', `Basic realm="${issuer}", error="invalid_client"`)
}

/**
 * Lets the provider see the parameters of a request in our spelling. @param identifiers of all APIs
 * Throws InvalidRequest when the header names another client than the form.
 */
export function forgiveParams(provider: Provider, identifiers: readonly string[]): void {
  const known = new Set(identifiers)
  const bySpelling = new Map(identifiers.map((identifier) => [spelling(identifier), identifier]))
  const asRegistered = (resource: string) =>
    known.has(resource) ? resource : (bySpelling.get(spelling(resource)) ?? resource)
  changeParams(provider, (_, params) => {
    const { resource, client_id } = params
    if (typeof resource === 'string') params.resource = asRegistered(resource)
    if (Array.isArray(resource)) params.resource = resource.map((each) => asRegistered(String(each)))
    const named = currentContext()?.state.namedClient
    if (named === undefined || !('client_id' in params)) return
    if (client_id !== undefined && client_id !== named) throw new errors.InvalidRequest('client_id mismatch')
    params.client_id = named
  })
}

/** Has a client that may not use a grant type or response type told so (RFC 6749 §4.1.2.1, §5.2). */
export function sayUnauthorized(provider: Provider): void {
  replacePermissions(provider, (kind, type, isAllowed) => {
    if (isAllowed) return true
    const ctx = currentContext()
    const asked = ctx?.oidc?.params?.[kind === 'grant' ? 'grant_type' : 'response_type']
    const isAsked = asked === type || (kind === 'grant' && routeOf(ctx) === 'device_authorization')
    const name = kind === 'grant' ? 'grant type' : 'response_type'
    if (isAsked) throw new errors.UnauthorizedClient(`requested ${name} is not allowed for this client`)
    return false
  })
}

/** Sends people back to the very redirect URI that the app gave: its query comes back byte by byte (RFC 6749 §3.1.2). */
export function keepQuery(ctx: Context): void {
  const given = ctx.oidc?.params?.redirect_uri
  const location = ctx.response.get('location')
  if (typeof given !== 'string' || !given.includes('?') || !location) return
  const [before, after] = [URL.parse(given), URL.parse(location)]
  if (!before || !after || before.origin !== after.origin || before.pathname !== after.pathname) return
  const own = [...before.searchParams]
  const all = [...after.searchParams]
  // An answer whose parameter has the name of one of the app's has taken its place.
  if (own.some(([name, value], i) => all[i]?.[0] !== name || all[i]?.[1] !== value)) return
  const answer = new URLSearchParams(all.slice(own.length)).toString()
  ctx.set('Location', `${given}${answer && `${given.endsWith('?') ? '' : '&'}${answer}`}${after.hash}`)
}

function spelling(identifier: string): string {
  const url = URL.parse(identifier)
  if (!url) return identifier
  const path = url.pathname.endsWith('/') ? url.pathname.slice(0, -1) : url.pathname
  return `${url.protocol}//${url.host}${path}${url.search}`
}
