// The refused requests of an app and how much it is used, for its owners.
import type { SignedIn } from '../../protocol/guards.ts'
import { insight } from '../shared/insight.ts'
import { type DeveloperParts, getOwnApp, headOf, ownAppPath } from './own-client.ts'

/** Handlers of /developer/apps/:client_id/errors and /usage. */
export function developerInsight(parts: DeveloperParts) {
  const { errors, usage } = insight(parts)
  return {
    async errors(ctx: SignedIn): Promise<void> {
      const client = await getOwnApp(parts.db, ctx)
      const fixes = (id: string) => ownAppPath(client.id, `errors/${id}/fix`)
      await errors(ctx, client, 'developer/errors', headOf(ctx, client), fixes)
    },

    async usage(ctx: SignedIn): Promise<void> {
      const client = await getOwnApp(parts.db, ctx)
      await usage(ctx, client, 'developer/usage', headOf(ctx, client))
    },
  }
}
