// Mounts the provider under our Koa: each request is a unit of work, and what the token endpoint has collected is written
// before its answer leaves.
import type { Context, Middleware } from 'koa'
import compose from 'koa-compose'
import { errors, type Provider } from 'oidc-provider'
import { API_PATH } from '../base/admin-api-scopes.ts'
import type { ClientUseRecorder } from '../core/clients/usage.ts'
import type { UseRecorder } from '../core/grants/usage.ts'
import type { Answers } from '../db/answers.ts'
import { DatabaseUnavailable } from '../db/errors.ts'
import type { Db } from '../db/pool.ts'
import { HttpError, MethodNotAllowed } from '../http/errors.ts'
import { formBody } from '../http/form.ts'
import { allowFormTo } from '../http/headers.ts'
import { endGrant } from './adapters/grants.ts'
import { giveBackUsed, usePushedByError } from './adapters/interactions.ts'
import { ANSWERS, keepRejections, noteRejection } from './diagnostics/record.ts'
import { middlewareOf, routeOf } from './internals/library.ts'
import type { ProviderPages, WayOn } from './provider-parts.ts'
import type { OwnMetadata } from './rules/clients.ts'
import { challengeNamed, keepQuery, readAuthorization } from './rules/forgiving.ts'
import type { GiveBacks } from './storage/state.ts'
import type { TokenStore } from './storage/tokens.ts'
import { beginUnit, noteAnswered, type Unit } from './storage/unit-of-work.ts'

/** What the mounted provider stands on. */
export interface ProtocolParts {
  db: Db
  tokens: TokenStore
  use: UseRecorder
  clientUse: ClientUseRecorder
  /** Takes note of a request that was refused, see refusals.ts. */
  refused(ctx: Context): void
  pages: ProviderPages
  uses: GiveBacks
  answers: Answers
  /** The provider of this moment; another takes its place when keys or scopes change. */
  provider(): Provider
}

/** Whether only programs talk to this address: what it answers is never shown as a page. */
export function isForPrograms(path: string): boolean {
  return PROGRAMS.has(path) || path.startsWith('/register/') || path.startsWith(`${API_PATH}/`)
}

/** Whether clients of the protocol talk to this address, and read errors as RFC 6749 §5.2 has them. */
export function isOAuth(path: string): boolean {
  return OAUTH.has(path)
}

const OAUTH = new Set(['/token', '/introspect', '/revoke', '/par', '/device_authorization', '/userinfo'])
const PROGRAMS = new Set([
  ...OAUTH,
  '/jwks',
  '/.well-known/openid-configuration',
  '/.well-known/oauth-authorization-server',
  '/register',
  '/healthz',
  '/readyz',
])

/** The protocol's own addresses and what each takes, besides which there are only those of surfaces.ts. */
export const ADDRESSES: [path: string, methods: string][] = [
  ['/token', 'POST, OPTIONS'],
  ['/introspect', 'POST, OPTIONS'],
  ['/revoke', 'POST, OPTIONS'],
  ['/par', 'POST, OPTIONS'],
  ['/device_authorization', 'POST, OPTIONS'],
  ['/jwks', 'GET, HEAD, OPTIONS'],
  ['/.well-known/openid-configuration', 'GET, HEAD, OPTIONS'],
  ['/.well-known/oauth-authorization-server', 'GET, HEAD, OPTIONS'],
  ['/userinfo', 'GET, HEAD, POST, OPTIONS'],
  ['/auth', 'GET, HEAD, POST'],
  ['/auth/:uid', 'GET, HEAD'],
  ['/device', 'GET, HEAD, POST'],
  ['/device/:uid', 'GET, HEAD'],
  ['/session/end', 'GET, HEAD, POST'],
  ['/session/end/success', 'GET, HEAD'],
  ['/session/end/confirm', 'POST'],
]
const METHODS = new Map(ADDRESSES)

function methodsOf(path: string): string | undefined {
  return METHODS.get(path.replace(/^\/(auth|device)\/[^/]+$/, '/$1/:uid'))
}

