// Rules for addresses that only programs use: answers are JSON whatever the client accepts, and there is one credential.
import type { Middleware } from 'koa'
import { BadRequest } from './errors.ts'

/** Answers in JSON under these addresses, whatever `Accept` says, because clients cannot read pages. */
export function answerInJson(isForPrograms: (path: string) => boolean): Middleware {
  return (ctx, next) => {
    if (isForPrograms(ctx.path)) ctx.req.headers.accept = 'application/json'
    return next()
  }
}

const CREDENTIALS = new Set(['authorization', 'dpop'])

/**
 * Refuses a request with two credential headers, because a proxy might read another one than we do. Node keeps the first of two
 * `Authorization` headers, and joins two `DPoP` headers.
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
