// The URL table: method, path, guard, handler — a row a line. The protocol's own addresses stand in oidc/protocol.ts.
import { METHODS } from 'node:http'
import Router from '@koa/router'
import type { Context } from 'koa'
import type { activityPages } from './audit/account.ts'
import type { appPages } from './grants/account.ts'
import type { Guard } from './guards.ts'
import type { healthPages } from './health.ts'
import type { interactionPages } from './interaction/pages.ts'
import type { profilePages } from './users/account.ts'
import type { setupPages } from './users/setup.ts'
import { formBody } from './web/form.ts'

/** The handlers that the table names. */
export interface Handlers {
  health: ReturnType<typeof healthPages>
  interaction: ReturnType<typeof interactionPages>
  setup: ReturnType<typeof setupPages>
  profile: ReturnType<typeof profilePages>
  apps: ReturnType<typeof appPages>
  activity: ReturnType<typeof activityPages>
  signedIn: Guard
  home(ctx: Context): unknown
  afterSignIn(ctx: Context): unknown
}

/** Our own addresses. */
export function routes({
  health,
  interaction,
  setup,
  profile,
  apps,
  activity,
  signedIn,
  home,
  afterSignIn,
}: Handlers) {
  // All methods there are: one that no row takes is refused with 405 rather than said to be unknown.
  const router = new Router({ sensitive: true, methods: METHODS })
  const body = formBody()
  const get = (path: string, handler: (ctx: Context) => unknown) =>
    router.get(path, (ctx) => handler(ctx as Context))
  const post = (path: string, handler: (ctx: Context) => unknown) =>
    router.post(path, body, (ctx) => handler(ctx as Context))

  get('/', home)
  get('/healthz', health.alive)
  get('/readyz', health.ready)

  get('/interaction/:uid', interaction.show)
  post('/interaction/:uid/login', interaction.login)
  post('/interaction/:uid/consent', interaction.consent)
  post('/interaction/:uid/abort', interaction.abort)
  post('/interaction/:uid/switch', interaction.switch)
  // Where a form post was, a reload or the address bar may ask with GET.
  get('/interaction/:uid/:action', interaction.back)

  get('/setup/:secret', setup.show)
  post('/setup/:secret', setup.create)

  get('/account/signed-in', afterSignIn)
  get('/account', signedIn(profile.show))
  post('/account/name', signedIn(profile.rename))
  post('/account/password', signedIn(profile.changePassword))
  get('/account/apps', signedIn(apps.list))
  get('/account/apps/remove-all', signedIn(apps.confirmRemoveAll))
  post('/account/apps/remove-all', signedIn(apps.removeAll))
  get('/account/apps/:client_id/remove', signedIn(apps.confirmRemove))
  post('/account/apps/:client_id/remove', signedIn(apps.remove))
  get('/account/apps/:client_id/devices/:device/remove', signedIn(apps.confirmRemoveDevice))
  post('/account/apps/:client_id/devices/:device/remove', signedIn(apps.removeDevice))
  get('/account/activity', signedIn(activity.list))
  return router
}
