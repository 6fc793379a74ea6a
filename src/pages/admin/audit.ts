// What happened, as administrators look through it and take it with them.
import { Readable } from 'node:stream'
import { currentType, EVENT_TYPES } from '../../base/audit-events.ts'
import { EXPORT_FORMATS, type ExportChunk, exportAudit } from '../../core/audit/export.ts'
import { type AuditRow, type EventFilter, listEvents } from '../../core/audit/store.ts'
import { clientNames } from '../../core/clients/store.ts'
import { findUser, findUserByEmail, userEmails } from '../../core/users/store.ts'
import type { Pool } from '../../db/pool.ts'
import { BadRequest } from '../../http/errors.ts'
import { sentText } from '../../http/form.ts'
import { takeNotice } from '../../http/notice.ts'
import { isUuid, pageOf, queryText, withQuery } from '../../http/query.ts'
import type { Render } from '../../http/render.ts'
import { when } from '../../http/time.ts'
import type { SignedIn } from '../../protocol/guards.ts'

const PAGE = 50

type Errors = Record<string, string>

/** Handlers of /admin/audit and the form of /admin/audit/export. */
export function auditAdmin({ db, render }: { db: Pool; render: Render }) {
  const showExport = (ctx: SignedIn, values: object, errors: Errors, status: number): void =>
    render(
      ctx,
      'admin/audit-export',
      { done: takeNotice(ctx), values, errors, types: TYPES, formats: FORMATS },
      status,
    )
  const readFilter = async (asked: Asked) => {
    const errors: Errors = {}
    const type = EVENT_TYPES.find((each) => each === currentType(asked.type ?? ''))
    // A filter that is not understood must not become none.
    if (asked.type && !type) errors.type = 'There is no such type of event.'
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
    const filter: EventFilter = {
      type,
      actor_id,
      user_id,
      client_id: asked.app || undefined,
      since,
      // The day is meant to its end.
      until: until && new Date(until.getTime() + 86_400_000),
    }
    // A field for days takes nothing else.
    const values = { ...asked, type: type ?? '', since: since && asked.since, until: until && asked.until }
    return { filter, values, errors }
  }

  return {
    async list(ctx: SignedIn): Promise<void> {
      const asked = askedOf((name, most) => queryText(ctx, name, most))
      const { filter, values, errors } = await readFilter(asked)
      const isUsable = Object.keys(errors).length === 0
      const before = /^\d{1,18}$/.test(queryText(ctx, 'before')) ? queryText(ctx, 'before') : undefined
      const found = isUsable ? await listEvents(db, { ...filter, before, limit: PAGE + 1 }) : []
      const { rows, next_href } = pageOf(found, PAGE, ({ id }) =>
        withQuery('/admin/audit', { ...asked, before: id }),
      )
      const [names, emails] = await Promise.all([
        clientNames(db, [...new Set(rows.flatMap(({ client_id }) => client_id ?? []))]),
        userEmails(db, [...new Set(rows.flatMap(peopleOf))]),
      ])
      render(
        ctx,
        'admin/audit',
        {
          done: takeNotice(ctx),
          events: rows.map((row) => eventView(row, names, emails)),
          next_href,
          values,
          export_href: withQuery('/admin/audit/export', asked),
          errors,
          is_filtered: Object.values(asked).some(Boolean),
          types: TYPES,
        },
        isUsable ? 200 : 422,
      )
    },

    /** What the filter finds, as a file. The filter travels in the form: after a new sign-in the address has lost it. */
    exportFile: {
      async show(ctx: SignedIn): Promise<void> {
        const asked = askedOf((name, most) => queryText(ctx, name, most))
        const { values, errors } = await readFilter(asked)
        showExport(ctx, { ...values, format: 'csv' }, errors, Object.keys(errors).length > 0 ? 422 : 200)
      },
      async send(ctx: SignedIn): Promise<void> {
        const asked = askedOf((name, most) => sentText(ctx, name, most).trim())
        if (Object.values(asked).some((text) => text.includes('\0') || !text.isWellFormed())) {
          throw new BadRequest('The form holds a character that is not allowed.')
        }
        const { filter, values, errors } = await readFilter(asked)
        const format = EXPORT_FORMATS.find((each) => each === sentText(ctx, 'format'))
        if (!format) errors.format = 'Choose what it is written as.'
        if (!format || Object.keys(errors).length > 0) {
          return showExport(ctx, { ...values, format: format ?? '' }, errors, 422)
        }
        // Rows are read as fast as the browser takes them; when it goes away, no more are read.
        const file = Readable.from(textsOf(await exportAudit(db, { filter, format })), { objectMode: false })
        // Cut off, not ended: a file that is not whole must not look like one that is.
        file.once('error', () => ctx.res.destroy())
        ctx.attachment(`audit-${new Date(Date.now()).toISOString().slice(0, 10)}.${format}`)
        ctx.type = format === 'csv' ? 'text/csv; charset=utf-8' : 'application/x-ndjson; charset=utf-8'
        ctx.set('Cache-Control', 'no-store')
        ctx.body = file
      },
    },
  }
}

const TYPES = EVENT_TYPES.map((type) => ({ value: type, label: type }))
const FORMATS = [
  { value: 'csv', label: 'CSV, for a spreadsheet' },
  { value: 'jsonl', label: 'JSON lines, for a program' },
]

interface Asked extends Record<string, string> {
  type: string
  actor: string
  user: string
  app: string
  since: string
  until: string
}

function askedOf(read: (name: string, most: number) => string): Asked {
  return {
    type: read('type', 60),
    actor: read('actor', 320),
    user: read('user', 320),
    app: read('app', 100),
    since: read('since', 30),
    until: read('until', 30),
  }
}

async function* textsOf(chunks: AsyncIterable<ExportChunk>): AsyncGenerator<string> {
  for await (const { text } of chunks) yield text
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
          href: names.has(client_id) ? `/admin/clients/${encodeURIComponent(client_id)}` : undefined,
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
