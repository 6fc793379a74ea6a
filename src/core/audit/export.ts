// Exports the audit log as a file of any size, a page of rows at a time. A slow reader slows it down, so that nothing piles up in memory.
import type { Db } from '../../db/pool.ts'
import { settledStretches } from './order.ts'
import { type AuditRow, type EventFilter, listStretch, type PlacedRow, type Stretch } from './store.ts'

/** The formats of an export. */
export const EXPORT_FORMATS = ['csv', 'jsonl'] as const

/** See {@link EXPORT_FORMATS}. */
export type ExportFormat = (typeof EXPORT_FORMATS)[number]

/** A piece of an export: whole lines. */
export interface ExportChunk {
  text: string
  /** How many events are in it. */
  events: number
}

/** Which events to export. */
export interface ExportOptions {
  filter: EventFilter
  format: ExportFormat
  /** Only events after this one. The next file goes on after the last event of this file, and misses none. */
  after?: string
}

/**
 * Exports events in the order of their transactions, up to the newest settled one, before which no further event can appear. It reads
 * rows when a chunk is asked for, and holds no transaction in between.
 * `csv` is RFC 4180 with a header line, safe to open in a spreadsheet; `jsonl` is a JSON object a line.
 * @throws BadRequest when there is no event `after`
 */
export async function exportAudit(
  db: Db,
  { filter, format, after }: ExportOptions,
): Promise<AsyncGenerator<ExportChunk>> {
  return chunks(db, filter, format, await settledStretches(db, after))
}

async function* chunks(
  db: Db,
  filter: EventFilter,
  format: ExportFormat,
  stretches: Stretch[],
): AsyncGenerator<ExportChunk> {
  if (format === 'csv') yield { text: csvLine(COLUMNS), events: 0 }
  const line = format === 'csv' ? csvRow : jsonRow
  for (const stretch of stretches) {
    for (let { after } = stretch; ; ) {
      const rows = await listStretch(db, filter, { ...stretch, after }, PAGE)
      if (rows.length > 0) yield { text: rows.map(line).join(''), events: rows.length }
      if (rows.length < PAGE) break
      after = rows.at(-1)
    }
  }
}

const PAGE = 500

const COLUMNS = [
  'id',
  'at',
  'type',
  'actor_type',
  'actor_id',
  'user_id',
  'client_id',
  'ip',
  'user_agent',
  'request_id',
  'data',
] as const

// The id of the event names the position.
function jsonRow({ tx: _, ...row }: PlacedRow): string {
  return `${JSON.stringify(row)}\n`
}

function csvRow(row: AuditRow): string {
  return csvLine(
    COLUMNS.map((column) => {
      if (column === 'at') return row.at.toISOString()
      return column === 'data' ? JSON.stringify(row.data) : (row[column] ?? '')
    }),
  )
}

function csvLine(cells: readonly string[]): string {
  return `${cells.map(csvCell).join(',')}\r\n`
}

// Spreadsheets take these characters for the beginning of a formula, the last four in East Asian versions, and anybody can choose a
// user agent.
const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/

function csvCell(text: string): string {
  const isFormula = FORMULA.test(text)
  return isFormula || /[",\r\n]/.test(text) ? `"${isFormula ? "'" : ''}${text.replaceAll('"', '""')}"` : text
}
