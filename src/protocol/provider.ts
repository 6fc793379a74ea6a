// The provider's settings, as a list. Rules stand where they belong; here they are only put in their places.
import { randomBytes } from 'node:crypto'
import type { JWK } from 'jose'
import type { Context } from 'koa'
import { type Client, type Configuration, Provider, type ResourceServer } from 'oidc-provider'
import { isApiScope } from '../base/admin-api-scopes.ts'
import type { Config } from '../base/config.ts'
import { newCredential } from '../base/credentials.ts'
import { claimsOf, OPENID_CLAIMS, OPENID_SCOPES } from '../base/openid-scopes.ts'
import type { Secrets } from '../base/secrets.ts'
import { DEVICE_INTERVAL_SECONDS } from '../core/clients/kinds.ts'
import { matchingSecret } from '../core/clients/secrets.ts'
import type { ClientUseRecorder } from '../core/clients/usage.ts'
import type { DocumentReader } from '../core/registration/document-reader.ts'
import type { ResourceDirectory } from '../core/resources/cache.ts'
import { findUser } from '../core/users/store.ts'
import type { Db } from '../db/pool.ts'
import { asFetch, type FetchOutside } from '../http/fetch.ts'
import { adapterFactory } from './adapters/adapter.ts'
import type { AdapterParts } from './adapters/parts.ts'
import { isVisit, noteRotation } from './adapters/sessions.ts'
import { noteAuthenticated } from './diagnostics/record.ts'
import {
  onUntyped,
  replaceSecretComparison,
  replaceSessionRotation,
  replaceTokenId,
  routeOf,
  useAround,
} from './internals/library.ts'
import { keepClients } from './rules/client-lookup.ts'
import { OWN_METADATA, type OwnMetadata } from './rules/clients.ts'
import { forgiveParams, sayUnauthorized } from './rules/forgiving.ts'
import { ACCOUNT_CLIENT_ID, grantLoader } from './rules/grants.ts'
import { answerForStructured, issueStructured } from './rules/jwt-access-tokens.ts'
import { promptPolicy, rememberPrompts } from './rules/prompts.ts'
import { resourceIndicators } from './rules/resources.ts'
import { apiScope, issueOpenidScopes, showScopesWhereTheyBelong } from './rules/token-scopes.ts'
import { throughStorage } from './storage/errors.ts'
import { currentContext, currentUnit, type Person } from './storage/unit-of-work.ts'

/** What a provider is built from. */
export interface ProviderParts extends AdapterParts {
  config: Config
  secrets: Secrets
  resources: ResourceDirectory
  clientUse: ClientUseRecorder
  /** Undefined: no client id is the address of a document. */
  documents: DocumentReader | undefined
  fetchOutside: FetchOutside
  keySet: { keys: JWK[] }
  /** Identifiers of all APIs. */
  identifiers: string[]
  /** Scopes of all APIs, for discovery. */
  resourceScopes: string[]
  pages: ProviderPages
}

/** Where an answer to an app goes: an address to open, or a form to post there. */
export interface WayOn {
  href: string
  fields?: [name: string, value: string][]
}

/** The pages that the provider shows itself. */
export interface ProviderPages {
  error(ctx: Context, out: { error: string; error_description?: string }, error: Error): Promise<void>
  /** Asks the person before they are sent to an app that nobody knows, with an error and nothing decided. */
  leaving(ctx: Context, client: Client, way: WayOn | undefined): void
  logout(ctx: Context): Promise<void>
  loggedOut(ctx: Context): Promise<void>
  /** Asks for the code that a device shows, and says what was wrong with the last one. */
  deviceCode(ctx: Context, error?: Error): void
  /** Asks whether the device is the person's own (RFC 8628 §5.4). */
  deviceConfirm(ctx: Context, client: Client, userCode: string): Promise<void>
  deviceDone(ctx: Context): void
}

const INTERACTION_SECONDS = 60 * 60
const PUSHED_REQUEST_SECONDS = 60
const DEVICE_CODE_SECONDS = 10 * 60
const SESSION_MAX_SECONDS = 90 * 86_400

/** Builds a provider. Keys and scopes are fixed for its life: when they change, a new one takes its place. */
export function createProvider(parts: ProviderParts): Provider {
  const provider = new Provider(issuerOf(parts.config), settings(parts))
  issuePrefixedValues(provider)
  issueStructured(provider)
  issueOpenidScopes(provider)
  answerForStructured(provider, { ...parts, maySeeToken })
  showScopesWhereTheyBelong(provider)
  keepClients(provider, parts)
  compareSecretDigests(provider, parts)
  rotateSessionsAtSignInOnly(provider)
  rememberPrompts(provider)
  forgiveParams(provider, parts.identifiers)
  sayUnauthorized(provider)
  discloseWhatAppsMayUse(provider, parts)
  onUntyped(provider, 'device_authorization.success', sayHowOften)
  return provider
}

