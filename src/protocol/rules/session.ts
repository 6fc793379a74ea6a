// The provider's login session, as our own pages use it: who is signed in, and signing out.
import type { Context } from 'koa'
import type { Provider, Session } from 'oidc-provider'
import { destroySession } from '../../core/users/sessions.ts'
import type { Db } from '../../db/pool.ts'
import { actorOf } from '../../http/actor.ts'
import { throughStorage } from '../storage/errors.ts'

/** The session of this browser; it has an accountId when somebody is signed in. */
export function currentSession(provider: Provider, ctx: Context): Promise<Session> {
  return throughStorage(() => provider.Session.get(ctx))
}

/** Signs this browser out. */
export async function endSession(provider: Provider, db: Db, ctx: Context): Promise<void> {
  const session = await currentSession(provider, ctx)
  await destroySession(db, session.jti, actorOf(ctx))
  ctx.cookies.set(provider.cookieName('session'), null)
}
