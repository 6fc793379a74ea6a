// Everything of oidc-provider that its types do not describe, and everything of it that we replace. Thin, typed access only: what is
// decided with it stands in provider.ts and rules/. It knows nothing else of ours.
//
// After an update of the library, test/protocol/internals/library.test.ts names what has moved. Read those places again, then set READ_IN.
import type { Context, Middleware } from 'koa'
import {
  type AccessToken,
  type AdapterPayload,
  type Client,
  type errors,
  type interactionPolicy,
  Provider,
  type ResourceServer,
  type Session,
} from 'oidc-provider'

/** The version of oidc-provider in which everything below was read. */
export const READ_IN = '9.13.3'

/** A request as the library sees it. */
export type OidcContext = Provider['OIDCContext']['prototype']

// Otherwise `ctx.oidc` is `any`, and the compiler says nothing of a member that the library's types do not have.
declare module 'koa' {
  interface DefaultContext {
    /** Undefined where the provider does not handle the request. */
    oidc: OidcContext
  }
}

// ---- Replaced methods ----

/** A token while the library issues it. */
export interface IssuedToken {
  format?: 'opaque' | 'jwt'
  accountId?: string
  scope?: string
  aud?: string | string[]
  resourceServer?: ResourceServer
  iat?: number
  exp?: number
}

/** What a token is sent as, and what is stored of it; a JWT has no payload to store. */
export interface IssuedValue {
  value: string
  payload?: { iat: number; exp: number }
}

/** A kind of token, e.g. `provider.AccessToken`. */
export interface TokenModel {
  prototype: object
}

/**
 * Replaces how tokens of a kind are named: the value of an opaque token, the `jti` of a JWT. `make` must set `token.format`, which
 * the library decides in the same method. Reason: the setting `formats` knows only how long a value is.
 * Read in 9.13.3: models/base_model.js, models/formats/index.js.
 */
export function replaceTokenId(
  model: TokenModel,
  make: (token: IssuedToken, original: () => string) => string,
): void {
  const prototype = model.prototype as IssuedToken & { generateTokenId(): string }
  const original = prototype.generateTokenId
  prototype.generateTokenId = function () {
    return make(this, () => original.call(this))
  }
}

/**
 * Replaces how the value and the stored payload of a token are made. Reason: the library stores nothing of a JWT.
 * Read in 9.13.3: models/base_model.js (`save`), models/formats/jwt.js.
 */
export function replaceTokenValue(
  model: TokenModel,
  make: (token: IssuedToken, original: () => Promise<IssuedValue>) => Promise<IssuedValue>,
): void {
  const prototype = model.prototype as IssuedToken & { getValueAndPayload(): Promise<IssuedValue> }
  const original = prototype.getValueAndPayload
  prototype.getValueAndPayload = async function () {
    return make(this, () => original.call(this))
  }
}

/**
 * Replaces how an access token that somebody presents is found. Reason: the library stores nothing of a JWT, and refuses a token that
 * names an audience at the userinfo endpoint. Read in 9.13.3: models/access_token.js (`find`), shared/access_token.js, actions/userinfo.js.
 */
export function replaceTokenLookup(
  provider: Provider,
  find: (
    value: unknown,
    original: () => Promise<AccessToken | undefined>,
  ) => Promise<AccessToken | undefined>,
): void {
  const model = provider.AccessToken as {
    find(value: unknown, options?: object): Promise<AccessToken | undefined>
  }
  const original = model.find.bind(model)
  model.find = (value, options) => find(value, () => original(value, options))
}

/** An access token made of what is stored of it. Reason: its type asks for a client. Read in 9.13.3: models/base_model.js (`instantiate`). */
export function accessTokenOf(provider: Provider, stored: AdapterPayload): AccessToken {
  return new provider.AccessToken(stored as ConstructorParameters<Provider['AccessToken']>[0])
}

/**
 * Replaces how the library finds a client, which it does by this method alone. Reason: the library digests the whole registration at
 * each look-up, and has no setting for a cache. Read in 9.13.3: models/client.js (`find`).
 */
