// Refused requests of an app and how much it is used, for administrators.
import type { Client } from '../../../core/clients/store.ts'
import type { Pool } from '../../../db/pool.ts'
import type { Render } from '../../../http/render.ts'
import type { SignedIn } from '../../../protocol/guards.ts'
import { insight } from '../../shared/insight.ts'
import { appPath, getApp } from './path.ts'

/** Handlers of /admin/clients/:client_id/errors and /usage. */
export function clientAdminInsight(parts: { db: Pool; render: Render }) {
  const { errors, usage } = insight(parts)
  return {
    async errors(ctx: SignedIn): Promise<void> {
      const client = await getApp(parts.db, ctx)
      await errors(ctx, client, 'admin/client-errors', placeOf(client))
    },

    async usage(ctx: SignedIn): Promise<void> {
      const client = await getApp(parts.db, ctx)
      await usage(ctx, client, 'admin/client-usage', placeOf(client))
    },
  }
}

function placeOf({ id, name }: Client) {
  const path = appPath(id)
  return { app_name: name, app_href: path, errors_href: `${path}/errors`, usage_href: `${path}/usage` }
}
