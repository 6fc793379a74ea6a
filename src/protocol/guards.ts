// Who may come in: what each row of the URL table demands before its handler runs.
import type { Context } from 'koa'
import type { Provider, Session } from 'oidc-provider'
import type { ApiScope } from '../base/admin-api-scopes.ts'
import type { ActingUser, Actor } from '../base/audit-events.ts'
import type { Secrets } from '../base/secrets.ts'
import { countWaiting } from '../core/clients/review.ts'
import type { UseRecorder } from '../core/grants/usage.ts'
import { findUser, type User } from '../core/users/store.ts'
import type { Db, Pool } from '../db/pool.ts'
import { actorOf } from '../http/actor.ts'
import { checkForm, csrfToken } from '../http/csrf.ts'
import { HttpError, NotFound, TooManyRequests } from '../http/errors.ts'
import { leaveNotice } from '../http/notice.ts'
import { type Throttle, throttle } from '../http/throttle.ts'
import { type Access, type AccessParts, PROOF_ALGS, readAccess } from './rules/access-token.ts'
import { ACCOUNT_CLIENT_ID } from './rules/grants.ts'
import { currentSession } from './rules/session.ts'

/** A request of somebody who is signed in. */
export type SignedIn = Context & { state: { user: User; sessionUid: string; csrf: string } }

/** Runs a handler for whoever the guard lets in. @param options.revokes what is sent takes access away, and nothing limits it */
export type Guard = (
  handler: (ctx: SignedIn) => unknown,
  options?: { revokes?: boolean },
) => (ctx: Context) => Promise<void>

/** The same guard for handlers that take access away: nobody is told to wait before they may. */
export function revoking(guard: Guard): Guard {
  return (handler) => guard(handler, { revokes: true })
}

/** What guards stand on. */
export interface GuardParts {
  db: Db
  provider(): Provider
  secrets: Secrets
  issuer: string
  /** Whether people may register apps of their own. */
  hasPortal: boolean
  /** Counts what a person changes, see {@link changesOfPerson}. */
  changes: Throttle
}

/**
 * The limit on what one person changes, by account: most of it is recorded for good. Administrators' pages have none: who can open
 * them can do worse than fill the record, and whoever cleans up after an attack must not be told to wait.
 */
export function changesOfPerson(db: Pool): Throttle {
  return throttle(db, {
    name: 'changes',
    attempts: 10,
    seconds: 60,
    burst: { attempts: 50, seconds: 10 * 60 },
    message: 'You have changed a lot in a short time.',
    inMemory: true,
  })
}

/** Lets in who is signed in, checking the form of a post; sends others to sign in and back here. */
export function signedInGuard(parts: GuardParts): Guard {
  return guardOf(parts, '/account')
}

/**
 * Lets in who is signed in, and may look after apps; whose an app is, each handler asks. For secrets, owners and deleting,
 * `recentDeveloper` wants a sign-in that is not older than 15 minutes, on the page of the form, too.
 */
export function developerGuard(parts: GuardParts): { developer: Guard; recentDeveloper: Guard } {
  return {
    developer: guardOf(parts, '/developer'),
    recentDeveloper: guardOf(parts, '/developer', true),
  }
}

/**
 * Lets administrators in; to everybody else who is signed in there is nothing at these addresses. Whatever changes
 * something wants a sign-in that is not older than 15 minutes: a post always, and with `recent` also the page
 * that it is sent from, so that nobody fills in a form in vain.
 */
export function adminGuard(parts: GuardParts): { admin: Guard; recentAdmin: Guard } {
  const guard =
    (recent: boolean): Guard =>
    (handler) =>
    async (ctx) => {
      const { session, user } = await whoIs(parts, ctx)
      const isPost = ctx.method === 'POST'
      if (!user) return sendToSignIn(ctx, parts.issuer, isPost ? ctx.path : ctx.url)
      if (user.role !== 'admin') throw new NotFound()
      await enter(parts, ctx, session, user)
      if ((recent || isPost) && isOlderThan(session, RECENT_SECONDS)) return askAgain(ctx, parts.issuer, user)
      ctx.state.locals = { waiting: await countWaiting(parts.db) }
      await handler(ctx as SignedIn)
    }
  return { admin: guard(false), recentAdmin: guard(true) }
}

/** Who does what this request asks for, for the audit log. */
export function actingUser(ctx: SignedIn): ActingUser {
  return { ...actorOf(ctx), id: ctx.state.user.id }
}

/** A request of a program that holds a token for the Admin API. */
export type OfApi = Context & { state: { access: Access } }

/** Runs a handler for tokens with a scope. */
export type ApiGuard = (
  scope: ApiScope,
) => (handler: (ctx: OfApi) => unknown) => (ctx: Context) => Promise<void>

/** 403: the token lives, and is not good for this (RFC 6750 §3.1). */
export class InsufficientScope extends HttpError {
  constructor(scopes: readonly string[], message = `This needs a token with ${scopes.join(' and ')}.`) {
    super(403, 'insufficient_scope', message, {
      'WWW-Authenticate': challenge(
        `error="insufficient_scope", error_description="${message.replace(/[^\x20-\x7e]|["\\]/g, '')}", scope="${scopes.join(' ')}"`,
      ),
    })
  }
}

/**
 * Lets in tokens of this very server for the Admin API with that scope; no cookie counts. A person's token works while that
 * person is an administrator, which is looked at each time.
 */
