// clients: the apps that people let in, and services.
import { type Command, InvalidArgumentError, Option } from 'commander'
import type { Change } from '../base/audit-events.ts'
import { isDocumentId } from '../core/clients/document-url.ts'
import type { ClientInput } from '../core/clients/fields.ts'
import { APP_TYPES } from '../core/clients/kinds.ts'
import { approveChange, ChangeOutdated, findChange, rejectChange } from '../core/clients/pending-changes.ts'
import { hostOf } from '../core/clients/presentation.ts'
import { approveClient, rejectClient, unverifyClient, verifyClient } from '../core/clients/review.ts'
import { addNamedSecret, listSecrets, revokeSecret, rotateSecret } from '../core/clients/secrets.ts'
import {
  type Client,
  createClient,
  deleteClient,
  findClient,
  listClients,
  lockClient,
  resumeClient,
  suspendClient,
} from '../core/clients/store.ts'
import { updateClient, VersionConflict } from '../core/clients/update.ts'
import { unblockDocument } from '../core/registration/metadata-documents.ts'
import { type Db, tx } from '../db/pool.ts'
import { addApply } from './apply.ts'
import { confirm } from './ask.ts'
import { changeFrom, fieldOptions, fieldsFrom, shownFields } from './client-fields.ts'
import {
  answering,
  group,
  isUuid,
  leaf,
  type Page,
  paged,
  pageOfListed,
  placeFrom,
  Refused,
  Usage,
} from './command.ts'
import { withStores } from './session.ts'
import { fields, printable, table } from './table.ts'