/** The issuer identifier: the public origin, without a slash at the end. */
export function issuerOf(config: Config): string {
  return config.issuerUrl.origin
}

function settings(parts: ProviderParts): Configuration {
  const { config, db, secrets, pages } = parts
  const { ttl } = config
  const https = config.issuerUrl.protocol === 'https:'
  const cookie = { signed: true, httpOnly: true, sameSite: 'lax', secure: https } as const
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
    cookies: {
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
    },
    // The built-in client's response_type none is nobody else's.
    discovery: {
      response_types_supported: ['code'],
      scopes_supported: [...OPENID_SCOPES, ...publicScopes(parts)],
    },
    enabledJWA: {
      idTokenSigningAlgValues: ['RS256', 'ES256'],
      dPoPSigningAlgValues: ['ES256', 'EdDSA', 'RS256', 'PS256'],
    },
    // Access outlives the browser's session and ends when the user removes it.
    expiresWithSession: () => false,
    extraClientMetadata: { properties: [...OWN_METADATA] },
    features: {
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
      resourceIndicators: resourceIndicators(parts.resources, ttl.accessTokenSeconds),
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
    },
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
    ttl: {
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
    },
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

async function findPerson(db: Db, id: string): Promise<Person | undefined> {
  const known = currentUnit()?.users.get(id)
  if (known) return known
  const user = await findUser(db, id)
  return user && !user.disabled_at ? user : undefined
}

// RFC 7662 §4: a client learns about its own tokens, an API about those meant for it. Whoever allowed an app none of an
// API's scopes did not let it in there, even where the request named that API.
function maySeeToken(client: Client, token: SeenToken): boolean {
  if (token.clientId === client.clientId) return true
  const { resource } = client as Client & OwnMetadata
  return (
    resource !== undefined &&
    token.aud === resource &&
    (token.accountId === undefined || apiScope(token.scope) !== undefined)
  )
}

interface SeenToken {
  clientId?: string
  accountId?: string
  aud?: string | string[]
  scope?: string
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

// The provider's setting `discovery` adds to what it says by itself, and cannot correct it.
function discloseWhatAppsMayUse(provider: Provider, parts: ProviderParts): void {
  const { config } = parts
  useAround(provider, async (ctx, next) => {
    await next()
    if (routeOf(ctx) !== 'discovery') return
    Object.assign(ctx.body as object, {
      // The built-in client's response_type none is nobody else's.
      response_types_supported: ['code'],
      scopes_supported: [...OPENID_SCOPES, ...publicScopes(parts)],
      ...(config.dynamicRegistration.mode === 'off'
        ? {}
        : { registration_endpoint: `${issuerOf(config)}/register` }),
      ...(config.clientDocuments.on ? { client_id_metadata_document_supported: true } : {}),
    })
  })
}

// Apps in general have no business with the Admin API, and some ask for all that is listed.
function publicScopes({ resourceScopes }: ProviderParts): string[] {
  return resourceScopes.filter((scope) => !isApiScope(scope))
}

// RFC 8628 §3.2; devices that are not told ask every five seconds all the same.
function sayHowOften(ctx: Context): void {
  Object.assign(ctx.body as object, { interval: DEVICE_INTERVAL_SECONDS })
}

function issuePrefixedValues(provider: Provider): void {
  const models = [
    [provider.AccessToken, 'access_token'],
    [provider.ClientCredentials, 'client_credentials'],
    [provider.AuthorizationCode, 'authorization_code'],
    [provider.DeviceCode, 'device_code'],
    [provider.RefreshToken, 'refresh_token'],
  ] as const
  for (const [model, kind] of models) {
    replaceTokenId(model, (token) => {
      // Those of APIs that want another format: rules/jwt-access-tokens.ts.
      token.format = 'opaque'
      return newCredential(kind)
    })
  }
}

function compareSecretDigests(provider: Provider, { clientUse }: { clientUse: ClientUseRecorder }): void {
  replaceSecretComparison(provider, async (client, presented) => {
    // Not the directory's, which may have another one by now: it is this request's that was held against the row.
    const registration = currentUnit()?.registrations.get(client.clientId)
    const secret = registration && matchingSecret(registration.secrets, presented)
    if (secret) clientUse.secret(secret.id)
    if (secret) noteAuthenticated(currentContext())
    return secret !== undefined
  })
}

// The provider also gives a session a new id after each consent; another tab that is under way with the old id would then
// find itself signed out. A new id belongs where privileges change: at sign-in (ASVS 7.2.4) and at sign-out.
function rotateSessionsAtSignInOnly(provider: Provider): void {
  replaceSessionRotation(provider, (session, rotate) => {
    const ctx = currentContext()
    const route = routeOf(ctx)
    if ((route === 'resume' || route === 'device_resume') && !ctx?.oidc.result?.login) return
    // Copies of a visit may be signed in with at the same moment; sessions are told apart by their uid.
    if (isVisit(session.jti)) session.uid = randomBytes(16).toString('base64url')
    noteRotation(session.jti)
    rotate()
  })
}
