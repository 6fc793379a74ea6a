// What a load balancer and an orchestrator ask.
import type { Context } from 'koa'
import { migrationStatus } from './db/migrate.ts'
import { DatabaseUnavailable, type Pool } from './db/pool.ts'

/** Handlers of /healthz and /readyz. */
export function healthPages({ db }: { db: Pool }) {
  return {
    /** This process answers. It says nothing of the database: restarting a node mends no database. */
    alive(ctx: Context): void {
      ctx.body = { status: 'ok' }
      ctx.set('Cache-Control', 'no-store')
    },

    /** This process can do its work: the database answers, and its schema is what this version expects. */
    async ready(ctx: Context): Promise<void> {
      ctx.set('Cache-Control', 'no-store')
      try {
        const { pending } = await migrationStatus(db)
        const ready = pending.length === 0
        ctx.status = ready ? 200 : 503
        ctx.body = {
          status: ready ? 'ok' : 'unavailable',
          database: 'ok',
          pending_migrations: pending.length,
        }
      } catch (error) {
        if (!(error instanceof DatabaseUnavailable)) throw error
        ctx.status = 503
        ctx.body = { status: 'unavailable', database: 'unreachable' }
      }
    },
  }
}
