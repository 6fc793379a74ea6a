// The first steps of every request: an id with a line in the log, and the check of its address.
import { randomUUID } from 'node:crypto'
import type { Middleware } from 'koa'
import { BadRequest } from './errors.ts'
import type { Logger } from './log.ts'

/** Logs one line for each request, without the query, which may hold codes and hints, and without ids of interactions. */
export function requests(log: Logger): Middleware {
  return async (ctx, next) => {
    const started = performance.now()
    const requestId = randomUUID()
    ctx.state.requestId = requestId
    ctx.set('X-Request-Id', requestId)
    await next()
    log.info(
      {
        request_id: requestId,
        method: ctx.method,
        path: ctx.path.replace(
          /^(\/(?:interaction|auth|device|setup|reset|developer\/invitations)\/)[^/]+/,
          '$1…',
        ),
        status: ctx.status,
        ms: Math.round(performance.now() - started),
        ip: ctx.ip,
        client_id:
          (ctx as { oidc?: { client?: { clientId: string } } }).oidc?.client?.clientId ?? ctx.state.client_id,
      },
      'request',
    )
  }
}

/** Refuses NUL and broken percent-encoding, so that no later code has to handle them. */
export const wellFormedAddress: Middleware = (ctx, next) => {
  if (!ctx.url.includes('%')) return next()
  let decoded: string
  try {
    decoded = decodeURIComponent(ctx.url.replaceAll('+', ' '))
  } catch {
    throw new BadRequest('The address is not well-formed.')
  }
  if (decoded.includes('\0') || !decoded.isWellFormed())
    throw new BadRequest('The address is not well-formed.')
  return next()
}