// OpenID Connect demands both methods here, and the provider takes POST only with session cookies for all sites
// (SameSite=None). A redirect brings the same request with the session cookie as it is.
const MOST_ADDRESS = 8_000
const BY_GET = new Set(['/auth', '/session/end'])

/** Answers the protocol's addresses; passes all others on. */
export function protocol({
  db,
  tokens,
  use,
  clientUse,
  refused,
  pages,
  uses,
  answers,
  provider,
}: ProtocolParts): Middleware {
  const mounted = new WeakMap<Provider, Middleware>()
  const body = formBody()
  return async (ctx, next) => {
    const allowed = methodsOf(ctx.path)
    if (!allowed) return next()
    if (!allowed.split(', ').includes(ctx.method)) throw new MethodNotAllowed(allowed)
    if (ctx.method === 'POST' && BY_GET.has(ctx.path)) return body(ctx, async () => askAgainByGet(ctx))

    if (ctx.path === '/device') typedEarlier(ctx)
    readAuthorization(ctx)
    const current = provider()
    const run = mounted.get(current) ?? mount(current)
    mounted.set(current, run)

    const unit = beginUnit(ctx, ctx.path === '/token')
    const orGiveBack = async (work: Promise<unknown>): Promise<void> => {
      try {
        await work
      } catch (error) {
        await giveBackUsed(uses, ctx)
        throw error
      }
    }
    await orGiveBack(run(ctx as Parameters<typeof run>[0], next))
    if (unit.writes && ctx.status === 200) await commit(ctx, { db, tokens, answers }, unit)
    if (ctx.path === '/introspect' || ctx.path === '/userinfo') await noteUse(ctx, use, unit)
    if (ctx.method === 'POST' && !ctx.response.get('cache-control')) ctx.set('Cache-Control', 'no-store')
    noteClientUse(ctx, clientUse)
    refused(ctx)
    keepQuery(ctx)
    challengeNamed(ctx, current.issuer)
    // RFC 7009 §2.2 has no body; clients read what says it is text as JSON, and fail.
    if (ctx.path === '/revoke' && ctx.status === 200) ctx.remove('Content-Type')
    if (ctx.status >= 500 || isOurFault(ctx)) await giveBackUsed(uses, ctx)
    else {
      if (ctx.state.refused) await orGiveBack(usePushedByError(db, answers, ctx))
      noteAnswered(answers, ctx)
    }
    leaveToUnverified(ctx, pages)
    // form_post pages carry the answer to the app's own origin.
    if (ctx.type === 'text/html') allowFormTo(ctx, redirectUri(ctx))
  }
}

function mount(provider: Provider): Middleware {
  provider.on('authorization.error', (ctx) => {
    ctx.state.refused = true
  })
  keepRejections(provider)
  return compose(middlewareOf(provider))
}

// Then the same request again is to give what it would have given now.
function isOurFault(ctx: Context): boolean {
  const { error } = (ctx.state.rejection ?? {}) as { error?: string }
  return error === 'temporarily_unavailable' || error === 'server_error'
}

// RFC 9700 §4.11.2: where anybody can register, an address of ours that goes on to one of theirs by itself is a gift to
// fraudsters. Whoever has pressed a button here has seen where it leads; a frame shows no address to be believed.
function leaveToUnverified(ctx: Context, pages: ProviderPages): void {
  const client = ctx.oidc?.client
  if (!ctx.state.refused || routeOf(ctx) !== 'authorization') return
  if (!client || !(client as typeof client & OwnMetadata).unverified) return
  if (ctx.get('sec-fetch-dest') === 'iframe') return
  const href = ctx.response.get('location')
  ctx.remove('Location')
  pages.leaving(ctx, client, href ? { href } : formOf(ctx))
}

// What the provider's page would post by itself (OAuth 2.0 Form Post Response Mode).
function formOf(ctx: Context): WayOn | undefined {
  const { redirect_uri, response_mode, state } = (ctx.oidc.params ?? {}) as Record<string, string | undefined>
  const { error, error_description } = ctx.state.rejection as errors.OIDCProviderError
  if (response_mode !== 'form_post' || !redirect_uri || !redirectUri(ctx)) return undefined
  const fields = { error, error_description, state, iss: ctx.oidc.provider.issuer }
  return {
    href: redirect_uri,
    fields: Object.entries(fields).filter(([, value]) => value !== undefined) as [string, string][],
  }
}

