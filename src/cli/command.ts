// What all commands share: --json, paging, printing answers and failures, exit codes. It knows no noun.
import { type Command, CommanderError, InvalidArgumentError } from 'commander'
import { ConfigError } from '../base/config.ts'
import { isUuid } from '../base/ids.ts'
import { pageOf as cut } from '../base/page.ts'
import { type Listed, placeAt } from '../db/cursor.ts'
import { PooledByTransaction } from '../db/direct.ts'
import { SchemaTooNew } from '../db/migrate.ts'
import { printable } from './table.ts'

/** Exit codes; 65 and 78 are EX_DATAERR and EX_CONFIG of sysexits.h. */
export const EXIT = { ok: 0, failure: 1, usage: 2, differences: 3, tooOld: 65, configuration: 78 } as const

/** The answer of a command, for programs and for people. */
export interface Answer {
  /** The one document that --json prints. */
  json: unknown
  /** Goes to standard output; may be empty. */
  text: string
  /** Goes to standard error, next to text only. */
  note?: string
  /** Set when a check has failed: printed in one line, instead of the text or beside the document. */
  failure?: string
  /** Set when the command succeeded and its exit code tells the result. */
  exitCode?: number
  /** What to do if the answer cannot be written, when it holds a secret that is never shown again. */
  ifLost?: string
}

/** The command cannot be done; the message is one line for a person. */
export class Refused extends Error {
  override name = 'Refused'
}

/** The command line is wrong. */
export class Usage extends Error {
  override name = 'Usage'
}

/** The command has succeeded with this exit code. */
class Exit extends Error {
  override name = 'Exit'
  readonly exitCode: number

  constructor(exitCode: number) {
    super()
    this.exitCode = exitCode
  }
}

/** A signal came before the command was done. */
export class Interrupted extends Error {
  override name = 'Interrupted'
  readonly exitCode: number

  constructor(exitCode: number) {
    super('interrupted')
    this.exitCode = exitCode
  }
}

/** A noun with commands below it. */
export function group(parent: Command, name: string, description: string): Command {
  const noun = parent.command(name).description(description)
  return noun.allowExcessArguments().action(() => {
    const known = noun.commands.map((command) => command.name()).join(', ')
    const [given] = noun.args
    const problem = given === undefined ? 'which command?' : `unknown command ${JSON.stringify(given)}.`
    throw new Usage(`${name}: ${problem} There are: ${known}`)
  })
}

/** A command. Every one has --json. */
export function leaf(parent: Command, name: string, description: string): Command {
  return (
    parent
      .command(name)
      .description(description)
      .option('--json', 'print one JSON document')
      // Groups allow excess arguments, to list their commands in an error; a command would inherit that.
      .allowExcessArguments(false)
  )
}

/** Adds --limit and --after to a command that lists. @param place reads what --after takes. @throws InvalidArgumentError */
export function paged(command: Command, cursor: string, place = (text: string): string => text): Command {
  return command
    .option('--limit <n>', `how many at most, up to ${MAX_LIMIT}`, limit, DEFAULT_LIMIT)
    .option('--after <id>', `go on after this ${cursor}`, place)
}

/** Reads --after of a list whose ids are UUIDs: a cursor, or a text that {@link placeFrom} finds. */
export function uuidPlace(text: string): string {
  const place = placeAt(text)
  if (place && !isUuid(place.id)) {
    throw new InvalidArgumentError('It is an id, or what the page before has said behind “more: --after”.')
  }
  return text
}

/** The options that {@link paged} adds. */
export interface Page {
  limit: number
  after?: string
}

/**
 * Makes a page of a list. @param found up to one row more than the limit, which tells whether there are more
 * @param idOf the value of --after that goes on behind a row
 */
export function pageOf<Row>(
  found: Row[],
  limit: number,
  idOf: (row: Row) => string,
): { rows: Row[]; note?: string } {
  const { rows, next } = cut(found, limit, idOf)
  return next === undefined ? { rows } : { rows, note: `more: --after ${next}` }
}

/** As {@link pageOf}, of a list with cursors, which it removes from the rows. */
export function pageOfListed<Row extends object>(
  found: Listed<Row>[],
  limit: number,
): { rows: Row[]; note?: string } {
  const { rows, ...more } = pageOf(found, limit, ({ cursor }) => cursor)
  return { rows: rows.map(({ cursor: _, ...row }) => row as unknown as Row), ...more }
}

/** Reads --after: a cursor, or the name of something that exists. @param idOf finds its id @throws Refused */
export async function placeFrom(
  after: string | undefined,
  idOf: (id: string) => Promise<string>,
): Promise<string | undefined> {
  return after === undefined || placeAt(after) ? after : idOf(after)
}

/** Makes a commander action of work, and prints its answer. */
export function answering<Args extends unknown[]>(work: (...args: Args) => Promise<Answer>) {
  return async (...args: unknown[]): Promise<void> => {
    const command = args.at(-1) as Command
    const answer = await work(...(args as Args))
    const { json } = command.opts<{ json?: boolean }>()
    if (answer.failure && !json) throw new Refused(answer.failure)
    const problem = await write(json ? `${JSON.stringify(answer.json, null, 2)}\n` : answer.text)
    if (problem && answer.ifLost) throw new Refused(`the secret could not be written out; ${answer.ifLost}`)
    // A reader that stops reading (head, less) is no failure.
    if (problem && problem.code !== 'EPIPE') throw new Refused(`cannot write the answer: ${problem.message}`)
    if (answer.failure) throw new Refused(answer.failure)
    if (!json && answer.note) process.stderr.write(`${answer.note}\n`)
    if (answer.exitCode) throw new Exit(answer.exitCode)
  }
}

/** Prints a piece of a long answer, as fast as it is read. @returns false when the reader has stopped reading */
export async function printed(text: string): Promise<boolean> {
  const problem = await write(text)
  if (problem && problem.code !== 'EPIPE') throw new Refused(`cannot write the answer: ${problem.message}`)
  return !problem
}

/** Prints a failure in one line to standard error. @returns the exit code. */
export function fail(error: unknown): number {
  if (error instanceof CommanderError && error.exitCode === 0) return EXIT.ok
  if (error instanceof Exit) return error.exitCode
  process.stderr.write(`valetkey: ${oneLine(error)}\n`)
  if (error instanceof CommanderError || error instanceof Usage) return EXIT.usage
  if (error instanceof Interrupted) return error.exitCode
  if (error instanceof SchemaTooNew) return EXIT.tooOld
  const isConfiguration = error instanceof ConfigError || error instanceof PooledByTransaction
  return isConfiguration ? EXIT.configuration : EXIT.failure
}

const DEFAULT_LIMIT = 50
const MAX_LIMIT = 1000

function limit(text: string): number {
  const n = Number(text)
  if (!/^\d+$/.test(text) || n < 1 || n > MAX_LIMIT) {
    throw new InvalidArgumentError(`It is a number from 1 to ${MAX_LIMIT}.`)
  }
  return n
}

function write(text: string): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    process.stdout.write(text, (error) => resolve(error ?? undefined))
  })
}

function oneLine(error: unknown): string {
  if (error instanceof ConfigError) {
    return error.mistakes.map(({ key, problem, example }) => `${key} ${problem}, e.g. ${example}`).join('; ')
  }
  const message = error instanceof Error ? error.message || error.name : String(error)
  return printable(
    message
      .replace(/^error: /, '')
      .replace(/\s*[\r\n]\s*/g, ' ')
      .trim(),
  )
}
