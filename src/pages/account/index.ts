// The pages of one's own account: what they are made of, and where the browser goes after signing in to them.
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

/** The rows of the account. */
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

// The provider sends the browser back here after signing in to our own pages; state says where it was going.
function afterSignIn(ctx: Context): void {
  const path = String(ctx.query.state ?? '')
  const refused = ctx.query.error !== undefined
  ctx.status = 303
  // Only our own pages: a path below /account, /admin or /developer, nothing that a browser could read as another host.
  ctx.redirect(!refused && OWN_PAGE.test(path) ? path : '/account')
}
