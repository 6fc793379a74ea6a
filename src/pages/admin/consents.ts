// Who allowed which app what, as administrators look it up.
import { hostOf } from '../../core/clients/presentation.ts'
import { type Access, searchAccess } from '../../core/grants/search.ts'
import type { Pool } from '../../db/pool.ts'
import { takeNotice } from '../../http/notice.ts'
import { pageOf, queryPlace, queryText, withQuery } from '../../http/query.ts'
import type { Render } from '../../http/render.ts'
import { when } from '../../http/time.ts'
import type { SignedIn } from '../../protocol/guards.ts'
import { appPath } from './clients/path.ts'
import { consentEndings } from './consent-endings.ts'
import { readConsentFilter } from './consent-filter.ts'
import { userPath } from './user-path.ts'

const PAGE = 25

/** Handlers of /admin/consents and below. */
export function consentAdmin(parts: { db: Pool; render: Render }) {
  const { db, render } = parts
  return {
    ...consentEndings(parts),

    async list(ctx: SignedIn): Promise<void> {
      const asked = { user: queryText(ctx, 'user', 320), app: queryText(ctx, 'app', 500) }
      const { person, client, errors, isUsable } = await readConsentFilter(db, asked.user, asked.app)
      const [user_id, client_id] = [person?.id, client?.id]
      const after = queryPlace(ctx, 'after')
      const found = isUsable ? await searchAccess(db, { user_id, client_id, after, limit: PAGE + 1 }) : []
      const { rows, next_href } = pageOf(found, PAGE, ({ cursor }) =>
        withQuery('/admin/consents', { ...asked, after: cursor }),
      )
      const isFiltered = Boolean(person || client)
      const canEndAll = isUsable && isFiltered && rows.length > 0
      const locals = {
        done: takeNotice(ctx),
        accesses: rows.map(accessView),
        next_href,
        values: { user: person?.email ?? asked.user, app: asked.app },
        errors,
        is_filtered: isFiltered,
        end_all_href: canEndAll
          ? withQuery('/admin/consents/end', { user: user_id, app: client_id })
          : undefined,
      }
      render(ctx, 'admin/consents', locals, isUsable ? 200 : 422)
    },
  }
}

function accessView(access: Access) {
  return {
    user: { name: access.user_name, email: access.email, href: userPath(access.user_id) },
    app: {
      name: access.client_name,
      href: appPath(access.client_id),
      dynamic_host: access.registered_by === 'itself' ? hostOf(access.redirect_uris[0]) : undefined,
    },
    scopes: access.scopes,
    since: when(access.created_at),
    ends: when(access.expires_at),
    last_used: when(access.last_used_at),
    devices: access.devices,
    end_href: `/admin/consents/${access.id}/end`,
  }
}
