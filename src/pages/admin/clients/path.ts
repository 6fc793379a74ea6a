// The address of an app in the console, and the app that such an address names.
import { type Client, getClient } from '../../../core/clients/store.ts'
import type { Db } from '../../../db/pool.ts'
import type { SignedIn } from '../../../protocol/guards.ts'

/** The page of an app. */
export function appPath(id: string): string {
  return `/admin/clients/${encodeURIComponent(id)}`
}

/** The app that the parameter `client_id` of the address names. @throws NotFound, also for the credentials of an API */
export function getApp(db: Db, ctx: SignedIn): Promise<Client> {
  return getClient(db, String(ctx.params.client_id))
}
