// Storage as oidc-provider asks for it: one small adapter a model, over the stores. It adds what the provider leaves to
// storage: values kept as digests, single use that holds under races, and one transaction for consuming and issuing.
import { type AdapterPayload, errors, type Adapter as ProviderAdapter } from 'oidc-provider'
import type { Actor } from '../audit/events.ts'
import { record } from '../audit/store.ts'
import type { ClientDirectory } from '../clients/directory.ts'
import { digest, kindOf } from '../credentials.ts'
import type { Db } from '../db/pool.ts'
import { tx } from '../db/pool.ts'
import { findGrant, type GrantedScopes, revokeGrant } from '../grants/store.ts'
import type { Secrets } from '../secrets.ts'
import { createSession, destroySession, findSession, renewSession } from '../users/sessions.ts'
import { signInEpoch } from '../users/store.ts'
import { actorOf } from '../web/actor.ts'
import { providerMetadata } from './clients.ts'
import {
  consumeState,
  destroyState,
  findState,
  type StateId,
  type StateKind,
  saveNewState,
  saveState,
} from './state.ts'
import { storable, throughStorage } from './storage.ts'
import type { NewToken, TokenKind, TokenRow, TokenStore } from './tokens.ts'
import { currentContext, currentUnit, type Unit } from './unit.ts'

/** What the adapters stand on. */
export interface AdapterParts {
  db: Db
  tokens: TokenStore
  clients: ClientDirectory
  issuer: string
  secrets: Secrets
}

// Every model that we store expires; the provider's own type leaves that open.
type Adapter = Omit<ProviderAdapter, 'upsert'> & {
  upsert(id: string, payload: AdapterPayload, expiresIn: number): Promise<void>
}

const TOKEN_MODELS: Record<string, TokenKind> = {
  AuthorizationCode: 'authorization_code',
  AccessToken: 'access_token',
  RefreshToken: 'refresh_token',
  ClientCredentials: 'client_credentials',
}

/** The adapter of each model, as the provider's `adapter` setting wants it. */
export function adapterFactory(parts: AdapterParts): (model: string) => ProviderAdapter {
  return (model) => {
    const kind = TOKEN_MODELS[model]
    if (kind) return protect(tokenAdapter(parts, model, kind))
    if (model === 'Client') return protect(clientAdapter(parts))
    if (model === 'Grant') return protect(grantAdapter(parts))
    if (model === 'Session') return protect(sessionAdapter(parts))
    if (model === 'Interaction') return protect(interactionAdapter(parts))
    if (model === 'PushedAuthorizationRequest') return protect(pushedRequestAdapter(parts))
    if (model === 'ReplayDetection') return protect(replayAdapter(parts))
    // Models of features that are switched off: the provider makes their adapters and never calls them.
    return protect(unused(model))
  }
}

function tokenAdapter({ db, tokens }: AdapterParts, model: string, kind: TokenKind): Adapter {
  const read = (value: string): Promise<TokenRow | undefined> => {
    const unit = currentUnit()
    if (!unit) return tokens.find(digest(value))
    const known = unit.tokens.get(value) ?? tokens.find(digest(value))
    unit.tokens.set(value, known)
    return known
  }
  return {
    ...unused(model),
    async find(value) {
      // The kind is in the prefix: introspection asks three models, and only one of them queries.
      if (kindOf(value) !== kind) return undefined
      const row = await read(value)
      if (!row || row.kind !== kind) return undefined
      rememberUser(row)
      return tokenPayload(model, value, row)
    },
    async upsert(value, payload, expiresIn) {
      const token = newToken(value, kind, payload, expiresIn)
      const writes = currentUnit()?.writes
      if (writes) writes.issue.push(token)
      else if (!(await tokens.insert(token))) throw new errors.InvalidGrant('access was removed')
    },
    async consume(value) {
      const writes = currentUnit()?.writes
      if (writes) writes.consume = digest(value)
      else if (!(await tokens.consume(digest(value))))
        throw new errors.InvalidGrant(`${kind} was used already`)
    },
    destroy: (value) => tokens.destroy(digest(value)),
    revokeByGrantId: (grant_id) => endGrant(db, grant_id),
  }
}

function clientAdapter({ clients }: AdapterParts): Adapter {
  return {
    ...unused('Client'),
    async find(id) {
      const registration = await clients.find(id)
      return registration && (providerMetadata(registration) as AdapterPayload)
    },
  }
}

