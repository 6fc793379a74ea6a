// Authorization requests that wait for a person, and the pushed requests (RFC 9126) some of them come from.
import type { Context } from 'koa'
import { type AdapterPayload, errors } from 'oidc-provider'
import { digest } from '../../base/credentials.ts'
import { signInEpoch } from '../../core/users/sign-in.ts'
import type { Answers } from '../../db/answers.ts'
import type { Db } from '../../db/pool.ts'
import { forgetInteraction, interactionOf, routeOf, withoutSessionCookie } from '../internals/library.ts'
import { ACCOUNT_CLIENT_ID } from '../rules/grants.ts'
import { answeredSoFar, hintedSub } from '../rules/prompts.ts'
import { clearSealed, copySealed, readSealed, setSealed } from '../rules/sealed-cookies.ts'
import { hashInName, nameOfCode } from '../storage/device-codes.ts'
import { storable } from '../storage/errors.ts'
import {
  destroyState,
  findState,
  type GiveBacks,
  type StateId,
  type StateKind,
  savePushedRequest,
  type Use,
  useDecision,
  usePushedRequest,
} from '../storage/state.ts'
import { currentContext, currentRequest, nameRequest } from '../storage/unit-of-work.ts'
import { type Adapter, type AdapterParts, seal, unseal, unused } from './parts.ts'
import { epochOf, hasRotated, sessionCookies } from './sessions.ts'

/**
 * The adapter of interactions. Until somebody decides, an interaction is nothing but a cookie of its browser; what is decided is a
 * row, see src/protocol/interaction/step.ts.
 */
export function interactionAdapter({ db, issuer, secrets, uses, answers }: AdapterParts): Adapter {
  return {
    ...unused('Interaction'),
    async find(id) {
      const ctx = currentRequest()
      const kept = ctx && readSealed(ctx, secrets, { name: REQUEST, id })
      // A request goes on once, and only when it has been decided about: what is due is said by its page.
      if (!kept) return goesOn(ctx) ? leaveToPage(ctx) : undefined
      await uses.settle('decision', id)
      const decision = await findState(db, 'decision', id)
      if (goesOn(ctx) && decision?.consumed) await answers.expect(decision.used_by)
      if (goesOn(ctx) && (!decision || decision.consumed)) return leaveToPage(ctx)
      if (decision?.consumed) return undefined
      const result = decision?.payload.result
      return {
        ...kept,
        ...(result && !(await isSignInOver(db, result)) ? { result } : {}),
        kind: 'Interaction',
        jti: id,
        returnTo: `${issuer}/${kept.deviceCode ? 'device' : 'auth'}/${id}`,
      } as AdapterPayload
    },
    async upsert(id, interaction, expiresIn) {
      const { jti: _jti, kind: _kind, returnTo: _returnTo, result: _result, ...rest } = interaction
      const { lastSubmission: _last, parJti, session, ...payload } = rest
      const oidc = currentContext()?.oidc
      const answered = oidc && answeredSoFar(oidc)
      const kept = {
        ...withoutHint(payload, oidc && hintedSub(oidc)),
        ...(answered ? { lastSubmission: answered } : {}),
        ...(session ? { session: withoutSessionCookie(session) } : {}),
        ...(parJti ? { parJti: nameOfPushed(parJti as string) } : {}),
      }
      storable(kept)
      const ctx = currentRequest()!
      const path = isItself(ctx, id) ? ctx.path : pageOf(id)
      if (!setSealed(ctx, secrets, { name: REQUEST, id, path }, kept, expiresIn))
        throw new errors.InvalidRequest(
          'the request is too long, some 3,000 characters of parameters are possible',
        )
    },
    async destroy(id) {
      const ctx = currentRequest()
      if (!(await useDecision(db, noteUse(answers, 'decision', id)))) {
        const decision = await findState(db, 'decision', id)
        await answers.expect(decision?.used_by ?? null)
        leaveToPage(ctx)
        // The provider would note this error on the device code, which is that of whoever was first.
        if (ctx?.oidc) forgetInteraction(ctx)
        throw new errors.SessionNotFound('this was decided, and went on')
      }
      if (!ctx) return
      clearSealed(ctx, REQUEST, pageOf(id))
      clearSealed(ctx, REQUEST, ctx.path)
    },
  }
}

/** Takes an interaction that was decided along to the address where its request goes on. */
export function takeAlong(ctx: Context, { returnTo, exp }: { returnTo: string; exp: number }): void {
  copySealed(ctx, REQUEST, new URL(returnTo).pathname, exp - Math.floor(Date.now() / 1000))
}

// Its paths are those of the provider's own cookies that name the interaction.
const REQUEST = '_request'

function pageOf(id: string): string {
  return `/interaction/${id}`
}

// The provider stores an interaction anew while its own request goes on.
function isItself(ctx: Context, id: string): boolean {
  return goesOn(ctx) && interactionOf(ctx)?.jti === id
}

/**
 * Gives back what a request has used up that got no answer for it, since something of ours failed: the same request again then
 * gives what this one would have given.
 */
export async function giveBackUsed(uses: GiveBacks, ctx: Context): Promise<void> {
  const used = (ctx.state.used ?? []) as Use[]
  if (used.length === 0) return
  for (const use of used) await uses.giveBack(use)
  // The browser is to ask with the same cookies again; but its session goes on under the id that it has now.
  const ofSession = hasRotated(ctx) ? sessionCookies(ctx) : []
  ctx.remove('set-cookie')
  if (ofSession.length > 0) ctx.set('Set-Cookie', ofSession)
}

