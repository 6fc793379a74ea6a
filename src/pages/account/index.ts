// The pages of a person's own account: wires them, and sends the browser on after signing in to them.
import type { Context } from 'koa'
import type { Secrets } from '../../base/secrets.ts'
import type { ResourceDirectory } from '../../core/resources/cache.ts'
import type { Pool } from '../../db/pool.ts'
import type { Render } from '../../http/render.ts'
import type { Row } from '../../http/routes.ts'
import type { Guard } from '../../protocol/guards.ts'
import { activityPages } from './activity.ts'
import { appPages } from './apps.ts'
import { profilePages } from './profile.ts'
import { resetPages } from './reset.ts'
import { accountRoutes } from './routes.ts'
import { setupPages } from './setup.ts'

/** The account's rows of the URL table. */
export function accountPages(parts: {
  db: Pool
  secrets: Secrets
  render: Render
  resources: ResourceDirectory
  signedIn: Guard
}): Row[] {
  const handlers = {
    home: (ctx: Context) => ctx.redirect('/account'),
    afterSignIn,
    setup: setupPages(parts),
    reset: resetPages(parts),
    profile: profilePages(parts),
    apps: appPages(parts),
    activity: activityPages(parts),
  }
  return accountRoutes(handlers, parts)
}

const OWN_PAGE = /^\/(account|admin|developer)(\/[\w./%-]*)?(\?[\w.~%&=+*@-]*)?$/

// The provider sends the browser here after a sign-in to our own pages. `state` holds the page that the person had asked for.
function afterSignIn(ctx: Context): void {
  const path = String(ctx.query.state ?? '')
  const refused = ctx.query.error !== undefined
  ctx.status = 303
  // Redirect only to paths below /account, /admin or /developer, so that no browser can take the address for another host's.
  ctx.redirect(!refused && OWN_PAGE.test(path) ? path : '/account')
}
