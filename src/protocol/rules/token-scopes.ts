// One token for signing in and for an API. An access token of a person carries the OpenID scopes of its grant beside those of its
// one API: it opens /userinfo, and at the API it is worth what that API was granted (decision 0050).
import { type Client, errors, type Grant, type Provider } from 'oidc-provider'
import { isOpenidScope } from '../../base/openid-scopes.ts'
import {
  type OidcContext,
  replaceTokenId,
  replaceTokenLookup,
  routeOf,
  useAround,
} from '../internals/library.ts'
import { currentContext } from '../storage/unit-of-work.ts'
import type { OwnMetadata } from './clients.ts'
import { scopeNames } from './requested-scopes.ts'

/** The scopes of a token that belong to its API; undefined for none. @param scope as the token has it */
export function apiScope(scope: string | undefined): string | undefined {
  const names = scopeNames(scope).filter((name) => !isOpenidScope(name))
  return names.join(' ') || undefined
}

/** Whether a token request can get anything of an API: the person allowed it, and the request does not narrow it away. */
export function isGranted(oidc: OidcContext, identifier: string): boolean {
  return Boolean(oidc.entities.Grant?.getResourceScopeFiltered(identifier, requestedScopes(oidc)))
}

/**
 * Issues access tokens of people with the OpenID scopes that were granted, whatever API they are for. Where nothing of the API is left, the
 * token is for /userinfo alone. Issuing throws InvalidScope when no scope at all is left.
 */
export function issueOpenidScopes(provider: Provider): void {
  replaceTokenId(provider.AccessToken, (token, original) => {
    const oidc = currentContext()!.oidc
    const requested = requestedScopes(oidc)
    if (token.aud !== undefined) {
      const ofApi = scopeNames(token.scope)
      token.scope = [...openidScopes(oidc.entities.Grant!, requested), ...ofApi].join(' ')
      if (ofApi.length === 0) token.aud = undefined
    }
    if (!token.scope) {
      throw new errors.InvalidScope('nothing of what is requested was granted', requested.join(' '))
    }
    return original()
  })
}

/** Lets tokens with the scope openid open /userinfo, whatever API they are for; and tells an API of its own scopes only. */
export function showScopesWhereTheyBelong(provider: Provider): void {
  replaceTokenLookup(provider, async (_value, original) => {
    const token = await original()
    if (routeOf(currentContext()) !== 'userinfo' || !scopeNames(token?.scope).includes('openid')) return token
    return Object.assign(token!, { aud: undefined })
  })
  useAround(provider, async (ctx, next) => {
    await next()
    const answer = ctx.body as { active?: boolean; client_id?: string; scope?: string } | undefined
    if (routeOf(ctx) !== 'introspection' || !answer?.active) return
    if (answer.client_id !== ctx.oidc.client!.clientId) answer.scope = apiScope(answer.scope)
  })
}

function openidScopes(grant: Grant, requested: string[]): string[] {
  return scopeNames(grant.getOIDCScopeFiltered(requested))
}

// What the code or refresh token was issued with; a refresh may ask for less (RFC 6749 §6).
function requestedScopes({ params, entities }: OidcContext): string[] {
  const { RefreshToken, AuthorizationCode, DeviceCode } = entities
  const source = AuthorizationCode ?? DeviceCode ?? RefreshToken
  return scopeNames((params?.scope as string | undefined) ?? source?.scope)
}

/**
 * Whether introspection tells a client about a token (RFC 7662 §4): a client learns about its own tokens, an API about those meant for it.
 * A person who allowed an app none of an API's scopes did not let it in there, even where the request named that API.
 */
export function maySeeToken(client: Client, token: SeenToken): boolean {
  if (token.clientId === client.clientId) return true
  const { resource } = client as Client & OwnMetadata
  return (
    resource !== undefined &&
    token.aud === resource &&
    (token.accountId === undefined || apiScope(token.scope) !== undefined)
  )
}

/** What {@link maySeeToken} looks at. */
export interface SeenToken {
  clientId?: string
  accountId?: string
  aud?: string | string[]
  scope?: string
}