// Noted before it is used: the answer may be lost, and then nobody knows.
function noteUse(answers: Answers, kind: StateKind, id: StateId): Use {
  const use = { kind, id, by: nameRequest(answers) }
  const ctx = currentContext()
  if (ctx) ctx.state.used = [...((ctx.state.used ?? []) as Use[]), use]
  return use
}

/** Whether the browser is to be sent to the page of the interaction that this request named; that page says how it stands. */
export function isLeftToPage(ctx: Context): boolean {
  return ctx.state.leftToPage === true
}

/** The adapter of pushed authorization requests. */
export function pushedRequestAdapter({
  db,
  secrets,
  uses,
  answers,
  unverifiedLimits,
}: AdapterParts): Adapter {
  const kind: StateKind = 'pushed_authorization_request'
  return {
    ...unused('PushedAuthorizationRequest'),
    async find(id) {
      // Whether it was used meanwhile is for `consume` to say: by now it has expired, and may be forgotten.
      if (hashAfterPages(id)) return { kind: 'PushedAuthorizationRequest', jti: id } as AdapterPayload
      await uses.settle(kind, id)
      const row = await findState(db, kind, id)
      if (!row) return undefined
      const found = { ...row.payload, kind: 'PushedAuthorizationRequest', jti: id } as AdapterPayload
      if (row.consumed) {
        await answers.expect(row.used_by)
        return { ...found, consumed: true }
      }
      const request = unseal(secrets, row.payload.request)
      return request === undefined ? undefined : { ...found, request }
    },
    async upsert(id, { jti: _jti, kind: _kind, request, ...payload }, expiresIn) {
      // Our own pages push nothing, and anybody could in their name.
      const ctx = currentContext()
      const client_id = ctx?.oidc?.client?.clientId
      if (client_id === ACCOUNT_CLIENT_ID)
        throw new errors.UnauthorizedClient('this client pushes no requests')
      const stored = storable({ ...payload, request: seal(secrets, String(request)) })
      if (ctx && client_id) await unverifiedLimits.mayPush(ctx, client_id)
      const anybodys = ctx?.state.authenticated ? undefined : client_id
      await savePushedRequest(db, id, stored, { expiresIn, client_id: anybodys })
    },
    async consume(id) {
      const name = hashAfterPages(id) ?? id
      await uses.settle(kind, name)
      if (await usePushedRequest(db, noteUse(answers, kind, name), true)) return
      const row = await findState(db, kind, name)
      await answers.expect(row?.used_by ?? null)
      throw new errors.InvalidRequestUri('request_uri was used already')
    },
    destroy: (id) => destroyState(db, kind, id),
  }
}

/**
 * Uses up what was pushed, because its app got an answer that is an error (RFC 9126 §4); pages or none, once is once.
 * Whoever was first stays first.
 */
export async function usePushedByError(db: Db, answers: Answers, ctx: Context): Promise<void> {
  const parJti = interactionOf(ctx)?.parJti
  const pushed = parJti ? hashInName(parJti) : ctx.oidc.entities.PushedAuthorizationRequest?.jti
  const use = { kind: 'pushed_authorization_request', by: answers.newId() } as const
  if (!pushed) return
  await usePushedRequest(db, { ...use, id: pushed }, false)
  answers.note(use.by)
}

function goesOn(ctx: Context | undefined): boolean {
  const route = routeOf(ctx)
  return route === 'resume' || route === 'device_resume'
}

function leaveToPage(ctx: Context | undefined): undefined {
  if (ctx) ctx.state.leftToPage = true
}

// A sign-in is kept with its interaction until the browser comes back. Meanwhile the password may have been changed or the
// account disabled; the person is then asked again.
async function isSignInOver(db: Db, result: unknown): Promise<boolean> {
  const { login } = (result ?? {}) as { login?: { accountId: string } }
  const epoch = epochOf(result)
  return login !== undefined && (epoch === undefined || (await signInEpoch(db, login.accountId)) !== epoch)
}

// An ID token that came as a hint has been looked at by now; what it says of a person need not be kept.
function withoutHint(interaction: Record<string, unknown>, sub: string | undefined): Record<string, unknown> {
  const { params, prompt } = interaction as Record<'params' | 'prompt', Record<string, unknown> | undefined>
  const { id_token_hint: _hint, ...asked } = params ?? {}
  const { id_token_hint: _same, ...details } = (prompt?.details ?? {}) as Record<string, unknown>
  // Whom the app meant is remembered; a sign-in by somebody else is no answer to it (OpenID Connect Core §3.1.2.1).
  if (sub !== undefined) asked.hinted_sub = sub
  return { ...interaction, params: asked, prompt: { ...prompt, details } }
}

// An interaction must not keep the id of a pushed request, which is a credential while it lives: it keeps a name with the digest.
function nameOfPushed(jti: string): string {
  return hashInName(jti) ? jti : nameOfCode(digest(jti))
}

// A client may send such a name, too; then it is an id like any other, and belongs to nothing. Only a request that goes on after
// our pages has it from its interaction.
function hashAfterPages(id: string): Buffer | undefined {
  return routeOf(currentContext()) === 'resume' ? hashInName(id) : undefined
}