export function replaceClientLookup(
  provider: Provider,
  find: (id: unknown, original: (id: unknown) => Promise<Client | undefined>) => Promise<Client | undefined>,
): void {
  const model = provider.Client as { find(id: unknown): Promise<Client | undefined> }
  const original = model.find.bind(model)
  model.find = (id) => find(id, original)
}

/**
 * Replaces how a secret that a client presents is judged. Reason: only digests of secrets are stored.
 * Read in 9.13.3: models/client.js (`compareClientSecret`), shared/client_auth.js.
 */
export function replaceSecretComparison(
  provider: Provider,
  compare: (client: Client, secret: string) => Promise<boolean>,
): void {
  provider.Client.prototype.compareClientSecret = function (secret) {
    return compare(this, secret)
  }
}

/**
 * Replaces which grant types and response types a client may use. Reason: the library says `invalid_request` where RFC 6749 §4.1.2.1 and
 * §5.2 say `unauthorized_client`. Read in 9.13.3: models/client.js, actions/token.js, actions/authorization/client.js, response_parameters.js.
 */
export function replacePermissions(
  provider: Provider,
  check: (kind: 'grant' | 'response', type: string, isAllowed: boolean) => boolean,
): void {
  const { prototype } = provider.Client
  const { grantTypeAllowed, responseTypeAllowed } = prototype
  prototype.grantTypeAllowed = function (type) {
    return check('grant', type, grantTypeAllowed.call(this, type))
  }
  prototype.responseTypeAllowed = function (type) {
    return check('response', type, responseTypeAllowed.call(this, type))
  }
}

/**
 * Lets `change` at the parameters of each request, before the library reads any of them. Reason: nothing else of ours runs between the
 * reading of a request and its checks. Read in 9.13.3: shared/assemble_params.js, actions/authorization/{resume,device}.js.
 */
export function changeParams(
  provider: Provider,
  change: (oidc: OidcContext, params: Record<string, unknown>) => void,
): void {
  const all = new WeakMap<OidcContext, Record<string, unknown>>()
  Object.defineProperty(provider.OIDCContext.prototype, 'params', {
    get(this: OidcContext) {
      return all.get(this)
    },
    set(this: OidcContext, params: Record<string, unknown>) {
      change(this, params)
      all.set(this, params)
    },
  })
}

/**
 * Replaces when a session gets another id. The library then destroys the session under the old id, and stores it under the new one.
 * Reason: no setting says when. Read in 9.13.3: models/session.js (`resetIdentifier`, `save`), actions/authorization/resume.js.
 */
export function replaceSessionRotation(
  provider: Provider,
  rotate: (session: Session, original: () => void) => void,
): void {
  const { prototype } = provider.Session
  const original = prototype.resetIdentifier
  prototype.resetIdentifier = function () {
    rotate(this, () => original.call(this))
  }
}

/**
 * Replaces which prompts a request asks for, and which of them are still due. Reason: the library drops `prompt` of device requests, and
 * remembers one page back only. Read in 9.13.3: helpers/oidc_context.js (`prompts`, `promptPending`).
 */
export function replacePrompts(
  provider: Provider,
  prompts: (oidc: OidcContext) => Set<string>,
  isPending: (oidc: OidcContext, name: string) => boolean,
): void {
  Object.defineProperties(provider.OIDCContext.prototype, {
    prompts: {
      get(this: OidcContext) {
        return prompts(this)
      },
    },
    promptPending: {
      value(this: OidcContext, name: string) {
        return isPending(this, name)
      },
    },
  })
}

/** A check of the library's own policy. @throws TypeError when there is none. Read in 9.13.3: helpers/interaction_policy/prompts. */
export function policyCheck(
  policy: interactionPolicy.DefaultPolicy,
  prompt: 'login' | 'consent',
  name: 'id_token_hint' | 'max_age' | 'native_client_prompt',
): interactionPolicy.Check {
  const check = policy.get(prompt)?.checks.get(name)
  if (!check) throw new TypeError(`oidc-provider has no check ${name} of the prompt ${prompt}`)
  return check
}

