// The sample apps' own browser sessions: in memory, found by a random cookie that scripts cannot read.
import { randomBytes } from 'node:crypto'
import type { Context } from 'koa'

const MOST_SESSIONS = 1000

/** A store of sessions; cookies of `localhost` are shared by all its ports, so each app has its own name. */
export function createSessions<Data extends object>(cookie: string, create: () => Data) {
  const sessions = new Map<string, Data>()
  return { find, open, renew }

  /** The session of this browser, or undefined. */
  function find(ctx: Context): Data | undefined {
    return sessions.get(ctx.cookies.get(cookie) ?? '')
  }

  /** The session of this browser; a new one if it has none. */
  function open(ctx: Context): Data {
    return find(ctx) ?? keep(ctx, create())
  }

  /** Gives the session a new id: an id from before a sign-in must not be worth anything after it. */
  function renew(ctx: Context, data: Data): void {
    sessions.delete(ctx.cookies.get(cookie) ?? '')
    keep(ctx, data)
  }

  function keep(ctx: Context, data: Data): Data {
    const id = randomBytes(32).toString('base64url')
    const [oldest] = sessions.keys()
    if (sessions.size >= MOST_SESSIONS && oldest) sessions.delete(oldest)
    sessions.set(id, data)
    // Lax: the cookie comes along when Valetkey sends the browser back, but not with a form of another site.
    ctx.cookies.set(cookie, id, { httpOnly: true, sameSite: 'lax', secure: ctx.secure })
    return data
  }
}
