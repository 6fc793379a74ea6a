// A notice on the page after a post: a short-lived signed cookie carries it over the redirect.
import type { Context } from 'koa'

/** A notice at the top of a page. */
export interface Notice {
  heading: string
  lines?: readonly string[]
  /** Absent: good. */
  tone?: 'good' | 'warning'
}

const COOKIE = '_notice'
const REDIRECT_SECONDS = 60

/** Redirects after a post, so that reloading does not post again. @param notice shown by the next page */
export function seeOther(ctx: Context, path: string, notice?: Notice): void {
  if (notice) leaveNotice(ctx, path, notice, REDIRECT_SECONDS)
  ctx.status = 303
  ctx.redirect(path)
}

/** Leaves a notice for the next page of the part of the site that `path` belongs to. */
export function leaveNotice(ctx: Context, path: string, notice: Notice, seconds: number): void {
  ctx.cookies.set(COOKIE, Buffer.from(JSON.stringify(notice)).toString('base64url'), {
    httpOnly: true,
    sameSite: 'lax',
    signed: true,
    path: partOf(path),
    maxAge: seconds * 1000,
  })
}

/** The notice that the last post left. It is shown once. */
export function takeNotice(ctx: Context): Notice | undefined {
  const value = ctx.cookies.get(COOKIE, { signed: true })
  if (!value) return undefined
  ctx.cookies.set(COOKIE, null, { path: partOf(ctx.path) })
  return JSON.parse(Buffer.from(value, 'base64url').toString('utf8')) as Notice
}

/** `/account` or `/admin`: each part of the site shows its own notices only. */
function partOf(path: string): string {
  return `/${path.split('/')[1]}`
}
