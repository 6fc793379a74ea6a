// The record as a file of any size, a page of rows at a time: whoever reads slowly makes it wait, and nothing piles up.
import type { Db } from '../../db/pool.ts'
import { settledStretches } from './order.ts'
import { type AuditRow, type EventFilter, listStretch, type PlacedRow, type Stretch } from './store.ts'

/** What an export can be written as. */
export const EXPORT_FORMATS = ['csv', 'jsonl'] as const

/** See {@link EXPORT_FORMATS}. */
export type ExportFormat = (typeof EXPORT_FORMATS)[number]

/** A piece of an export: whole lines. */
export interface ExportChunk {
  text: string
  /** How many events are in it. */
  events: number
}

/** What a file is to hold. */
export interface ExportOptions {
  filter: EventFilter
  format: ExportFormat
  /** Only what stands behind this event. The last event of one file is where the next one goes on, and none is missed. */
  after?: string
}

/**
 * Events in the order of their transactions, up to the newest one that is settled when it starts: none can appear before it
 * any more. Rows are read only when a chunk is asked for, and no transaction is held in between.
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

// Where it stands is named by its id.
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

// A spreadsheet takes these for the beginning of a formula, the last four in East Asian versions; a user agent is
// anybody's to choose.
const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/

function csvCell(text: string): string {
  const isFormula = FORMULA.test(text)
  return isFormula || /[",\r\n]/.test(text) ? `"${isFormula ? "'" : ''}${text.replaceAll('"', '""')}"` : text
}
