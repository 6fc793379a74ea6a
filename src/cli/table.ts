// Prints rows in a terminal: aligned columns, moments in ISO 8601, and no control characters. It knows no noun.

/** A column: its heading, and what a row shows there. */
export type Column<Row> = [heading: string, cell: (row: Row) => unknown]

/** Rows under headings, each column as wide as its widest cell. */
export function table<Row>(rows: readonly Row[], columns: Column<Row>[]): string {
  const lines = [
    columns.map(([heading]) => heading),
    ...rows.map((row) => columns.map(([, of]) => cell(of(row)))),
  ]
  return aligned(lines)
}

/** One thing, a line a field. Fields without a value are shown as a dash. */
export function fields(pairs: [name: string, value: unknown][]): string {
  return aligned(pairs.map(([name, value]) => [name, cell(value)]))
}

/** Removes control characters, with which a text could change what a terminal shows. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cs}\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, '\ufffd')
}

function aligned(lines: string[][]): string {
  const widths = lines[0]?.map((_, column) => Math.max(...lines.map((line) => width(line[column]!)))) ?? []
  return lines
    .map((line) =>
      line
        .map((text, column) => text + ' '.repeat(widths[column]! - width(text)))
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('')
}

function cell(value: unknown): string {
  if (value instanceof Date) return value.toISOString().replace(/\.\d+Z$/, 'Z')
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  const text = Array.isArray(value) ? value.join(' ') : String(value ?? '')
  return printable(text) || '-'
}

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' })
const WIDE =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|^\p{Emoji_Presentation}/u

/** Columns that a text takes: East Asian letters and emoji take two. */
function width(text: string): number {
  return [...graphemes.segment(text)].reduce((sum, { segment }) => sum + (WIDE.test(segment) ? 2 : 1), 0)
}
