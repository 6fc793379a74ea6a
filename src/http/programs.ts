// What holds for addresses that only programs talk to: they are answered as JSON whatever they accept, and a credential comes once.
import type { Middleware } from 'koa'
import { BadRequest } from './errors.ts'

/** Answers in JSON under these addresses, whatever `Accept` says: clients read it, and a page would say nothing to them. */
export function answerInJson(isForPrograms: (path: string) => boolean): Middleware {
  return (ctx, next) => {
    if (isForPrograms(ctx.path)) ctx.req.headers.accept = 'application/json'
    return next()
  }
}

const CREDENTIALS = new Set(['authorization', 'dpop'])

/**
 * Refuses a request with two headers of which only one can be meant: which of them is believed would depend on who reads it, a
 * proxy or us. Node keeps the first of two `Authorization` headers, and joins two `DPoP` headers.
 */
export const oneCredential: Middleware = (ctx, next) => {
  const seen = new Set<string>()
  const { rawHeaders } = ctx.req
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!.toLowerCase()
    if (!CREDENTIALS.has(name)) continue
    if (seen.has(name)) throw new BadRequest(`The request has more than one ${rawHeaders[i]} header.`)
    seen.add(name)
  }
  return next()
}
