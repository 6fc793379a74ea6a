// audit: listing, verifying and exporting the audit log.
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { currentType, EVENT_TYPES } from '../base/audit-events.ts'
import { EVENT_ID } from '../base/ids.ts'
import { EXPORT_FORMATS, type ExportFormat, exportAudit } from '../core/audit/export.ts'
import { type AuditRow, type EventFilter, listEvents } from '../core/audit/store.ts'
import { type AuditReport, type Finding, verifyAudit } from '../core/audit/verify.ts'
import type { Db } from '../db/pool.ts'
import {
  type Answer,
  answering,
  group,
  leaf,
  type Page,
  paged,
  pageOf,
  printed,
  Refused,
  Usage,
} from './command.ts'
import { serverSecrets } from './keys.ts'
import { withStores } from './session.ts'
import { fields, table } from './table.ts'
import { getUser } from './users.ts'

/** Adds the commands of this noun. */
export function addAudit(program: Command): void {
  const audit = group(program, 'audit', 'the record of what happened')

  filtered(paged(leaf(audit, 'list', 'list events, newest first'), 'event')).action(answering(list))

  leaf(audit, 'verify', 'prove that no sealed event was changed, removed or added')
    .option('--head <hash>', 'a head of earlier, which must still be in the chain', hash)
    .action(answering(verify))

  filtered(leaf(audit, 'export', 'write events out, in the order of transactions'))
    .addOption(new Option('--format <format>', 'csv or jsonl').choices(EXPORT_FORMATS).makeOptionMandatory())
    .option('--after <id>', 'only what stands behind this event, the last one of the export before', eventId)
    .option('--out <file>', 'to this new file, not to standard output')
    .action(answering(exportEvents))
}

/** Adds the options that filter events. */
function filtered(command: Command): Command {
  return command
    .option('--type <type>', 'only of this type, e.g. sign_in.failed', eventType)
    .option(
      '--actor <who>',
      'only done by: user, client, cli or system; or one of them, e.g. cli:root',
      actor,
    )
    .option('--user <email-or-id>', 'only about this account')
    .option('--client <id>', 'only about this client')
    .option('--since <time>', 'only then or later, e.g. 2026-11-22 or 2026-11-22T20:00:00Z', moment)
    .option('--until <time>', 'only before then', moment)
}

interface Filter extends Pick<EventFilter, 'type' | 'since' | 'until'> {
  actor?: { actor_type: string; actor_id?: string }
  user?: string
  client?: string
}

async function filterOf(db: Db, { type, actor, user, client, since, until }: Filter): Promise<EventFilter> {
  const user_id = user === undefined ? undefined : (await getUser(db, user)).id
  const by = actor?.actor_type === 'user' && actor.actor_id?.includes('@')
  const actor_id = by ? (await getUser(db, actor!.actor_id!)).id : actor?.actor_id
  return { type, actor_type: actor?.actor_type, actor_id, user_id, client_id: client, since, until }
}

async function list({ limit, after, ...filter }: Page & Filter) {
  // Newest first: --after an event in the list means before it in time.
  if (after !== undefined && !EVENT_ID.test(after))
    throw new Usage('--after takes the number of an event, e.g. 1042')
  return withStores(async ({ db }) => {
    const found = await listEvents(db, { ...(await filterOf(db, filter)), limit: limit + 1, before: after })
    const { rows, note } = pageOf(found, limit, (event) => event.id)
    const text = table(rows, [
      ['ID', (event) => event.id],
      ['AT', (event) => event.at],
      ['TYPE', (event) => event.type],
      ['BY', (event) => [event.actor_type, event.actor_id].filter(Boolean).join(' ')],
      ['FROM', (event) => event.ip],
      ['USER', (event) => event.user_id],
      ['CLIENT', (event) => event.client_id],
      ['DETAILS', details],
    ])
    return { json: rows, text, note }
  })
}

function verify({ head }: { head?: string }): Promise<Answer> {
  return withStores(async ({ config, db }) => {
    const report = await verifyAudit(db, await serverSecrets(config, db), { head })
    return {
      json: report,
      text: reportText(report),
      failure: report.finding ? findingText(report.finding) : undefined,
    }
  })
}

function reportText({ sealed, seals, unsealed, unsealed_since, head }: AuditReport): string {
  return fields([
    ['sealed', `${sealed} events in ${seals} seals, none changed, removed or added`],
    ['not yet sealed', unsealed_since ? `${unsealed}, since ${unsealed_since.toISOString()}` : unsealed],
    ['head', head],
  ])
}