/** Adds the commands of this noun. */
export function addClients(program: Command): void {
  const clients = group(program, 'clients', 'the apps and services that may ask for access')

  const made = leaf(clients, 'create', 'register an app; prints its id and, this once, its secret')
    .addOption(new Option('--type <type>', 'what it runs as').choices(APP_TYPES).makeOptionMandatory())
    .action(answering(create))
  for (const option of fieldOptions(true)) made.addOption(option)

  paged(leaf(clients, 'list', 'list clients, oldest first'), 'client').action(answering(list))

  leaf(clients, 'show', 'show a client').argument('<id>').action(answering(show))

  leaf(clients, 'suspend', 'stop a client and every token of it').argument('<id>').action(answering(suspend))

  leaf(clients, 'resume', 'let a suspended client work again').argument('<id>').action(answering(resume))

  leaf(clients, 'delete', 'delete a client and end every token of it, for good')
    .argument('<id>')
    .option('--yes', 'do not ask')
    .action(answering(remove))

  leaf(clients, 'unblock', 'let a deleted app, whose id is the address of its document, come back')
    // Its name in an earlier version.
    .alias('readmit')
    .argument('<id>')
    .action(answering(unblock))

  addUpdate(clients)
  addApply(clients)

  leaf(
    clients,
    'approve',
    'let everybody use an app that waits for a decision, or make its waiting change hold',
  )
    .argument('<id>')
    .option('--if-version <n>', 'the version you have looked at; without it you are shown and asked', version)
    .action(answering(approve))

  leaf(clients, 'reject', 'refuse an app that waits for a decision, or its waiting change')
    .argument('<id>')
    .requiredOption('--reason <text>', 'why, in words for its owners')
    .action(answering(reject))

  leaf(clients, 'verify', 'say on the consent page that you know who is behind an app')
    .argument('<id>')
    .option('--undo', 'say it no longer')
    .option('--if-version <n>', 'the version you have looked at; without it you are shown and asked', version)
    .action(answering(verify))

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

function addUpdate(clients: Command): void {
  const changed = leaf(
    clients,
    'update',
    'change an app; what is not named stays. An empty value takes an address away',
  )
    .argument('<id>')
    .option('--if-version <n>', 'only if it still has this version', version)
    .action(answering(update))
  for (const option of fieldOptions(false)) changed.addOption(option)
}

function update(id: string, options: Seen) {
  return withStores(async ({ db, by }) => {
    const client = await updateClient(db, id, changeFrom(options), by, options.ifVersion).catch(notMovedOn)
    if (!client) throw missing(id)
    return { json: client, text: fields(shown(client)) }
  })
}

interface Seen {
  ifVersion?: number
}

function approve(id: string, options: Seen) {
  return withStores(async ({ db, by }) => {
    const client = await getClient(db, id)
    const waiting = await waitingChange(db, client)
    if (!waiting && client.state === 'active') {
      return { json: client, text: `${called(client)} was approved already\n` }
    }
    const seen = await seenVersion(client, 'Approve', options, waiting?.changes)
    if (!waiting) {
      await approveClient(db, id, by, seen).catch(notMovedOn)
      return { json: await getClient(db, id), text: `${called(client)} is approved; everybody can use it\n` }
    }
    const changed = await tx(db, async (t) => {
      const now = await lockClient(t, id)
      if (now && now.version !== seen) throw new VersionConflict(now)
      return approveChange(t, id, (await findChange(t, id))?.id, by)
    })
      .catch(notMovedOn)
      .catch(notOutdated)
    if (!changed) throw new Refused('its owners have just changed or withdrawn what they ask for')
    return { json: changed, text: `the change of ${called(changed)} holds now\n` }
  })
}

/** Which version of an app somebody has looked at: they say so, or look at it here. */
async function seenVersion(
  client: Client,
  what: string,
  { ifVersion }: Seen,
  changes: readonly Change[] = [],
): Promise<number> {
  if (ifVersion !== undefined) return ifVersion
  if (!process.stdin.isTTY) {
    throw new Usage(
      `there is no terminal to show it on; look at it with: valetkey clients show ${printable(client.id)}, and say --if-version <n>`,
    )
  }
  process.stderr.write(fields(shown(client)))
  for (const { field, from, to } of changes) {
    process.stderr.write(printable(`${field}: ${JSON.stringify(from)} becomes ${JSON.stringify(to)}`))
    process.stderr.write('\n')
  }
  if (!(await confirm(`${what} this?`))) throw new Refused('nothing was decided')
  return client.version
}

function reject(id: string, { reason }: { reason: string }) {
  return withStores(async ({ db, by }) => {
    const client = await getClient(db, id)
    const change = await waitingChange(db, client)
    if (change) {
      if (!(await rejectChange(db, id, change.id, reason, by))) {
        throw new Refused('its owners have just changed or withdrawn what they ask for')
      }
      return {
        json: await getClient(db, id),
        text: `the change of ${called(client)} is rejected; it goes on as it is\n`,
      }
    }
    if (!(await rejectClient(db, id, reason, by))) {
      throw new Refused(`${called(client)} waits for no decision; suspend it instead`)
    }
    return { json: await getClient(db, id), text: `${called(client)} is rejected; nobody can use it\n` }
  })
}

async function waitingChange(db: Db, client: Client) {
  const change = client.state === 'active' ? await findChange(db, client.id) : undefined
  return change?.rejected_at ? undefined : change
}

function notMovedOn(error: unknown): never {
  if (error instanceof VersionConflict) throw new Refused(error.message, { cause: error })
  throw error
}

function notOutdated(error: unknown): never {
  if (error instanceof ChangeOutdated) {
    throw new Refused(`${error.message}; reject it with a reason, so that its owners ask for it anew`, {
      cause: error,
    })
  }
  throw error
}

function verify(id: string, { undo, ...options }: { undo?: boolean } & Seen) {
  return withStores(async ({ db, by }) => {
    const client = await getClient(db, id)
    const state = undo ? 'not verified' : 'verified'
    if (!undo === (client.verified_at !== null)) {
      return { json: client, text: `${called(client)} was ${state} already\n` }
    }
    if (undo) await unverifyClient(db, id, by)
    else await verifyClient(db, id, by, await seenVersion(client, 'Verify', options)).catch(notMovedOn)
    return { json: await getClient(db, id), text: `${called(client)} is ${state}\n` }
  })
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

function create({ type, ...options }: { type: ClientInput['type'] }) {
  return withStores(async ({ db, by }) => {
    const input = { ...fieldsFrom(options), type } as ClientInput
    const { client, secret } = await createClient(db, input, by)
    return {
      json: { ...client, secret: secret ?? null },
      text: fields([...shown(client), ...shownSecret(secret)]),
      note: secret && ONCE,
      ifLost: secret && another(client.id),
    }
  })
}

function list({ limit, after }: Page) {
  return withStores(async ({ db }) => {
    const place = await placeFrom(after, async (id) => (await getClient(db, id)).id)
    const found = await listClients(db, { limit: limit + 1, after: place })
    const { rows, note } = pageOfListed(found, limit)
    const text = table(rows, [
      ['ID', (client) => client.id],
      ['NAME', (client) => client.name],
      ['TYPE', (client) => client.type],
      ['STATE', stateOf],
      ['REGISTERED BY', registeredBy],
      ['CREATED', (client) => client.created_at],
    ])
    return { json: rows, text, note }
  })
}

function show(id: string) {
  return withStores(async ({ db }) => {
    const client = await getClient(db, id)
    return { json: client, text: fields(shown(client)) }
  })
}

function suspend(id: string) {
  return withStores(async ({ db, by }) => {
    const client = await getClient(db, id)
    const changed = await suspendClient(db, id, by)
    const done = changed ? 'is suspended; its tokens are dead' : 'was suspended already'
    return { json: await getClient(db, id), text: `${called(client)} ${done}\n` }
  })
}

function unblock(id: string) {
  return withStores(async ({ db, by }) => {
    if (!(await unblockDocument(db, id, by))) {
      throw new Refused(`no app with the id ${printable(id)} was deleted and kept from coming back`)
    }
    const text = `${printable(id)} comes back when somebody uses it; what was allowed before has ended\n`
    return { json: { id, unblocked: true }, text }
  })
}

function resume(id: string) {
  return withStores(async ({ db, by }) => {
    const client = await getClient(db, id)
    const changed = await resumeClient(db, id, by)
    const done = changed ? 'works again' : 'was not suspended'
    return { json: await getClient(db, id), text: `${called(client)} ${done}\n` }
  })
}

function remove(id: string, options: { yes?: boolean }) {
  return withStores(async ({ db, by }) => {
    const client = await getClient(db, id)
    const question = `Delete ${called(client)}? Its tokens are dead at once, and nothing brings it back.`
    if (!options.yes && !(await confirm(question))) throw new Refused('nothing was deleted')
    if (!(await deleteClient(db, id, by))) throw missing(id)
    return { json: { id, deleted: true }, text: `${called(client)} is deleted; its tokens are dead\n` }
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

const ONCE = 'the secret is not shown again'

function another(id: string): string {
  return `get another: valetkey clients rotate-secret ${id}`
}

async function getClient(db: Db, id: string): Promise<Client> {
  const client = await findClient(db, id)
  if (!client) throw missing(id)
  return client
}

function missing(id: string): Refused {
  return new Refused(`no client has the id ${JSON.stringify(id)}`)
}

function keepsNone(client: Client): Refused {
  return new Refused(`${called(client)} is a ${client.type} client: it keeps no secret`)
}

function version(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('It is the version that clients show prints.')
}

const MAX_OVERLAP_SECONDS = 30 * 86_400

function seconds(text: string): number {
  const n = Number(text)
  if (/^\d+$/.test(text) && n <= MAX_OVERLAP_SECONDS) return n
  throw new InvalidArgumentError(`It is a number of seconds, up to ${MAX_OVERLAP_SECONDS}.`)
}

function called(client: Client): string {
  return `${printable(client.name)} (${client.id})`
}

function stateOf({ suspended_at, state }: Client): string {
  return suspended_at ? 'suspended' : state
}

// What it says of itself nobody has checked; where it sends people is what it does.
function registeredBy({ id, registered_by, redirect_uris }: Client): string {
  if (registered_by !== 'itself') return registered_by
  if (isDocumentId(id)) return `itself (${hostOf(id)})`
  const hosts = new Set(redirect_uris.map((uri) => hostOf(uri)))
  return hosts.size > 0 ? `itself (${[...hosts].join(', ')})` : 'itself'
}

function shown(client: Client): [string, unknown][] {
  return [
    ['id', client.id],
    ['name', client.name],
    ['type', client.type],
    ['state', stateOf(client)],
    ...(client.state_reason ? ([['reason', client.state_reason]] as [string, unknown][]) : []),
    ['version', client.version],
    ['registered by', registeredBy(client)],
    ['verified', client.verified_at],
    ...shownFields(client),
    ...(client.resource ? ([['introspects', client.resource]] as [string, unknown][]) : []),
    ['created', client.created_at],
  ]
}

function shownSecret(secret: string | undefined): [string, unknown][] {
  return secret ? [['secret', secret]] : []
}
