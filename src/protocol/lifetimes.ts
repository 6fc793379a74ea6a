// How long everything lives that the provider issues or stores, in seconds.
import type { Context } from 'koa'
import type { Configuration, ResourceServer } from 'oidc-provider'
import type { Config } from '../base/config.ts'

const INTERACTION_SECONDS = 60 * 60
const PUSHED_REQUEST_SECONDS = 60
const DEVICE_CODE_SECONDS = 10 * 60
const SESSION_MAX_SECONDS = 90 * 86_400

/** The provider's setting ttl. */
export function lifetimes(ttl: Config['ttl']): Configuration['ttl'] {
  return {
    AccessToken: (ctx, token) => accessTokenSeconds(ctx, token, ttl.accessTokenSeconds),
    AuthorizationCode: ttl.authorizationCodeSeconds,
    ClientCredentials: (_ctx, token) => token.resourceServer?.accessTokenTTL ?? ttl.accessTokenSeconds,
    DeviceCode: DEVICE_CODE_SECONDS,
    Grant: ttl.refreshTokenMaxSeconds,
    IdToken: ttl.accessTokenSeconds,
    Interaction: (ctx) => interactionSeconds(ctx),
    PushedAuthorizationRequest: PUSHED_REQUEST_SECONDS,
    // Sliding, and never past the longest life counted from the first token of the chain.
    RefreshToken: (_ctx, token) => {
      const left = token.iiat! + ttl.refreshTokenMaxSeconds - Math.floor(Date.now() / 1000)
      return Math.max(1, Math.min(ttl.refreshTokenSeconds, left))
    },
    // Before somebody signs in a session holds next to nothing, and anybody can make one.
    Session: (_ctx, session) => sessionSeconds(session, ttl.sessionSeconds),
  }
}

// For all pages of one request together: what a pushed request leaves behind when it is used must outlive them (state.ts).
function interactionSeconds(ctx: Context): number {
  const before = ctx.oidc.entities.Interaction?.exp
  if (before === undefined) return INTERACTION_SECONDS
  return Math.max(1, before - Math.floor(Date.now() / 1000))
}

// Nobody can end a JWT for an API that does not ask: it must not say more than the person allowed.
function accessTokenSeconds(
  ctx: Context,
  { resourceServer }: { resourceServer?: ResourceServer },
  standard: number,
): number {
  const seconds = resourceServer?.accessTokenTTL ?? standard
  const ends = ctx.oidc.entities.Grant?.exp
  if (resourceServer?.accessTokenFormat !== 'jwt' || ends === undefined) return seconds
  return Math.max(1, Math.min(seconds, ends - Math.floor(Date.now() / 1000)))
}

// Sliding, and never past the day on which the sign-in is too old to go on (ASVS 7.3.2).
function sessionSeconds(
  { accountId, loginTs }: { accountId?: string; loginTs?: number },
  sliding: number,
): number {
  if (!accountId) return INTERACTION_SECONDS
  const left = (loginTs ?? 0) + SESSION_MAX_SECONDS - Math.floor(Date.now() / 1000)
  return Math.max(1, Math.min(sliding, left))
}
