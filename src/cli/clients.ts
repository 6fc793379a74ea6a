// clients: registering, showing, changing, suspending and deleting them.
import { type Command, Option } from 'commander'
import { createClient } from '../core/clients/create.ts'
import type { ClientInput } from '../core/clients/fields.ts'
import { APP_TYPES, standingOf } from '../core/clients/kinds.ts'
import { deleteClient, resumeClient, suspendClient } from '../core/clients/lifecycle.ts'
import { listClients } from '../core/clients/store.ts'
import { updateClient } from '../core/clients/update.ts'
import { unblockDocument } from '../core/registration/metadata-documents.ts'
import { addApply } from './apply.ts'
import { confirm } from './ask.ts'
import { addDecisions, notMovedOn, type VersionOption, version } from './client-decisions.ts'
import { changeFrom, fieldOptions, fieldsFrom } from './client-fields.ts'
import { called, fieldsOf, getClient, missing, registeredBy } from './client-output.ts'
import { addSecrets, another, ONCE, shownSecret } from './client-secrets.ts'
import { answering, group, leaf, type Page, paged, pageOfListed, placeFrom, Refused } from './command.ts'
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
    // The name of the command in an earlier version.
    .alias('readmit')
    .argument('<id>')
    .action(answering(unblock))

  addUpdate(clients)
  addApply(clients)

  addDecisions(clients)
  addSecrets(clients)
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

function update(id: string, options: VersionOption) {
  return withStores(async ({ db, by }) => {
    const client = await updateClient(db, id, changeFrom(options), by, options.ifVersion).catch(notMovedOn)
    if (!client) throw missing(id)
    return { json: client, text: fields(fieldsOf(client)) }
  })
}

function create({ type, ...options }: { type: ClientInput['type'] }) {
  return withStores(async ({ db, by }) => {
    const input = { ...fieldsFrom(options), type } as ClientInput
    const { client, secret } = await createClient(db, input, by)
    return {
      json: { ...client, secret: secret ?? null },
      text: fields([...fieldsOf(client), ...shownSecret(secret)]),
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
      ['STATE', standingOf],
      ['REGISTERED BY', registeredBy],
      ['CREATED', (client) => client.created_at],
    ])
    return { json: rows, text, note }
  })
}

function show(id: string) {
  return withStores(async ({ db }) => {
    const client = await getClient(db, id)
    return { json: client, text: fields(fieldsOf(client)) }
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
