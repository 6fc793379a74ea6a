// People as administrators find them. The pages show which apps people use, not what they do with them.
import { appView } from '../../core/clients/presentation.ts'
import { listApps } from '../../core/grants/account-apps.ts'
import { hasReset } from '../../core/users/reset-links.ts'
import { ROLES } from '../../core/users/roles.ts'
import { listSessions, searchUsers } from '../../core/users/search.ts'
import type { User } from '../../core/users/store.ts'
import type { Pool } from '../../db/pool.ts'
import { takeNotice } from '../../http/notice.ts'
import { pageOf, queryChoice, queryPlace, queryText, withQuery } from '../../http/query.ts'
import type { Render } from '../../http/render.ts'
import { when } from '../../http/time.ts'
import type { SignedIn } from '../../protocol/guards.ts'
import { appPath } from './clients/path.ts'
import { getUser, userPath } from './user-path.ts'
import { userReset } from './user-reset.ts'
import { userSteps } from './user-steps.ts'

const PAGE = 25
const SHORTEST = 3
const MOST_APPS = 100

/** Handlers of /admin/users and below. */
export function userAdmin(parts: { db: Pool; render: Render; issuer: string; mailIsOn: boolean }) {
  return { ...userPages(parts), ...userSteps(parts), ...userReset(parts) }
}

function userPages({ db, render }: { db: Pool; render: Render }) {
  return {
    async list(ctx: SignedIn): Promise<void> {
      const text = queryText(ctx, 'q')
      const role = queryChoice(ctx, 'role', ROLES)
      const state = queryChoice(ctx, 'state', ['disabled', 'enabled'])
      const asked = { q: text, role, state }
      const tooShort = text.length > 0 && [...text].length < SHORTEST
      const found = tooShort
        ? []
        : await searchUsers(db, {
            text,
            role,
            disabled: state && state === 'disabled',
            after: queryPlace(ctx, 'after'),
            limit: PAGE + 1,
          })
      const { rows, next_href } = pageOf(found, PAGE, ({ cursor }) =>
        withQuery('/admin/users', { ...asked, after: cursor }),
      )
      render(ctx, 'admin/users', {
        done: takeNotice(ctx),
        users: rows.map(userView),
        next_href,
        is_filtered: Object.values(asked).some(Boolean),
        values: asked,
        errors: tooShort ? { q: `Enter at least ${SHORTEST} characters.` } : {},
      })
    },

    async show(ctx: SignedIn): Promise<void> {
      const user = await getUser(db, ctx)
      const [apps, sessions, has_reset] = await Promise.all([
        listApps(db, user.id),
        listSessions(db, user.id),
        hasReset(db, user),
      ])
      render(ctx, 'admin/user', {
        done: takeNotice(ctx),
        person: userView(user),
        is_self: user.id === ctx.state.user.id,
        has_reset,
        apps: apps.slice(0, MOST_APPS).map((app) => ({
          view: appView({ ...app, id: app.client_id, name: app.client_name }),
          href: appPath(app.client_id),
          scopes: app.scopes,
          allowed: when(app.allowed_at),
          last_used: when(app.last_used_at),
          devices: app.devices.map(({ name, last_used_at }) => ({ name, last_used: when(last_used_at) })),
        })),
        more_apps: Math.max(0, apps.length - MOST_APPS),
        sessions: sessions.map(({ uid, created_at, expires_at }) => ({
          since: when(created_at),
          until: when(expires_at),
          current: uid === ctx.state.sessionUid,
        })),
        path: userPath(user.id),
        access_href: withQuery('/admin/consents', { user: user.id }),
        audit_href: withQuery('/admin/audit', { user: user.id }),
      })
    },
  }
}

function userView(user: User) {
  return {
    href: userPath(user.id),
    id: user.id,
    name: user.name,
    email: user.email,
    email_verified: user.email_verified,
    is_admin: user.role === 'admin',
    disabled: when(user.disabled_at),
    created: when(user.created_at),
    last_sign_in: when(user.last_sign_in_at),
  }
}
