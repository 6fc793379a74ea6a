// Reads the files of migrations/: their statements, and the marks in the first comment that say how to run them. It runs nothing.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** A migration, as it stands in its file. */
export interface Migration {
  /** The name of the file without `.sql`. */
  name: string
  /**
   * How it runs: in one transaction; `concurrently`: statement by statement outside of a transaction, as `create index concurrently`
   * requires; `batched`: each statement again and again until it changes nothing.
   */
  kind: 'transaction' | 'concurrently' | 'batched'
  /** Whether versions that do not know it cannot work with its result. */
  breaking: boolean
  /** One text with all statements for a transaction; otherwise one text for each statement. */
  statements: string[]
}

/** The names of all migrations that this version knows, in their order. */
export async function migrationNames(directory: string): Promise<string[]> {
  const files = await readdir(directory)
  return files
    .filter((file) => file.endsWith('.sql'))
    .map((file) => file.slice(0, -'.sql'.length))
    .sort()
}

/** Reads a migration. @throws Error when its marks contradict each other */
export async function readMigration(directory: string, name: string): Promise<Migration> {
  const text = await readFile(join(directory, `${name}.sql`), 'utf8')
  const marks = marksOf(text)
  const breaking = marks.has('breaking')
  const concurrently = marks.has('concurrently')
  if (marks.size > 1) throw new Error(`migration ${name} has more than one mark`)
  const kind = concurrently ? 'concurrently' : marks.has('batched') ? 'batched' : 'transaction'
  return { name, kind, breaking, statements: kind === 'transaction' ? [text] : statementsOf(text) }
}

/** The index that a `create index concurrently` makes; undefined for other statements. */
export function concurrentIndex(statement: string): string | undefined {
  return /^create\s+(?:unique\s+)?index\s+concurrently\s+if\s+not\s+exists\s+(\w+)/i.exec(statement)?.[1]
}

const MARKS = ['concurrently', 'batched', 'breaking']

// Each mark has a line of its own before the first statement.
function marksOf(text: string): Set<string> {
  const head = /^(?:[ \t]*(?:--.*)?\r?\n)*/.exec(text)![0]
  const words = head.split(/\r?\n/).map((line) => line.replace(/^\s*--\s*/, '').trim())
  return new Set(words.filter((word) => MARKS.includes(word)))
}

// Such files hold neither functions nor texts with a semicolon at the end of a line.
function statementsOf(text: string): string[] {
  return text
    .replace(/^\s*--.*$/gm, '')
    .split(/;[ \t]*$/m)
    .map((statement) => statement.trim())
    .filter(Boolean)
}