// The address that a device shows may hold the code (RFC 8628 §3.3.1). The provider would send it off by itself; here it stands in
// the form, and a person does.
function typedEarlier(ctx: Context): void {
  const { user_code } = ctx.query
  if (ctx.method === 'POST' || user_code === undefined) return
  ctx.state.userCode = String(user_code).slice(0, 40)
  ctx.querystring = ''
}

function askAgainByGet(ctx: Context): void {
  const { rawBody = '' } = ctx.request as { rawBody?: string }
  const address = `${ctx.path}?${new URLSearchParams(rawBody)}`
  // A longer one would come back to nobody: HTTP servers, ours too, take addresses and headers of 16 kB together.
  if (address.length > MOST_ADDRESS) throw new HttpError(413, 'too_large', 'The request is too long.')
  ctx.status = 303
  ctx.redirect(address)
}

// Consuming and issuing are one statement (RFC 9700 §4.14.2, RFC 6749 §4.1.2). Whoever loses the race for it gets
// invalid_grant, whatever the provider was about to answer; and who lost it to a replay ends the grant.
async function commit(
  ctx: Context,
  { db, tokens, answers }: { db: Db; tokens: TokenStore; answers: Answers },
  unit: Unit,
): Promise<void> {
  const { consume, issue } = unit.writes!
  try {
    if (!consume) {
      const issued = await Promise.all(issue.map((token) => tokens.insert(token)))
      if (!issued.includes(false)) return
      refuse(ctx, 401, 'invalid_client', 'client authentication failed')
      noteRejection(ctx, new errors.InvalidClientAuth('client not found'))
      return
    }
    if (await tokens.exchange(consume, issue)) return
    const row = await tokens.find(consume)
    if (row?.consumed) await answers.expect(row.used_by)
    if (row?.consumed && row.grant_id) await endGrant(db, row.grant_id, ctx)
    refuse(ctx, 400, 'invalid_grant', 'grant request is invalid')
    noteRejection(ctx, new errors.InvalidGrant(row?.consumed ? 'already used' : 'access was removed'))
  } catch (error) {
    if (!(error instanceof DatabaseUnavailable)) throw error
    refuse(ctx, 503, 'temporarily_unavailable', 'the server cannot reach its database, try again shortly')
  }
}

function refuse(ctx: Context, status: number, error: string, error_description: string): void {
  ctx.status = status
  ctx.body = { error, error_description }
}

async function noteUse(ctx: Context, use: UseRecorder, unit: Unit): Promise<void> {
  // A preflight has no body at all.
  if (ctx.status !== 200 || (ctx.body as { active?: boolean }).active === false) return
  for (const read of unit.tokens.values()) {
    const row = await read
    if (row?.grant_id) use.note(row.grant_id)
  }
}

function noteClientUse(ctx: Context, clientUse: ClientUseRecorder): void {
  if (!OF_CLIENTS.has(ctx.path) || ctx.method !== 'POST') return
  const client_id = ctx.oidc?.client?.clientId
  if (ctx.path === '/token' && ctx.status === 200 && client_id) clientUse.issued(client_id)
  const { error = '' } = (ctx.body ?? {}) as { error?: string }
  // A device asks until somebody has decided.
  if (ctx.status >= 400 && ctx.status < 500 && !ANSWERS.has(error)) clientUse.refused()
}

const OF_CLIENTS = new Set(['/token', '/par', '/device_authorization', '/introspect', '/revoke'])

function redirectUri(ctx: Context): string | undefined {
  const { client, params } = ctx.oidc
  const { redirect_uri, post_logout_redirect_uri } = (params ?? {}) as Record<string, unknown>
  if (typeof redirect_uri === 'string' && client?.redirectUriAllowed(redirect_uri)) return redirect_uri
  if (typeof post_logout_redirect_uri !== 'string') return undefined
  return client?.postLogoutRedirectUriAllowed(post_logout_redirect_uri) ? post_logout_redirect_uri : undefined
}