function grantAdapter({ db }: AdapterParts): Adapter {
  return {
    ...unused('Grant'),
    async find(id) {
      for (const read of currentUnit()?.tokens.values() ?? []) {
        const row = await read
        if (row?.grant_id === id) return grantPayload(id, row)
      }
      const grant = await findGrant(db, id)
      return (
        grant &&
        grantPayload(id, {
          user_id: grant.user_id,
          client_id: grant.client_id,
          grant_payload: grant.payload,
          grant_iat: seconds(grant.created_at),
          grant_exp: grant.ends_at && seconds(grant.ends_at),
        })
      )
    },
    destroy: (id) => endGrant(db, id),
  }
}

function sessionAdapter({ db, secrets }: AdapterParts): Adapter {
  // What this request knows of a stored session: one that it read is only ever renewed, never made again, so that a
  // session ended meanwhile (password changed elsewhere) is not brought back by a request in flight.
  const known = (): Map<string, 'stored' | 'gone'> => {
    const state = currentContext()?.state as { sessions?: Map<string, 'stored' | 'gone'> } | undefined
    if (!state) return new Map()
    state.sessions ??= new Map()
    return state.sessions
  }
  return {
    ...unused('Session'),
    async find(id) {
      const row = await findSession(db, { id })
      if (!row) return undefined
      known().set(id, 'stored')
      if (row.user) currentUnit()?.users.set(row.user.id, row.user)
      return { ...openLogout(secrets, row.payload), kind: 'Session', jti: id } as AdapterPayload
    },
    async findByUid(uid) {
      const row = await findSession(db, { uid })
      return row && ({ ...row.payload, kind: 'Session' } as AdapterPayload)
    },
    async upsert(id, { jti: _jti, kind: _kind, ...payload }, expiresIn) {
      const session = {
        uid: payload.uid as string,
        user_id: payload.accountId ?? null,
        payload: storable(sealLogout(secrets, payload)),
        expiresIn,
        epoch: epochOf(currentContext()?.oidc?.result),
      }
      const sessions = known()
      if (sessions.get(id) === 'stored') return renewSession(db, id, session)
      if ([...sessions.values()].includes('gone')) return
      await createSession(db, id, session)
      sessions.set(id, 'stored')
    },
    async destroy(id) {
      const ctx = currentContext()
      const signingOut = ctx?.oidc?.route === 'end_session_confirm'
      const existed = await destroySession(db, id, signingOut ? actorOf(ctx) : undefined)
      if (!existed) known().set(id, 'gone')
      else known().delete(id)
    },
  }
}

function interactionAdapter({ db, issuer }: AdapterParts): Adapter {
  return {
    ...unused('Interaction'),
    async find(id) {
      const row = await findState(db, 'interaction', id)
      if (!row || row.consumed) return undefined
      const { par_hash, ...payload } = row.payload
      if (await isSignInOver(db, payload.result)) delete payload.result
      if (par_hash) rememberPushedRequest(Buffer.from(par_hash as string, 'base64url'))
      return {
        ...payload,
        kind: 'Interaction',
        jti: id,
        returnTo: `${issuer}/auth/${id}`,
        ...(par_hash ? { parJti: PUSHED_EARLIER } : {}),
      } as AdapterPayload
    },
    upsert(id, { jti: _jti, kind: _kind, returnTo: _returnTo, parJti, session, ...payload }, expiresIn) {
      const pushed = parJti === PUSHED_EARLIER ? pushedEarlier() : parJti && digest(parJti as string)
      // The session's cookie value, which the provider puts here, is a credential, and nothing reads it.
      const { cookie: _cookie, ...origin } = (session ?? {}) as Record<string, unknown>
      const stored = {
        ...withoutHint(payload),
        ...(session ? { session: origin } : {}),
        ...(pushed ? { par_hash: pushed.toString('base64url') } : {}),
      }
      return saveState(db, 'interaction', id, storable(stored), expiresIn)
    },
    async destroy(id) {
      const row = await findState(db, 'interaction', id)
      const { client_id } = (row?.payload.params ?? {}) as { client_id?: string }
      // What remains says where the person was going, for the back button.
      await consumeState(db, 'interaction', id, JSON.stringify({ client_id }))
    },
  }
}

