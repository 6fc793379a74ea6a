// Addresses of an earlier version: requests are redirected, with a header that announces the end of the address (RFC 9745).
import type { Middleware } from 'koa'

/** An address that has another name now. */
export interface Renamed {
  /** The whole former path. */
  from: RegExp
  /** The present path, with `$1` for the first group of `from`. */
  to: string
  /** The methods that moved; absent: all. */
  methods?: readonly string[]
  /** The query that a request must have; absent: any. */
  query?: RegExp
}

// 2026-11-29, as a date of structured fields (RFC 9651 §3.3.7).
const DEPRECATED = '@1795910400'

/** Answers at former addresses with 308, so that the same method and body go to the new one (RFC 9110 §15.4.9). */
export function renamed(addresses: readonly Renamed[]): Middleware {
  return (ctx, next) => {
    const found = addresses.find(
      ({ from, methods, query }) =>
        from.test(ctx.path) &&
        (methods?.includes(ctx.method) ?? true) &&
        (query?.test(ctx.querystring) ?? true),
    )
    if (!found) return next()
    const path = ctx.path.replace(found.from, found.to)
    ctx.status = 308
    ctx.set('Location', `${path}${ctx.search}`)
    ctx.set('Deprecation', DEPRECATED)
    ctx.set('Link', `<${path}>; rel="successor-version"`)
    ctx.set('Cache-Control', 'no-store')
    ctx.body = ''
    return undefined
  }
}
