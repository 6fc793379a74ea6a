// What happened, told on the next page: a short-lived signed cookie carries it over the redirect after a post.
import type { Context } from 'koa'

/** What a page says on top after something was done, or was not. */
export interface Notice {
  heading: string
  lines?: readonly string[]
  /** Absent: good. */
  tone?: 'good' | 'warning'
}

const COOKIE = '_notice'
const REDIRECT_SECONDS = 60

/** Redirects after a post, so that reloading does not post again. @param notice what the next page says on top. */
export function seeOther(ctx: Context, path: string, notice?: Notice): void {
  if (notice) leaveNotice(ctx, path, notice, REDIRECT_SECONDS)
  ctx.status = 303
  ctx.redirect(path)
}

/** Leaves something to say for the next page of the part of the site that `path` belongs to. */
export function leaveNotice(ctx: Context, path: string, notice: Notice, seconds: number): void {
  ctx.cookies.set(COOKIE, Buffer.from(JSON.stringify(notice)).toString('base64url'), {
    httpOnly: true,
    sameSite: 'lax',
    signed: true,
    path: partOf(path),
    maxAge: seconds * 1000,
  })
}

/** What the last post left to say; it is said once. */
export function takeNotice(ctx: Context): Notice | undefined {
  const value = ctx.cookies.get(COOKIE, { signed: true })
  if (!value) return undefined
  ctx.cookies.set(COOKIE, null, { path: partOf(ctx.path) })
  return JSON.parse(Buffer.from(value, 'base64url').toString('utf8')) as Notice
}

/** `/account` or `/admin`: what is said on one is no business of the other. */
function partOf(path: string): string {
  return `/${path.split('/')[1]}`
}
