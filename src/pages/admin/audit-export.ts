// The export of the audit log: the events that a filter finds, as a file for a spreadsheet or for a program.
import { Readable } from 'node:stream'
import { EXPORT_FORMATS, type ExportChunk, exportAudit } from '../../core/audit/export.ts'
import type { Pool } from '../../db/pool.ts'
import { BadRequest } from '../../http/errors.ts'
import { type FormErrors, hasErrors, sentText, statusOf } from '../../http/form.ts'
import { takeNotice } from '../../http/notice.ts'
import { queryText } from '../../http/query.ts'
import type { Render } from '../../http/render.ts'
import type { SignedIn } from '../../protocol/guards.ts'
import { readFilter, TYPE_CHOICES, typedFilter } from './audit-filter.ts'

const FORMATS = [
  { value: 'csv', label: 'CSV, for a spreadsheet' },
  { value: 'jsonl', label: 'JSON lines, for a program' },
]

/** The form of /admin/audit/export. It holds the filter, because a new sign-in drops it from the address. */
export function auditExportForm({ db, render }: { db: Pool; render: Render }) {
  const showForm = (ctx: SignedIn, values: object, errors: FormErrors, status: number): void =>
    render(
      ctx,
      'admin/audit-export',
      { done: takeNotice(ctx), values, errors, types: TYPE_CHOICES, formats: FORMATS },
      status,
    )
  return {
    async show(ctx: SignedIn): Promise<void> {
      const typed = typedFilter((name, most) => queryText(ctx, name, most))
      const { values, errors } = await readFilter(db, typed)
      showForm(ctx, { ...values, format: 'csv' }, errors, statusOf(errors))
    },

    async send(ctx: SignedIn): Promise<void> {
      const typed = typedFilter((name, most) => sentText(ctx, name, most).trim())
      if (Object.values(typed).some((text) => text.includes('\0') || !text.isWellFormed())) {
        throw new BadRequest('The form holds a character that is not allowed.')
      }
      const { filter, values, errors } = await readFilter(db, typed)
      const format = EXPORT_FORMATS.find((each) => each === sentText(ctx, 'format'))
      if (!format) errors.format = 'Choose what it is written as.'
      if (!format || hasErrors(errors)) {
        return showForm(ctx, { ...values, format: format ?? '' }, errors, 422)
      }
      sendFile(ctx, format, await exportAudit(db, { filter, format }))
    },
  }
}

function sendFile(ctx: SignedIn, format: 'csv' | 'jsonl', chunks: AsyncIterable<ExportChunk>): void {
  // The stream reads rows as fast as the browser takes them, and stops when the browser goes away.
  const file = Readable.from(textsOf(chunks), { objectMode: false })
  // Destroy the connection, so that a file that is cut off does not look complete.
  file.once('error', () => ctx.res.destroy())
  ctx.attachment(`audit-${new Date(Date.now()).toISOString().slice(0, 10)}.${format}`)
  ctx.type = format === 'csv' ? 'text/csv; charset=utf-8' : 'application/x-ndjson; charset=utf-8'
  ctx.set('Cache-Control', 'no-store')
  ctx.body = file
}

async function* textsOf(chunks: AsyncIterable<ExportChunk>): AsyncGenerator<string> {
  for await (const { text } of chunks) yield text
}
