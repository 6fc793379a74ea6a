// audit: what happened, by whom.
import type { Command } from 'commander'
import { type AuditRow, listEvents } from '../audit/store.ts'
import { answering, group, leaf, type Page, paged, pageOf, Usage } from './command.ts'
import { withStores } from './session.ts'
import { table } from './table.ts'
import { getUser } from './users.ts'

/** Adds the commands of this noun. */
export function addAudit(program: Command): void {
  const audit = group(program, 'audit', 'the record of what happened')

  paged(leaf(audit, 'list', 'list events, newest first'), 'event')
    .option('--type <type>', 'only of this type, e.g. sign_in.failed')
    .option('--user <email-or-id>', 'only about this account')
    .option('--client <id>', 'only about this client')
    .action(answering(list))
}

interface List extends Page {
  type?: string
  user?: string
  client?: string
}

async function list({ limit, after, type, user, client }: List) {
  // Newest first: what comes after an event in the list came before it in time.
  if (after !== undefined && !/^\d{1,18}$/.test(after))
    throw new Usage('--after takes the number of an event, e.g. 1042')
  return withStores(async ({ db }) => {
    const user_id = user && (await getUser(db, user)).id
    const found = await listEvents(db, { type, user_id, client_id: client, limit: limit + 1, before: after })
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

function details({ data }: AuditRow): string {
  return Object.entries(data)
    .map(([key, value]) => `${key}=${Array.isArray(value) ? value.join(',') : value}`)
    .join(' ')
}
