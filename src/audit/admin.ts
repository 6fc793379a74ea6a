// What happened, as administrators look through it.
import { clientNames } from '../clients/store.ts'
import type { Pool } from '../db/pool.ts'
import type { SignedIn } from '../guards.ts'
import { findUser, findUserByEmail, userEmails } from '../users/store.ts'
import { takeNotice } from '../web/notice.ts'
import { isUuid, pageOf, queryText, withQuery } from '../web/query.ts'
import type { Render } from '../web/render.ts'
import { when } from '../web/time.ts'
import { EVENT_TYPES } from './events.ts'
import { type AuditRow, listEvents } from './store.ts'

const PAGE = 50

/** Handlers of /admin/audit. */
export function auditAdmin({ db, render }: { db: Pool; render: Render }) {
  return {
    async list(ctx: SignedIn): Promise<void> {
      const asked = {
        type: EVENT_TYPES.find((type) => type === queryText(ctx, 'type')) ?? '',
        actor: queryText(ctx, 'actor', 320),
        user: queryText(ctx, 'user', 320),
        app: queryText(ctx, 'app', 100),
        since: queryText(ctx, 'since', 30),
        until: queryText(ctx, 'until', 30),
      }
      const errors: Record<string, string> = {}
      const account = async (field: 'actor' | 'user'): Promise<string | undefined> => {
        const text = asked[field]
        if (!text) return undefined
        const user = isUuid(text) ? await findUser(db, text) : await findUserByEmail(db, text)
        // Others than people act, too: clients by their id, the command line by the name of who typed.
        if (!user && field === 'actor' && !text.includes('@')) return text
        // Whoever is gone is still in the record, by id.
        if (!user && isUuid(text)) return text
        if (!user) errors[field] = 'No account has this email address.'
        return user?.id
      }
      const moment = (field: 'since' | 'until'): Date | undefined => {
        const date = dateOf(asked[field])
        if (date === undefined && asked[field]) errors[field] = 'Give a day like 2026-05-03.'
        return date
      }
      const [actor_id, user_id] = [await account('actor'), await account('user')]
      const [since, until] = [moment('since'), moment('until')]
      const isUsable = Object.keys(errors).length === 0
      const before = /^\d{1,18}$/.test(queryText(ctx, 'before')) ? queryText(ctx, 'before') : undefined
      const found = isUsable
        ? await listEvents(db, {
            type: asked.type || undefined,
            actor_id,
            user_id,
            client_id: asked.app || undefined,
            since,
            // The day is meant to its end.
            until: until && new Date(until.getTime() + 86_400_000),
            before,
            limit: PAGE + 1,
          })
        : []
      const { rows, next_href } = pageOf(found, PAGE, ({ id }) =>
        withQuery('/admin/audit', { ...asked, before: id }),
      )
      const [names, emails] = await Promise.all([
        clientNames(db, [...new Set(rows.flatMap(({ client_id }) => client_id ?? []))]),
        userEmails(db, [...new Set(rows.flatMap(peopleOf))]),
      ])
      render(
        ctx,
        'audit/admin-list',
        {
          done: takeNotice(ctx),
          events: rows.map((row) => eventView(row, names, emails)),
          next_href,
          // A field for days takes nothing else.
          values: { ...asked, since: since && asked.since, until: until && asked.until },
          errors,
          is_filtered: Object.values(asked).some(Boolean),
          types: EVENT_TYPES.map((type) => ({ value: type, label: type })),
        },
        isUsable ? 200 : 422,
      )
    },
  }
}

function dateOf(text: string): Date | undefined {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return undefined
  const date = new Date(`${text}T00:00:00Z`)
  return Number.isNaN(date.getTime()) ? undefined : date
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
    actor_href:
      actor_type === 'user' && actor_id && emails.has(actor_id) ? `/admin/users/${actor_id}` : undefined,
    user: user_id
      ? {
          text: emails.get(user_id) ?? user_id,
          href: emails.has(user_id) ? `/admin/users/${user_id}` : undefined,
        }
      : undefined,
    app: client_id
      ? {
          text: names.get(client_id) ?? client_id,
          href: names.has(client_id) ? `/admin/apps/${encodeURIComponent(client_id)}` : undefined,
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
