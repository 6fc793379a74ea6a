// Health checks for load balancers and orchestrators.
import type { Context } from 'koa'
import type { DatabaseCheck } from '../db/check.ts'
import type { Clock } from '../db/clock.ts'
import type { Listener } from '../db/listen.ts'
import { get, type Row } from './routes.ts'

/** What the health checks need. */
export interface HealthParts {
  check: DatabaseCheck
  listener: Listener
  clock: Clock
  /** Whether the server is about to stop. */
  isDraining(): boolean
}

/** The rows of /healthz and /readyz. */
export function healthRoutes(parts: HealthParts): Row[] {
  const { alive, ready } = healthPages(parts)
  return [get('/healthz', alive), get('/readyz', ready)]
}

function healthPages({ check, listener, clock, isDraining }: HealthParts) {
  return {
    /** This process answers. It does not check the database, because restarting a node does not repair a database. */
    alive(ctx: Context): void {
      ctx.body = { status: 'ok' }
      ctx.set('Cache-Control', 'no-store')
    },

    /**
     * This process can work: the database takes writes, and its schema fits this version. A node that receives no announcements, or whose
     * clock is wrong, reports that and stays ready, because it reads everything anew, or corrects the time.
     */
    async ready(ctx: Context): Promise<void> {
      ctx.set('Cache-Control', 'no-store')
      if (isDraining()) {
        ctx.status = 503
        ctx.body = { status: 'draining' }
        return
      }
      const found = await check.ask()
      const ready = found.writes === 'ok'
      ctx.status = ready ? 200 : 503
      ctx.body = {
        status: ready ? 'ok' : 'unavailable',
        ...found,
        announcements: listener.isHearing() ? 'ok' : 'silent',
        clock: clock.isApart() ? 'apart' : 'ok',
        clock_ahead_seconds: clock.aheadSeconds(),
      }
    },
  }
}