function pushedRequestAdapter({ db, secrets }: AdapterParts): Adapter {
  const named = (id: string): StateId => (id === PUSHED_EARLIER ? (pushedEarlier() ?? id) : id)
  const kind: StateKind = 'pushed_authorization_request'
  return {
    ...unused('PushedAuthorizationRequest'),
    async find(id) {
      const row = await findState(db, kind, named(id))
      if (!row) return undefined
      const request = unseal(secrets, row.payload.request)
      if (request === undefined) return undefined
      return {
        ...row.payload,
        request,
        kind: 'PushedAuthorizationRequest',
        jti: id,
        consumed: row.consumed,
      } as AdapterPayload
    },
    upsert: (id, { jti: _jti, kind: _kind, request, ...payload }, expiresIn) =>
      saveState(db, kind, id, storable({ ...payload, request: seal(secrets, String(request)) }), expiresIn),
    async consume(id) {
      if (!(await consumeState(db, kind, named(id))))
        throw new errors.InvalidRequestUri('request_uri was used already')
    },
    destroy: (id) => destroyState(db, kind, named(id)),
  }
}

function replayAdapter({ db }: AdapterParts): Adapter {
  return {
    ...unused('ReplayDetection'),
    async find(id) {
      const row = await findState(db, 'replay_detection', id)
      return row && ({ ...row.payload, kind: 'ReplayDetection', jti: id } as AdapterPayload)
    },
    async upsert(id, { jti: _jti, kind: _kind, ...payload }, expiresIn) {
      const fresh = await saveNewState(db, 'replay_detection', id, storable(payload), expiresIn)
      if (!fresh) throw new errors.InvalidRequest('this proof was used already')
    },
  }
}

/**
 * Ends a grant because the protocol says so: its client revoked a refresh token (RFC 7009 §2.1), or a code or refresh
 * token was shown twice (RFC 9700 §4.14.2). The provider asks once a model; the first time does it.
 */
export async function endGrant(db: Db, grant_id: string, ctx = currentContext()): Promise<void> {
  const unit = ctx?.state.unit as Unit | undefined
  // A revoked access token takes nothing along; only the refresh token stands for the whole grant.
  if (ctx?.oidc?.route === 'revocation' && ctx.oidc.entities.AccessToken) return
  if (unit?.revoked.has(grant_id)) return
  unit?.revoked.add(grant_id)
  if (ctx?.oidc?.route === 'revocation') {
    await revokeGrant(db, grant_id, 'revoked_by_client', clientActor(ctx))
    return
  }
  const by: Actor = ctx ? clientActor(ctx) : { type: 'system' }
  await tx(db, async (t) => {
    const grant = await findGrant(t, grant_id)
    if (!(await revokeGrant(t, grant_id, 'replay', by)) || !grant) return
    const { user_id, client_id } = grant
    await record(
      t,
      { type: 'token.reuse_detected', user_id, client_id, grant_id, kind: replayedKind(ctx) },
      by,
    )
  })
}

function replayedKind(ctx: ReturnType<typeof currentContext>): string {
  return ctx?.oidc?.params?.grant_type === 'authorization_code' ? 'authorization_code' : 'refresh_token'
}

function clientActor(ctx: NonNullable<ReturnType<typeof currentContext>>): Actor {
  return { ...actorOf(ctx), type: 'client', id: ctx.oidc.client?.clientId }
}

function newToken(value: string, kind: TokenKind, payload: AdapterPayload, expiresIn: number): NewToken {
  const {
    jti: _jti,
    kind: _kind,
    iat: _iat,
    exp,
    clientId,
    grantId,
    accountId: _accountId,
    consumed: _c,
    ...rest
  } = payload
  return {
    hash: digest(value),
    kind,
    client_id: clientId!,
    grant_id: grantId ?? null,
    payload: storable(rest),
    exp: exp ?? Math.floor(Date.now() / 1000) + expiresIn,
  }
}

function tokenPayload(model: string, value: string, row: TokenRow): AdapterPayload {
  return {
    ...row.payload,
    kind: model,
    jti: value,
    iat: row.iat,
    exp: row.exp,
    clientId: row.client_id,
    ...(row.grant_id === null ? {} : { grantId: row.grant_id, accountId: row.user_id! }),
    ...(row.consumed ? { consumed: true } : {}),
  }
}