export function apiTokenGuard(
  parts: AccessParts & { perClient: Throttle; perMinute: number; use: UseRecorder },
): ApiGuard {
  return (scope) => (handler) => async (ctx) => {
    ctx.set('Cache-Control', 'no-store')
    const access = await readAccess(parts, ctx)
    if (access === 'absent') {
      throw new HttpError(401, 'unauthorized', 'This needs a token for the Admin API.', {
        'WWW-Authenticate': challenge(`scope="${scope}"`),
      })
    }
    if (access === 'invalid') {
      const message = 'The token is not, or no longer, good here.'
      throw new HttpError(401, 'invalid_token', message, {
        'WWW-Authenticate': challenge(`error="invalid_token", error_description="${message}"`),
      })
    }
    ctx.state.client_id = access.client_id
    if (access.user_id !== null && access.role !== 'admin') {
      throw new HttpError(
        403,
        'not_administrator',
        'Whoever this token acts for does not administer this server.',
      )
    }
    // Not before: whoever may do nothing here must not use up what the client may do for those who may.
    await countRequest(parts, ctx, access.client_id)
    if (!access.scopes.has(scope)) throw new InsufficientScope([scope])
    if (access.grant_id) parts.use.note(access.grant_id)
    ctx.state.access = access
    await handler(ctx as OfApi)
  }
}

/** Who does what a request to the Admin API asks for, for the audit log. */
export function actingProgram(ctx: OfApi): Actor {
  const { user_id, client_id, scopes } = ctx.state.access
  const from = { ...actorOf(ctx), scopes: [...scopes] }
  return user_id === null ? { ...from, type: 'client', id: client_id } : { ...from, id: user_id }
}

// The headers of draft-ietf-httpapi-ratelimit-headers.
async function countRequest(
  { perClient, perMinute }: { perClient: Throttle; perMinute: number },
  ctx: Context,
  client_id: string,
): Promise<void> {
  ctx.set('RateLimit-Policy', `"client";q=${perMinute};w=60`)
  try {
    const { attempts, seconds } = await perClient.count(client_id)
    ctx.set('RateLimit', `"client";r=${attempts};t=${seconds}`)
  } catch (error) {
    if (error instanceof TooManyRequests) {
      ctx.set('RateLimit', `"client";r=0;t=${error.retryAfterSeconds}`)
    }
    throw error
  }
}

function challenge(parameters: string): string {
  return `Bearer ${parameters}, DPoP algs="${PROOF_ALGS.join(' ')}"`
}

const NOTHING_CHANGED = {
  tone: 'warning',
  heading: 'Nothing has been changed yet.',
  lines: ['Your sign-in was older than 15 minutes. Please look at this page and send it again.'],
} as const
const SIGN_IN_SECONDS = 10 * 60
// How old a sign-in may be for what changes something on the administrators' pages.
const RECENT_SECONDS = 15 * 60

/** @param home where it leads after signing in to send a form, which cannot be sent again */
function guardOf(parts: GuardParts, home: string, recent = false): Guard {
  return (handler, { revokes = false } = {}) =>
    async (ctx) => {
      const { session, user } = await whoIs(parts, ctx)
      if (!user) return sendToSignIn(ctx, parts.issuer, ctx.method === 'GET' ? ctx.path : home)
      await enter(parts, ctx, session, user)
      if (recent && isOlderThan(session, RECENT_SECONDS)) return askAgain(ctx, parts.issuer, user)
      if (ctx.method === 'POST' && !revokes) await parts.changes.count(user.id)
      ctx.state.locals = { has_portal: parts.hasPortal }
      await handler(ctx as SignedIn)
    }
}

/** Sends somebody to sign in once more, and back to this page. */
function askAgain(ctx: Context, issuer: string, user: User): void {
  const isPost = ctx.method === 'POST'
  // The page that the form was sent from has the same address.
  if (isPost) leaveNotice(ctx, ctx.path, NOTHING_CHANGED, SIGN_IN_SECONDS)
  sendToSignIn(ctx, issuer, isPost ? ctx.path : ctx.url, {
    max_age: String(RECENT_SECONDS),
    login_hint: user.email,
  })
}

async function whoIs(parts: GuardParts, ctx: Context): Promise<{ session: Session; user: User | undefined }> {
  const session = await currentSession(parts.provider(), ctx)
  const user = session.accountId ? await findUser(parts.db, session.accountId) : undefined
  return { session, user: user && !user.disabled_at ? user : undefined }
}

async function enter(parts: GuardParts, ctx: Context, session: Session, user: User): Promise<void> {
  if (ctx.method === 'POST') {
    // What is large is read of those only whom the page is for.
    await (ctx.state.readBody as (() => Promise<unknown>) | undefined)?.()
    checkForm(ctx, parts.secrets, session.uid)
  }
  ctx.state.user = user
  ctx.state.sessionUid = session.uid
  ctx.state.csrf = csrfToken(parts.secrets, session.uid)
}

function isOlderThan(session: Session, seconds: number): boolean {
  // By the provider's own rule, which the sign-in goes by.
  return session.past(seconds)
}

// Our own pages are a client like any other: one way to sign in, one session.
function sendToSignIn(
  ctx: Context,
  issuer: string,
  // Where to come back to. A form cannot be sent again after signing in; its page can be shown.
  state: string,
  more: Record<string, string> = {},
): void {
  const query = new URLSearchParams({
    client_id: ACCOUNT_CLIENT_ID,
    response_type: 'none',
    redirect_uri: `${issuer}/account/signed-in`,
    scope: 'openid',
    state,
    ...more,
  })
  ctx.status = 303
  ctx.redirect(`/auth?${query}`)
}
