// Builds a provider: the library with our settings, and with everything of it that we replace.
import { randomBytes } from 'node:crypto'
import type { Context } from 'koa'
import { Provider } from 'oidc-provider'
import { newCredential } from '../base/credentials.ts'
import { DEVICE_INTERVAL_SECONDS } from '../core/clients/kinds.ts'
import { matchingSecret } from '../core/clients/secrets.ts'
import type { ClientUseRecorder } from '../core/clients/usage.ts'
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
import { issuerOf, listedScopes, type ProviderParts } from './provider-parts.ts'
import { keepClients } from './rules/client-lookup.ts'
import { forgiveParams, sayUnauthorized } from './rules/forgiving.ts'
import { answerForStructured, issueStructured } from './rules/jwt-access-tokens.ts'
import { rememberPrompts } from './rules/prompts.ts'
import { issueOpenidScopes, maySeeToken, showScopesWhereTheyBelong } from './rules/token-scopes.ts'
import { settings } from './settings.ts'
import { currentContext, currentUnit } from './storage/unit-of-work.ts'

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

// The provider's setting `discovery` adds to what it says by itself, and cannot correct it.
function discloseWhatAppsMayUse(provider: Provider, parts: ProviderParts): void {
  const { config } = parts
  useAround(provider, async (ctx, next) => {
    await next()
    if (routeOf(ctx) !== 'discovery') return
    Object.assign(ctx.body as object, {
      // The built-in client's response_type none is nobody else's.
      response_types_supported: ['code'],
      scopes_supported: listedScopes(parts),
      ...(config.dynamicRegistration.mode === 'off'
        ? {}
        : { registration_endpoint: `${issuerOf(config)}/register` }),
      ...(config.clientDocuments.on ? { client_id_metadata_document_supported: true } : {}),
    })
  })
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
