// What a file of migrations/ says: its statements, and by marks in its first comment, how they are to be run. It runs nothing.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** A migration, as its file has it. */
export interface Migration {
  /** Of the file, without `.sql`. */
  name: string
  /**
   * How it runs. In one transaction; or `concurrently`: statement by statement outside of one, as `create index concurrently`
   * wants it; or `batched`: each statement again and again, until it finds nothing more to change.
   */
  kind: 'transaction' | 'concurrently' | 'batched'
  /** Versions that do not know it cannot work with what it leaves. */
  breaking: boolean
  /** All of it in one for a transaction, else one by one. */
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

/** Reads one. @throws Error when its marks contradict each other. */
export async function readMigration(directory: string, name: string): Promise<Migration> {
  const text = await readFile(join(directory, `${name}.sql`), 'utf8')
  const marks = marksOf(text)
  const breaking = marks.has('breaking')
  const concurrently = marks.has('concurrently')
  if (marks.size > 1) throw new Error(`migration ${name} has more than one mark`)
  const kind = concurrently ? 'concurrently' : marks.has('batched') ? 'batched' : 'transaction'
  return { name, kind, breaking, statements: kind === 'transaction' ? [text] : statementsOf(text) }
}

/** The index that a statement makes without locking its table, if it is one that does. */
export function concurrentIndex(statement: string): string | undefined {
  return /^create\s+(?:unique\s+)?index\s+concurrently\s+if\s+not\s+exists\s+(\w+)/i.exec(statement)?.[1]
}

const MARKS = ['concurrently', 'batched', 'breaking']

// Each on a line of its own, before the first statement.
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
