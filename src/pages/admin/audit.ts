// The audit log, as administrators search it.

import { isUuid } from '../../base/ids.ts'
import { type AuditRow, listEvents } from '../../core/audit/store.ts'
import { clientNames } from '../../core/clients/store.ts'
import { userEmails } from '../../core/users/store.ts'
import type { Pool } from '../../db/pool.ts'
import { hasErrors } from '../../http/form.ts'
import { takeNotice } from '../../http/notice.ts'
import { pageOf, queryEventId, queryText, withQuery } from '../../http/query.ts'
import type { Render } from '../../http/render.ts'
import { when } from '../../http/time.ts'
import type { SignedIn } from '../../protocol/guards.ts'
import { auditExportForm } from './audit-export.ts'
import { readFilter, TYPE_CHOICES, typedFilter } from './audit-filter.ts'
import { appPath } from './clients/path.ts'
import { userPath } from './user-path.ts'

const PAGE = 50

/** Handlers of /admin/audit and the form of /admin/audit/export. */
export function auditAdmin({ db, render }: { db: Pool; render: Render }) {
  return {
    exportFile: auditExportForm({ db, render }),

    async list(ctx: SignedIn): Promise<void> {
      const typed = typedFilter((name, most) => queryText(ctx, name, most))
      const { filter, values, errors } = await readFilter(db, typed)
      const isUsable = !hasErrors(errors)
      const before = queryEventId(ctx, 'before')
      const found = isUsable ? await listEvents(db, { ...filter, before, limit: PAGE + 1 }) : []
      const { rows, next_href } = pageOf(found, PAGE, ({ id }) =>
        withQuery('/admin/audit', { ...typed, before: id }),
      )
      const [names, emails] = await Promise.all([
        clientNames(db, [...new Set(rows.flatMap(({ client_id }) => client_id ?? []))]),
        userEmails(db, [...new Set(rows.flatMap(peopleOf))]),
      ])
      const locals = {
        done: takeNotice(ctx),
        events: rows.map((row) => eventView(row, names, emails)),
        next_href,
        values,
        export_href: withQuery('/admin/audit/export', typed),
        errors,
        is_filtered: Object.values(typed).some(Boolean),
        types: TYPE_CHOICES,
      }
      render(ctx, 'admin/audit', locals, isUsable ? 200 : 422)
    },
  }
}

function peopleOf({ user_id, actor_type, actor_id }: AuditRow): string[] {
  return [user_id, actor_type === 'user' && actor_id && isUuid(actor_id) ? actor_id : null].flatMap(
    (id) => id ?? [],
  )
}

function eventView(row: AuditRow, names: Map<string, string>, emails: Map<string, string>) {
  const { user_id, client_id, actor_type, actor_id } = row
  return {
    id: row.id,
    type: row.type,
    at: when(row.at),
    actor: actorWords(row, emails),
    actor_href: actor_type === 'user' && actor_id && emails.has(actor_id) ? userPath(actor_id) : undefined,
    user: user_id
      ? {
          text: emails.get(user_id) ?? user_id,
          href: emails.has(user_id) ? userPath(user_id) : undefined,
        }
      : undefined,
    app: client_id
      ? {
          text: names.get(client_id) ?? client_id,
          href: names.has(client_id) ? appPath(client_id) : undefined,
        }
      : undefined,
    from: row.ip ?? undefined,
    device: row.user_agent ?? undefined,
    request_id: row.request_id ?? undefined,
    data: Object.entries(row.data).map(([name, value]) => ({
      name,
      value: typeof value === 'string' ? value : JSON.stringify(value),
    })),
  }
}

function actorWords({ actor_type, actor_id }: AuditRow, emails: Map<string, string>): string {
  if (actor_type === 'system') return 'The server'
  if (actor_type === 'user') return (actor_id && emails.get(actor_id)) || actor_id || 'Somebody not signed in'
  if (actor_type === 'cli') return `Command line (${actor_id ?? 'unknown'})`
  return `App ${actor_id ?? ''}`.trim()
}
