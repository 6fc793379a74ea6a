// Authorization requests that wait for a person, and the pushed requests (RFC 9126) some of them come from.
import { decodeJwt } from 'jose'
import { type AdapterPayload, errors } from 'oidc-provider'
import { digest } from '../../credentials.ts'
import type { Db } from '../../db/pool.ts'
import { signInEpoch } from '../../users/store.ts'
import { consumeState, destroyState, findState, type StateId, type StateKind, saveState } from '../state.ts'
import { storable } from '../storage.ts'
import { currentContext } from '../unit.ts'
import { type Adapter, type AdapterParts, seal, unseal, unused } from './parts.ts'
import { epochOf } from './sessions.ts'

/** The adapter of interactions. */
export function interactionAdapter({ db, issuer }: AdapterParts): Adapter {
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
        returnTo: `${issuer}/${payload.deviceCode ? 'device' : 'auth'}/${id}`,
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

/** The adapter of pushed authorization requests. */
export function pushedRequestAdapter({ db, secrets }: AdapterParts): Adapter {
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

// A sign-in is kept with its interaction until the browser comes back. Meanwhile the password may have been changed or the
// account disabled; the person is then asked again.
async function isSignInOver(db: Db, result: unknown): Promise<boolean> {
  const { login } = (result ?? {}) as { login?: { accountId: string } }
  const epoch = epochOf(result)
  return login !== undefined && (epoch === undefined || (await signInEpoch(db, login.accountId)) !== epoch)
}

// An ID token that came as a hint has been looked at by now; what it says of a person need not be kept.
function withoutHint(interaction: Record<string, unknown>): Record<string, unknown> {
  const { params, prompt } = interaction as Record<'params' | 'prompt', Record<string, unknown> | undefined>
  const { id_token_hint: hint, ...asked } = params ?? {}
  const { id_token_hint: _same, ...details } = (prompt?.details ?? {}) as Record<string, unknown>
  // Whom the app meant is remembered; a sign-in by somebody else is no answer to it (OpenID Connect Core §3.1.2.1).
  if (typeof hint === 'string') asked.hinted_sub = decodeJwt(hint).sub
  return { ...interaction, params: asked, prompt: { ...prompt, details } }
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
