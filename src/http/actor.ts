// Where a request comes from, as the audit log keeps it.
import type { Context } from 'koa'
import type { Actor } from '../base/audit-events.ts'

/** The address, browser and request id of a request; who is behind it the caller knows. */
export function actorOf(ctx: Context): Actor {
  return {
    type: 'user',
    ip: ctx.ip || undefined,
    user_agent: ctx.get('user-agent') || undefined,
    request_id: ctx.state.requestId as string | undefined,
  }
}