// ---- The request under way ----

/**
 * What the provider answers with, as one would compose it. Reason: `callback()` would make a context of its own, and Koa 3 and the
 * library have types of their own. Read in 9.13.3: provider.js, which is a Koa.
 */
export function middlewareOf(provider: Provider): Middleware[] {
  return (provider as unknown as { middleware: Middleware[] }).middleware
}

/** The request that the provider handles; undefined outside of one. Reason: its type is of the library's Koa. */
export function providerContext(): Context | undefined {
  return Provider.ctx as unknown as Context | undefined
}

/** Adds a middleware around the provider's own. Reason: its type is of the library's Koa. */
export function useAround(provider: Provider, middleware: Middleware): void {
  provider.use((ctx, next) => middleware(ctx as unknown as Context, next))
}

/** Names that the library gives its routes. Read in 9.13.3: helpers/initialize_app.js. */
export type Route =
  | 'authorization'
  | 'resume'
  | 'pushed_authorization_request'
  | 'device_authorization'
  | 'device_resume'
  | 'token'
  | 'introspection'
  | 'revocation'
  | 'userinfo'
  | 'discovery'
  | 'end_session'
  | 'end_session_confirm'

/** The route of a request; undefined where the provider does not handle it, and for routes that nothing here asks about. */
export function routeOf(ctx: Context | undefined): Route | undefined {
  return ctx?.oidc?.route as Route | undefined
}

/** Events that the library's types do not have. Read in 9.13.3: helpers/initialize_app.js, actions/authorization/device.js. */
export type UntypedEvent =
  | 'device_authorization.error'
  | 'end_session.error'
  | 'device_authorization.success'
  | 'pushed_authorization_request.error'

/** Listens to an event that the library's types do not have. */
export function onUntyped(
  provider: Provider,
  event: UntypedEvent,
  listener: (ctx: Context, error: errors.OIDCProviderError) => void,
): void {
  provider.on(event as 'grant.error', listener)
}

/** The interaction that a request goes on with, and the pushed request that it came from. Read in 9.13.3: models/interaction.js. */
export function interactionOf(ctx: Context): { jti: string; parJti?: string } | undefined {
  return ctx.oidc.entities.Interaction
}

/**
 * Has the library forget the interaction of this request. Reason: it notes an error of the request on the device code that the
 * interaction is about. Read in 9.13.3: actions/authorization/device.js.
 */
export function forgetInteraction(ctx: Context): void {
  delete (ctx.oidc.entities as { Interaction?: unknown }).Interaction
}

/**
 * What an interaction keeps of the session that it began with, less the value of the session's cookie: a credential that nothing reads.
 * Read in 9.13.3: models/interaction.js.
 */
export function withoutSessionCookie(session: object): object {
  const { cookie: _, ...rest } = session as { cookie?: unknown }
  return rest
}

// ---- The session ----

/** What the library keeps with a session while one of its forms is shown: the form's secret, and who signs out to where. */
export interface FormState {
  secret?: string
  clientId?: string
  postLogoutRedirectUri?: string
}

/** Read in 9.13.3: shared/xsrf.js, actions/end_session.js. @param session a session, or its stored payload */
export function formStateOf(session: object | undefined): FormState | undefined {
  return (session as { state?: FormState } | undefined)?.state
}

/** Whether the session of this request was ever stored. Read in 9.13.3: models/session.js, where only a stored one expires. */
export function isSessionStored(ctx: Context): boolean {
  return (ctx.oidc.session as { exp?: number }).exp !== undefined
}

/** Has the library leave the session of this request as it is stored. Read in 9.13.3: shared/session.js (`touched`). */
export function leaveSession(ctx: Context): void {
  Object.assign(ctx.oidc.session!, { touched: false })
}

/** The cookies of the session, its signature included. Read in 9.13.3: shared/session.js, which expects the same names. */
export function sessionCookieNames(ctx: Context): string[] {
  const name = ctx.oidc.provider.cookieName('session')
  return [name, `${name}.sig`]
}

