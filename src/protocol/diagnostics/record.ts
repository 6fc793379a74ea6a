// Why the protocol refused a request of an app, for whoever builds that app. Works it out after the fact, from the library's error
// and from the request held against the registration. What is answered stays as it is; what may be kept, redact.ts decides.
import type { Context } from 'koa'
import { LRUCache } from 'lru-cache'
import type { errors, Provider } from 'oidc-provider'
import type { ClientUseRecorder } from '../../core/clients/usage.ts'
import type { RejectedRequest } from '../../core/diagnostics/enrich.ts'
import type { RejectedRequestRecorder } from '../../core/diagnostics/store.ts'
import type { ResourceDirectory } from '../../core/resources/cache.ts'
import { placeOf } from '../../http/throttle.ts'
import { onUntyped, type Route, routeOf } from '../internals/library.ts'
import { ACCOUNT_CLIENT_ID } from '../rules/grants.ts'
import { unknownScopes } from '../rules/requested-scopes.ts'
import { presentedClientId } from './credentials.ts'
import { leftOut, reasonOf } from './rules.ts'

/** What notes stand on. */
export interface RejectionParts {
  rejectedRequests: RejectedRequestRecorder
  clientUse: ClientUseRecorder
  resources: ResourceDirectory
  onError(error: unknown): void
}

/** Has the provider leave the error of a refused request where {@link rejectionRecorder} finds it. */
export function keepRejections(provider: Provider): void {
  provider.on('authorization.error', noteRejection)
  provider.on('grant.error', noteRejection)
  provider.on('introspection.error', noteRejection)
  provider.on('revocation.error', noteRejection)
  provider.on('userinfo.error', noteRejection)
  onUntyped(provider, 'pushed_authorization_request.error', noteRejection)
  onUntyped(provider, 'device_authorization.error', noteRejection)
  onUntyped(provider, 'end_session.error', noteRejection)
}

/** Remembers why this request is refused. Of several reasons the last one is what was answered. */
export function noteRejection(ctx: Context, error: errors.OIDCProviderError): void {
  ctx.state.rejection = error
}

/** Marks that the app has proved to be itself in this request. */
export function noteAuthenticated(ctx: Context | undefined): void {
  if (ctx) ctx.state.authenticated = true
}

/** Makes what takes note of a refused request; nobody waits for it. */
export function rejectionRecorder(parts: RejectionParts) {
  const { rejectedRequests, clientUse, resources, onError } = parts
  // An app sends the same scopes at each sign-in; one note in a while says it.
  const noted = new LRUCache<string, true>({ max: 1_000, ttl: LEFT_OUT_AGAIN_MS })
  const noteLeftOut = (ctx: Context): void => {
    const client = ctx.oidc.client
    const key = JSON.stringify([client?.clientId, unknownScopes(ctx)]).slice(0, 1_000)
    if (!client || noted.has(key)) return
    noted.set(key, true)
    rejectedRequests.note({
      client_id: client.clientId,
      endpoint: ENDPOINTS[routeOf(ctx)!] ?? '/auth',
      error: 'none',
      authenticated: Boolean(ctx.state.authenticated),
      place: placeOf(ctx.ip),
      ...leftOut(client, unknownScopes(ctx)),
    })
  }
  return (ctx: Context): void => {
    const error = ctx.state.rejection as errors.OIDCProviderError | undefined
    if (!error && unknownScopes(ctx).length > 0) noteLeftOut(ctx)
    if (!error || error.statusCode >= 500 || error.statusCode === 429 || ANSWERS.has(error.error)) return
    const endpoint = ENDPOINTS[routeOf(ctx)!]
    if (!endpoint) return
    const { AccessToken } = ctx.oidc.entities
    const { client } = ctx.oidc
    const client_id = client?.clientId ?? AccessToken?.clientId ?? presentedClientId(ctx)
    if (client_id === ACCOUNT_CLIENT_ID) return
    if (client) clientUse.refusedFor(client.clientId)
    const authenticated =
      Boolean(ctx.state.authenticated) || (endpoint === '/userinfo' && AccessToken !== undefined)
    reasonOf(ctx, error, resources).then((reason) => {
      if (client_id === undefined && !reason.token_hash) return
      const seen: RejectedRequest = {
        client_id,
        endpoint,
        error: error.error,
        authenticated,
        place: placeOf(ctx.ip),
        ...reason,
      }
      rejectedRequests.note(seen)
    }, onError)
  }
}

const LEFT_OUT_AGAIN_MS = 60 * 60 * 1_000

const ENDPOINTS: Partial<Record<Route, string>> = {
  authorization: '/auth',
  resume: '/auth',
  pushed_authorization_request: '/par',
  device_authorization: '/device_authorization',
  token: '/token',
  introspection: '/introspect',
  revocation: '/revoke',
  userinfo: '/userinfo',
  end_session: '/session/end',
}

/** What people decide, or that they have to be asked, is an answer and no mistake of the app. */
export const ANSWERS: ReadonlySet<string> = new Set([
  'access_denied',
  'login_required',
  'consent_required',
  'interaction_required',
  'account_selection_required',
  'authorization_pending',
  'slow_down',
  'expired_token',
])
