// clients secrets, and clients rotate-secret: what a client authenticates with.
import { type Command, InvalidArgumentError } from 'commander'
import { isUuid } from '../base/ids.ts'
import { addNamedSecret, listSecrets, revokeSecret, rotateSecret } from '../core/clients/secrets.ts'
import type { Client } from '../core/clients/store.ts'
import { called, getClient } from './client-output.ts'
import { answering, group, leaf, Refused } from './command.ts'
import { withStores } from './session.ts'
import { fields, table } from './table.ts'

/** Adds the commands on secrets of clients. */
export function addSecrets(clients: Command): void {
  const secrets = group(clients, 'secrets', 'what a client authenticates with')

  leaf(secrets, 'list', 'list the secrets that are valid; their values are known to nobody')
    .argument('<id>')
    .action(answering(showSecrets))

  leaf(secrets, 'add', 'give a client one more secret; prints it this once')
    .argument('<id>')
    .requiredOption('--name <name>', 'where it is used, e.g. "web server 2"')
    .action(answering(addSecret))

  leaf(secrets, 'revoke', 'end one secret at once')
    .argument('<id>')
    .argument('<secret>', 'its id, as secrets list shows it')
    .action(answering(endSecret))

  leaf(clients, 'rotate-secret', 'give a client a new secret; prints it this once')
    .argument('<id>')
    .option('--overlap <seconds>', 'how long the secrets it had stay valid', seconds, 0)
    .action(answering(rotate))
}

function showSecrets(id: string) {
  return withStores(async ({ db }) => {
    await getClient(db, id)
    const rows = await listSecrets(db, id)
    const text = table(rows, [
      ['ID', (secret) => secret.id],
      ['NAME', (secret) => secret.name],
      ['BEGINS WITH', (secret) => secret.prefix],
      ['CREATED', (secret) => secret.created_at],
      ['EXPIRES', (secret) => secret.expires_at],
      ['LAST USED', (secret) => secret.last_used_at],
    ])
    return { json: rows, text }
  })
}

function addSecret(id: string, { name }: { name: string }) {
  return withStores(async ({ db, by }) => {
    const client = await getClient(db, id)
    const secret = await addNamedSecret(db, id, name, by)
    if (secret === undefined) throw keepsNone(client)
    return {
      json: { id, name, secret },
      text: fields([['id', id], ['name', name], ...shownSecret(secret)]),
      note: `${ONCE}; those it had go on`,
      ifLost: `revoke it and add another: valetkey clients secrets list ${id}`,
    }
  })
}

function endSecret(id: string, secret_id: string) {
  return withStores(async ({ db, by }) => {
    const client = await getClient(db, id)
    if (!isUuid(secret_id) || !(await revokeSecret(db, id, secret_id, by))) {
      throw new Refused(`${called(client)} has no valid secret with the id ${JSON.stringify(secret_id)}`)
    }
    return { json: { id: secret_id, revoked: true }, text: `the secret ${secret_id} is revoked\n` }
  })
}

function rotate(id: string, { overlap }: { overlap: number }) {
  return withStores(async ({ db, by }) => {
    const client = await getClient(db, id)
    const secret = await rotateSecret(db, id, by, { overlapSeconds: overlap })
    if (secret === undefined) throw keepsNone(client)
    return {
      json: { id, secret, overlap_seconds: overlap },
      text: fields([['id', id], ...shownSecret(secret)]),
      note: `${ONCE}; ${overlap ? `the old one ends in ${overlap} s` : 'the old one is dead'}`,
      ifLost: another(id),
    }
  })
}

/** Said next to a secret that was just made. */
export const ONCE = 'the secret is not shown again'

/** What to do when the secret of a client could not be written out. */
export function another(id: string): string {
  return `get another: valetkey clients rotate-secret ${id}`
}

function keepsNone(client: Client): Refused {
  return new Refused(`${called(client)} is a ${client.type} client: it keeps no secret`)
}

const MAX_OVERLAP_SECONDS = 30 * 86_400

function seconds(text: string): number {
  const n = Number(text)
  if (/^\d+$/.test(text) && n <= MAX_OVERLAP_SECONDS) return n
  throw new InvalidArgumentError(`It is a number of seconds, up to ${MAX_OVERLAP_SECONDS}.`)
}

/** The line with a secret; none for a client that keeps no secret. */
export function shownSecret(secret: string | undefined): [string, unknown][] {
  return secret ? [['secret', secret]] : []
}