type GrantPart = Pick<TokenRow, 'user_id' | 'client_id' | 'grant_payload' | 'grant_iat' | 'grant_exp'>

const NEVER = 4_102_444_800 // The year 2100: the provider wants every grant to expire.

function grantPayload(id: string, row: GrantPart): AdapterPayload {
  return {
    ...(row.grant_payload as GrantedScopes),
    kind: 'Grant',
    jti: id,
    accountId: row.user_id!,
    clientId: row.client_id,
    iat: row.grant_iat!,
    exp: row.grant_exp ?? NEVER,
  } as AdapterPayload
}

// A sign-in is kept with its interaction until the browser comes back. Meanwhile the password may have been changed or the
// account disabled; the person is then asked again.
async function isSignInOver(db: Db, result: unknown): Promise<boolean> {
  const { login } = (result ?? {}) as { login?: { accountId: string } }
  const epoch = epochOf(result)
  return login !== undefined && (epoch === undefined || (await signInEpoch(db, login.accountId)) !== epoch)
}

function epochOf(result: unknown): number | undefined {
  return (result as { login?: { epoch?: number } } | undefined)?.login?.epoch
}

// An ID token that came as a hint has been looked at by now; what it says of a person need not be kept.
function withoutHint(interaction: Record<string, unknown>): Record<string, unknown> {
  const { params, prompt } = interaction as Record<'params' | 'prompt', Record<string, unknown> | undefined>
  const { id_token_hint: _hint, ...asked } = params ?? {}
  const { id_token_hint: _same, ...details } = (prompt?.details ?? {}) as Record<string, unknown>
  return { ...interaction, params: asked, prompt: { ...prompt, details } }
}

type LogoutState = { state?: { secret?: unknown } }

// The secret of a sign-out form stands in its session.
function sealLogout(secrets: Secrets, session: Record<string, unknown>): Record<string, unknown> {
  const { state } = session as LogoutState
  return state ? { ...session, state: { ...state, secret: seal(secrets, String(state.secret)) } } : session
}

function openLogout(secrets: Secrets, session: Record<string, unknown>): Record<string, unknown> {
  const { state, ...rest } = session as LogoutState
  const secret = unseal(secrets, state?.secret)
  return secret === undefined ? rest : { ...rest, state: { ...state, secret } }
}

// For what must come back as it was, while whoever reads the database must not have it.
function seal(secrets: Secrets, text: string): string {
  return secrets.encrypt(text).toString('base64url')
}

// Undefined for what was sealed under a key that is gone: it was short-lived, and is asked for anew.
function unseal(secrets: Secrets, sealed: unknown): string | undefined {
  try {
    return secrets.decrypt(Buffer.from(sealed as string, 'base64url'))
  } catch {
    return undefined
  }
}

function rememberUser({ user_id, email, email_verified, name }: TokenRow): void {
  if (user_id === null) return
  currentUnit()?.users.set(user_id, {
    id: user_id,
    email: email!,
    email_verified: email_verified!,
    name: name!,
  })
}

// An interaction must not keep the id of a pushed request, which is a credential while it lives. It keeps the digest, and
// hands it on within one request: no id that a client sends can mean the same.
const PUSHED_EARLIER = 'pushed-earlier'

function rememberPushedRequest(hash: Buffer): void {
  const ctx = currentContext()
  if (ctx) ctx.state.pushedRequest = hash
}

function pushedEarlier(): Buffer | undefined {
  return currentContext()?.state.pushedRequest as Buffer | undefined
}

function seconds(date: Date): number {
  return Math.floor(date.getTime() / 1000)
}

function unused(model: string): Adapter {
  const refuse = (): never => {
    throw new Error(`${model} is not stored this way`)
  }
  return {
    upsert: refuse,
    find: refuse,
    findByUserCode: refuse,
    findByUid: refuse,
    consume: refuse,
    destroy: refuse,
    revokeByGrantId: refuse,
  }
}

// A database that cannot be reached is the provider's temporarily_unavailable with status 503, not its server_error.
function protect(adapter: Adapter): ProviderAdapter {
  const calls = Object.entries(adapter).map(([name, call]) => [
    name,
    (...args: unknown[]) => throughStorage(async () => (call as (...args: unknown[]) => unknown)(...args)),
  ])
  return Object.fromEntries(calls) as ProviderAdapter
}