// ---- Errors ----

/** Texts that tell the library's errors apart, where codes and classes do not: any of them, anywhere in what an error says. */
export const ERROR_TEXTS = {
  client_gone: ['client not found'],
  secret_wrong: ['invalid secret provided'],
  auth_method: ['does not match the registered client authentication method'],
  auth_malformed: [
    'client authentication must only',
    'no client authentication mechanism',
    'authorization header',
    'Authorization header',
    'client_id mismatch',
  ],
  redirect_uri: ['redirect_uri did not match any'],
  redirect_uri_of_code: ['code redirect_uri mismatch'],
  no_challenge: ['policy requires PKCE', 'code_challenge must be provided'],
  challenge_method: ['code_challenge_method'],
  no_verifier: ['code_verifier must be provided'],
  verifier_wrong: ['code_verifier does not match'],
  pkce_malformed: [
    'code_verifier must be a string',
    'code_verifier contains',
    'code_challenge must be a string',
    'code_challenge contains',
  ],
  clock: ['DPoP proof iat', '"iat" claim timestamp', '"exp" claim timestamp', '"nbf" claim timestamp'],
  dpop_target: ['DPoP proof htm mismatch', 'DPoP proof htu mismatch'],
  dpop_replayed: ['Replay detected'],
  dpop_other_key: ['jkt verification', 'does not match dpop_jkt'],
  dpop_missing: ['DPoP proof JWT not provided', 'missing DPoP proof'],
  dpop: ['DPoP', 'sender-constrained'],
  grant_type: ['grant type is not allowed'],
  response_type: ['response_type is not allowed'],
  scope_malformed: ['scope contains invalid'],
  scope_not_granted: ['refresh token missing requested'],
  resource_malformed: ['resource indicator must', 'single resource indicator'],
  code_unknown: ['authorization code not found'],
  refresh_unknown: ['refresh token not found'],
  access_token: ['access token not found'],
  other_client: ['client mismatch'],
  pushed_request_gone: ['request_uri is invalid, expired'],
  code_expired: ['code is expired'],
  refresh_expired: ['refresh token is expired'],
  used: ['already consumed', 'already used'],
  post_logout: ['post_logout_redirect_uri not registered'],
  id_token_hint: [
    'decode id_token_hint',
    'validate id_token_hint',
    'provided id_token_hint',
    'unrecognized id_token_hint',
  ],
  parameter_missing: ['missing required parameter'],
  parameter_repeated: ['must not be provided twice'],
} as const

/** What an error of the library may say, see {@link ERROR_TEXTS}. */
export type ErrorText = keyof typeof ERROR_TEXTS

/** Whether an error says this. Read in 9.13.3; the test names the file of each text. */
export function isSaid(says: string, text: ErrorText): boolean {
  return ERROR_TEXTS[text].some((each) => says.includes(each))
}

/** What the library says of an error, to itself or to the app, and the scope it is about. Read in 9.13.3: helpers/errors.js. */
export function saidBy(error: errors.OIDCProviderError): { says: string; scope: string | undefined } {
  const { error_detail, error_description = '', scope } = error as typeof error & { scope?: string }
  return { says: error_detail ?? error_description, scope }
}

/** Why a code that a person typed in is not good, by the text of the error, whose class the library does not export. */
export const USER_CODE_TEXTS = {
  aborted: 'the interaction was aborted',
  missing: 'no code submitted',
  unknown: 'the code was not found',
  expired: 'the code has expired',
  used: 'code has already been used',
} as const

/** What is wrong with a code that a person typed in; undefined for any other error. Read in 9.13.3: helpers/re_render_errors.js. */
export function userCodeError(error: Error | undefined): keyof typeof USER_CODE_TEXTS | undefined {
  const names = Object.keys(USER_CODE_TEXTS) as (keyof typeof USER_CODE_TEXTS)[]
  return names.find((name) => USER_CODE_TEXTS[name] === error?.message)
}
