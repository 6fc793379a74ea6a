// Who may come in: what each row of the URL table demands before its handler runs.
import type { Context } from 'koa'
import type { Provider } from 'oidc-provider'
import type { Db } from './db/pool.ts'
import { ACCOUNT_CLIENT_ID } from './oidc/grants.ts'
import { currentSession } from './oidc/session.ts'
import type { Secrets } from './secrets.ts'
import { findUser, type User } from './users/store.ts'
import { checkForm, csrfToken } from './web/csrf.ts'

/** A request of somebody who is signed in. */
export type SignedIn = Context & { state: { user: User; sessionUid: string; csrf: string } }

/** Runs a handler for whoever the guard lets in. */
export type Guard = (handler: (ctx: SignedIn) => unknown) => (ctx: Context) => Promise<void>

/** Lets in who is signed in, checking the form of a post; sends others to sign in and back here. */
export function signedInGuard(parts: {
  db: Db
  provider(): Provider
  secrets: Secrets
  issuer: string
}): Guard {
  return (handler) => async (ctx) => {
    const session = await currentSession(parts.provider(), ctx)
    const user = session.accountId ? await findUser(parts.db, session.accountId) : undefined
    if (!user || user.disabled_at) return sendToSignIn(ctx, parts.issuer)
    if (ctx.method === 'POST') checkForm(ctx, parts.secrets, session.uid)
    ctx.state.user = user
    ctx.state.sessionUid = session.uid
    ctx.state.csrf = csrfToken(parts.secrets, session.uid)
    await handler(ctx as SignedIn)
  }
}

// Our own pages are a client like any other: one way to sign in, one session.
function sendToSignIn(ctx: Context, issuer: string): void {
  const query = new URLSearchParams({
    client_id: ACCOUNT_CLIENT_ID,
    response_type: 'none',
    redirect_uri: `${issuer}/account/signed-in`,
    scope: 'openid',
    // A form cannot be sent again after signing in; its page can be shown.
    state: ctx.method === 'GET' ? ctx.path : '/account',
  })
  ctx.status = 303
  ctx.redirect(`/auth?${query}`)
}
