// The origin of a request, as the audit log stores it.
import type { Context } from 'koa'
import type { Actor } from '../base/audit-events.ts'

/** The address, browser and id of a request. The caller adds who sent it. */
export function actorOf(ctx: Context): Actor {
  return {
    type: 'user',
    ip: ctx.ip || undefined,
    user_agent: ctx.get('user-agent') || undefined,
    request_id: ctx.state.requestId as string | undefined,
  }
}
