// What happened, told on the next page: a short-lived signed cookie carries it over the redirect after a post.
import type { Context } from 'koa'

/** What a page says on top after something was done. */
export interface Notice {
  heading: string
  lines?: string[]
}

const COOKIE = '_notice'

/** Redirects after a post, so that reloading does not post again. @param notice what the next page says on top. */
export function seeOther(ctx: Context, path: string, notice?: Notice): void {
  if (notice) {
    ctx.cookies.set(COOKIE, Buffer.from(JSON.stringify(notice)).toString('base64url'), {
      httpOnly: true,
      sameSite: 'lax',
      signed: true,
      path: '/account',
      maxAge: 60_000,
    })
  }
  ctx.status = 303
  ctx.redirect(path)
}

/** What the last post left to say; it is said once. */
export function takeNotice(ctx: Context): Notice | undefined {
  const value = ctx.cookies.get(COOKIE, { signed: true })
  if (!value) return undefined
  ctx.cookies.set(COOKIE, null, { path: '/account' })
  return JSON.parse(Buffer.from(value, 'base64url').toString('utf8')) as Notice
}