function findingText({ problem, id }: Finding): string {
  switch (problem) {
    case 'row_changed':
      return `event ${id} was changed after it was sealed`
    case 'row_removed':
      return `event ${id} was removed after it was sealed`
    case 'row_inserted':
      return `event ${id} was added to a part of the record that was sealed without it`
    case 'seal_changed':
      return `seal ${id} was changed, or made by somebody who has not the key`
    case 'seal_removed':
      return `seal ${id} was removed`
    case 'key_unknown':
      return `seal ${id} was made with a key that is not in SECRET_KEYS; add that key at the end of the list`
    case 'head_missing':
      return `no seal has the hash ${id}: the end of the chain was removed or made anew`
  }
}

interface Export extends Filter {
  format: ExportFormat
  after?: string
  out?: string
  json?: boolean
}

async function exportEvents({ format, after, out, json, ...filter }: Export): Promise<Answer> {
  if (json && out === undefined) throw new Usage('--json goes with --out only; try --format jsonl')
  return withStores(async ({ db }) => {
    const chunks = await exportAudit(db, { filter: await filterOf(db, filter), format, after })
    let events = 0
    const counted = async function* () {
      for await (const chunk of chunks) {
        events += chunk.events
        yield chunk.text
      }
    }
    await (out === undefined ? toOutput(counted()) : toFile(out, counted()))
    return {
      json: { events, file: out },
      text: '',
      note: out === undefined ? '' : `${events} events in ${out}`,
    }
  })
}

async function toOutput(texts: AsyncIterable<string>): Promise<void> {
  for await (const text of texts) if (!(await printed(text))) return
}

/** Writes a complete file or none: an incomplete one stays in `<file>.part`. */
async function toFile(file: string, texts: AsyncIterable<string>): Promise<void> {
  if (await exists(file)) throw new Refused(`${file} exists already`)
  const part = `${file}.part`
  try {
    await rm(part, { force: true })
    // For the owner only: it tells who did what from where.
    const handle = await open(part, 'wx', 0o600)
    await writeAll(handle, texts).finally(() => handle.close())
    await rename(part, file)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code?.startsWith('E')) throw new Refused(`cannot write ${file}: ${message}`, { cause: error })
    throw error
  }
}

async function writeAll(handle: FileHandle, texts: AsyncIterable<string>): Promise<void> {
  for await (const text of texts) await handle.appendFile(text)
  await handle.sync()
}

function exists(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  )
}

function hash(text: string): string {
  if (!/^[0-9a-f]{64}$/i.test(text)) throw new InvalidArgumentError('It is 64 hexadecimal digits.')
  return text.toLowerCase()
}

function eventId(text: string): string {
  if (!EVENT_ID.test(text)) throw new InvalidArgumentError('It is the number of an event, e.g. 1042.')
  return text
}

// Refuse an unknown type: it would find no events, as if nothing had happened.
function eventType(text: string): string {
  const current = currentType(text)
  if (EVENT_TYPES.includes(current)) return current
  const [noun] = text.split('.')
  const near = EVENT_TYPES.filter((type) => type.startsWith(`${noun}.`))
  const some = near.length > 0 ? near : EVENT_TYPES
  throw new InvalidArgumentError(`There is no such type; there are ${some.join(', ')}.`)
}

function actor(text: string): { actor_type: string; actor_id?: string } {
  const [, actor_type, actor_id] = /^(user|client|cli|system)(?::(.+))?$/.exec(text) ?? []
  if (!actor_type) throw new InvalidArgumentError('It is user, client, cli or system, or e.g. cli:root.')
  return { actor_type, actor_id }
}

// A time without a zone would mean different moments on different machines.
function moment(text: string): Date {
  const date = new Date(text)
  const isWhole = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2}))?$/.test(text)
  if (!isWhole || Number.isNaN(date.getTime())) {
    throw new InvalidArgumentError(
      'It is a day or a time with its zone, e.g. 2026-11-22 or 2026-11-22T20:00:00Z.',
    )
  }
  return date
}

function details({ data }: AuditRow): string {
  return Object.entries(data)
    .map(([key, value]) => `${key}=${Array.isArray(value) ? value.join(',') : value}`)
    .join(' ')
}
