// The provider's settings, as a list. Rules stand where they belong; here they are only put in their places.
import type { Client, Configuration } from 'oidc-provider'
import { claimsOf, OPENID_CLAIMS, OPENID_SCOPES } from '../base/openid-scopes.ts'
import { findUser } from '../core/users/store.ts'
import type { Db } from '../db/pool.ts'
import { asFetch } from '../http/fetch.ts'
import { adapterFactory } from './adapters/adapter.ts'
import { lifetimes } from './lifetimes.ts'
import { issuerOf, listedScopes, type ProviderParts } from './provider-parts.ts'
import { OWN_METADATA, type OwnMetadata } from './rules/clients.ts'
import { ACCOUNT_CLIENT_ID, grantLoader } from './rules/grants.ts'
import { promptPolicy } from './rules/prompts.ts'
import { resourceIndicators } from './rules/resources.ts'
import { maySeeToken } from './rules/token-scopes.ts'
import { throughStorage } from './storage/errors.ts'
import { currentUnit, type Person } from './storage/unit-of-work.ts'

/** The provider's settings, as a list. */
export function settings(parts: ProviderParts): Configuration {
  const { config, db, pages } = parts
  return {
    adapter: adapterFactory(parts),
    acrValues: [],
    allowOmittingSingleRegisteredRedirectUri: false,
    claims: OPENID_CLAIMS,
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'none'],
    clientBasedCORS: (_ctx, origin, client) => mayCallFrom(client, origin),
    clients: [
      {
        client_id: ACCOUNT_CLIENT_ID,
        redirect_uris: [`${issuerOf(config)}/account/signed-in`],
        response_types: ['none'],
        grant_types: [],
        scope: 'openid',
        token_endpoint_auth_method: 'none',
      },
    ],
    clockTolerance: 5,
    // Name and email are in the ID token whenever they were allowed, whatever API the access token is for.
    conformIdTokenClaims: false,
    cookies: cookies(parts),
    // The built-in client's response_type none is nobody else's.
    discovery: {
      response_types_supported: ['code'],
      scopes_supported: listedScopes(parts),
    },
    enabledJWA: {
      idTokenSigningAlgValues: ['RS256', 'ES256'],
      dPoPSigningAlgValues: ['ES256', 'EdDSA', 'RS256', 'PS256'],
    },
    // Access outlives the browser's session and ends when the user removes it.
    expiresWithSession: () => false,
    extraClientMetadata: { properties: [...OWN_METADATA] },
    features: features(parts),
    findAccount: async (_ctx, sub) => {
      const user = await throughStorage(() => findPerson(db, sub))
      if (!user) return undefined
      return { accountId: user.id, claims: () => claimsOf(user) }
    },
    fetch: asFetch(parts.fetchOutside),
    interactions: { policy: promptPolicy(), url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    issueRefreshToken: (_ctx, client) => client.grantTypeAllowed('refresh_token'),
    jwks: parts.keySet as Configuration['jwks'],
    loadExistingGrant: grantLoader(db),
    pkce: { required: (_ctx, client) => (client as Client & OwnMetadata).pkce_required !== false },
    renderError: (ctx, out, error) => pages.error(ctx, out, error),
    responseTypes: ['code', 'none'],
    revokeGrantPolicy: () => true,
    rotateRefreshToken: true,
    routes: {
      authorization: '/auth',
      code_verification: '/device',
      device_authorization: '/device_authorization',
      end_session: '/session/end',
      introspection: '/introspect',
      jwks: '/jwks',
      pushed_authorization_request: '/par',
      revocation: '/revoke',
      token: '/token',
      userinfo: '/userinfo',
    },
    scopes: [...OPENID_SCOPES],
    subjectTypes: ['public'],
    ttl: lifetimes(config.ttl),
  }
}

function cookies({ config, secrets }: ProviderParts): Configuration['cookies'] {
  const https = config.issuerUrl.protocol === 'https:'
  const cookie = { signed: true, httpOnly: true, sameSite: 'lax', secure: https } as const
  return {
    keys: secrets.cookieKeys,
    // __Host- pins a cookie to this very host and to https; the interaction's cookies need a path of their own.
    names: {
      session: https ? '__Host-session' : '_session',
      interaction: '_interaction',
      resume: '_resume',
    },
    long: cookie,
    // They only name an interaction, whose own cookie is sealed and bound to that name.
    short: { ...cookie, signed: false },
  }
}

function features({ config, pages, resources }: ProviderParts): Configuration['features'] {
  return {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    deviceFlow: {
      enabled: true,
      // What the device's browser says of itself is nobody's proof, and is not kept.
      deviceInfo: () => ({}),
      userCodeInputSource: async (ctx, _form, _out, error) => pages.deviceCode(ctx, error),
      userCodeConfirmSource: (ctx, _form, client, _info, code) => pages.deviceConfirm(ctx, client, code),
      successSource: async (ctx) => pages.deviceDone(ctx),
    },
    dPoP: { enabled: true },
    introspection: { enabled: true, allowedPolicy: (_ctx, client, token) => maySeeToken(client, token) },
    pushedAuthorizationRequests: { enabled: true },
    resourceIndicators: resourceIndicators(resources, config.ttl.accessTokenSeconds),
    revocation: {
      enabled: true,
      allowedPolicy: (_ctx, client, token) => token.clientId === client.clientId,
    },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: (ctx) => pages.logout(ctx),
      postLogoutSuccessSource: (ctx) => pages.loggedOut(ctx),
    },
    userinfo: { enabled: true },
  }
}

async function findPerson(db: Db, id: string): Promise<Person | undefined> {
  const known = currentUnit()?.users.get(id)
  if (known) return known
  const user = await findUser(db, id)
  return user && !user.disabled_at ? user : undefined
}

// Only pages of the client itself, known by where it may be sent back to; a confidential client's secret has no place there.
function mayCallFrom(client: Client, origin: string): boolean {
  if (client.clientAuthMethod !== 'none') return false
  return (client.redirectUris ?? []).some((uri) => {
    const url = URL.parse(uri)
    // A private-use scheme has the origin "null", as every sandboxed page has.
    return url?.protocol.startsWith('http') && url.origin === origin
  })
}
