// What became of an app's requests, for administrators.
import { type Client, findClient } from '../../core/clients/store.ts'
import type { Pool } from '../../db/pool.ts'
import { NotFound } from '../../http/errors.ts'
import type { Render } from '../../http/render.ts'
import type { SignedIn } from '../../protocol/guards.ts'
import { insight } from '../shared/insight.ts'

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

/** The app that an address names. @throws NotFound for an API's credentials, too. */
async function getApp(db: Pool, ctx: SignedIn): Promise<Client> {
  const client = await findClient(db, String(ctx.params.client_id))
  if (!client || client.type === 'resource_server') throw new NotFound('There is no such app.')
  return client
}

function placeOf({ id, name }: Client) {
  const path = `/admin/clients/${encodeURIComponent(id)}`
  return { app_name: name, app_href: path, errors_href: `${path}/errors`, usage_href: `${path}/usage` }
}
