// The URL table of a person's own account, and of the pages that lead to it.
import type { Context } from 'koa'
import { get, post, type Row } from '../../http/routes.ts'
import { type Guard, revoking } from '../../protocol/guards.ts'
import type { activityPages } from './activity.ts'
import type { appPages } from './apps.ts'
import type { profilePages } from './profile.ts'
import type { resetPages } from './reset.ts'
import type { setupPages } from './setup.ts'

/** The handlers that the table names. */
export interface AccountHandlers {
  home(ctx: Context): unknown
  afterSignIn(ctx: Context): unknown
  setup: ReturnType<typeof setupPages>
  reset: ReturnType<typeof resetPages>
  profile: ReturnType<typeof profilePages>
  apps: ReturnType<typeof appPages>
  activity: ReturnType<typeof activityPages>
}

/** The rows, each behind its guard. */
export function accountRoutes(
  { home, afterSignIn, setup, reset, profile, apps, activity }: AccountHandlers,
  { signedIn }: { signedIn: Guard },
): Row[] {
  return [
    get('/', home),
    get('/setup/:secret', setup.show),
    post('/setup/:secret', setup.create),
    get('/reset/done', reset.done),
    get('/reset/:secret', reset.show),
    post('/reset/:secret', reset.choose),
    get('/account/signed-in', afterSignIn),
    get('/account', signedIn(profile.show)),
    post('/account/name', signedIn(profile.rename)),
    // It ends all other sign-ins, and has a limit of its own.
    post('/account/password', revoking(signedIn)(profile.changePassword)),
    get('/account/apps', signedIn(apps.list)),
    get('/account/apps/remove-all', signedIn(apps.confirmRemoveAll)),
    post('/account/apps/remove-all', revoking(signedIn)(apps.removeAll)),
    get('/account/apps/:client_id/remove', signedIn(apps.confirmRemove)),
    post('/account/apps/:client_id/remove', revoking(signedIn)(apps.remove)),
    get('/account/apps/:client_id/devices/:device/remove', signedIn(apps.confirmRemoveDevice)),
    post('/account/apps/:client_id/devices/:device/remove', revoking(signedIn)(apps.removeDevice)),
    get('/account/activity', signedIn(activity.list)),
  ]
}
