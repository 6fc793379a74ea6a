// clients: the apps that people let in, and services.
import { type Command, InvalidArgumentError, Option } from 'commander'
import { APP_TYPES, type ClientInput, ID_TOKEN_ALGS } from '../clients/metadata.ts'
import { rotateSecret } from '../clients/secrets.ts'
import {
  type Client,
  createClient,
  deleteClient,
  findClient,
  listClients,
  resumeClient,
  suspendClient,
} from '../clients/store.ts'
import type { Db } from '../db/pool.ts'
import { confirm } from './ask.ts'
import { answering, group, leaf, type Page, paged, pageOf, Refused } from './command.ts'
import { withStores } from './session.ts'
import { fields, printable, table } from './table.ts'

/** Adds the commands of this noun. */
export function addClients(program: Command): void {
  const clients = group(program, 'clients', 'the apps and services that may ask for access')

  leaf(clients, 'create', 'register an app; prints its id and, this once, its secret')
    .requiredOption('--name <name>', 'what people read on the consent page')
    .addOption(new Option('--type <type>', 'what it runs as').choices(APP_TYPES).makeOptionMandatory())
    .option('--redirect-uri <uri...>', 'where people are sent back to; compared exactly')
    .option('--post-logout-redirect-uri <uri...>', 'where people may be sent after signing out')
    .option('--scope <scope...>', 'what it may ask for (default: the OpenID scopes; none for a service)')
    .option('--homepage <uri>', 'its web page')
    .option('--logo <uri>', 'its logo')
    .option('--first-party', 'it is your own: people are not asked for consent')
    .option('--no-pkce', 'do not require PKCE of this web app')
    .addOption(
      new Option('--id-token-alg <alg>', 'what its ID tokens are signed with').choices(ID_TOKEN_ALGS),
    )
    .action(answering(create))

  paged(leaf(clients, 'list', 'list clients, oldest first'), 'client').action(answering(list))

  leaf(clients, 'show', 'show a client').argument('<id>').action(answering(show))

  leaf(clients, 'suspend', 'stop a client and every token of it').argument('<id>').action(answering(suspend))

  leaf(clients, 'resume', 'let a suspended client work again').argument('<id>').action(answering(resume))

  leaf(clients, 'delete', 'delete a client and end every token of it, for good')
    .argument('<id>')
    .option('--yes', 'do not ask')
    .action(answering(remove))

  leaf(clients, 'rotate-secret', 'give a client a new secret; prints it this once')
    .argument('<id>')
    .option('--overlap <seconds>', 'how long the secrets it had stay valid', seconds, 0)
    .action(answering(rotate))
}

interface Create {
  name: string
  type: ClientInput['type']
  redirectUri?: string[]
  postLogoutRedirectUri?: string[]
  scope?: string[]
  homepage?: string
  logo?: string
  firstParty?: boolean
  pkce: boolean
  idTokenAlg?: ClientInput['id_token_signed_response_alg']
}

function create(options: Create) {
  return withStores(async ({ db, by }) => {
    const { client, secret } = await createClient(
      db,
      {
        name: options.name,
        type: options.type,
        redirect_uris: options.redirectUri,
        post_logout_redirect_uris: options.postLogoutRedirectUri,
        scopes: options.scope?.flatMap((scopes) => scopes.split(/\s+/)).filter(Boolean),
        homepage_uri: options.homepage,
        logo_uri: options.logo,
        first_party: !!options.firstParty,
        pkce_required: options.pkce,
        id_token_signed_response_alg: options.idTokenAlg,
      },
      by,
    )
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
    const found = await listClients(db, { limit: limit + 1, after: after && (await getClient(db, after)).id })
    const { rows, note } = pageOf(found, limit, (client) => client.id)
    const text = table(rows, [
      ['ID', (client) => client.id],
      ['NAME', (client) => client.name],
      ['TYPE', (client) => client.type],
      ['STATE', (client) => (client.suspended_at ? 'suspended' : 'active')],
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
    if (secret === undefined)
      throw new Refused(`${called(client)} is a ${client.type} client: it keeps no secret`)
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

const MAX_OVERLAP_SECONDS = 30 * 86_400

function seconds(text: string): number {
  const n = Number(text)
  if (/^\d+$/.test(text) && n <= MAX_OVERLAP_SECONDS) return n
  throw new InvalidArgumentError(`It is a number of seconds, up to ${MAX_OVERLAP_SECONDS}.`)
}

function called(client: Client): string {
  return `${printable(client.name)} (${client.id})`
}

function shown(client: Client): [string, unknown][] {
  return [
    ['id', client.id],
    ['name', client.name],
    ['type', client.type],
    ['state', client.suspended_at ? 'suspended' : 'active'],
    ['redirect URIs', client.redirect_uris],
    ['after sign-out', client.post_logout_redirect_uris],
    ['scopes', client.scopes],
    ['homepage', client.homepage_uri],
    ['logo', client.logo_uri],
    ['first party', client.first_party],
    ['PKCE required', client.pkce_required],
    ['ID tokens signed with', client.id_token_signed_response_alg],
    ...(client.resource ? ([['introspects', client.resource]] as [string, unknown][]) : []),
    ['created', client.created_at],
  ]
}

function shownSecret(secret: string | undefined): [string, unknown][] {
  return secret ? [['secret', secret]] : []
}
