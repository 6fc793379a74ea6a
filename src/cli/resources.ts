// resources: the APIs that tokens are for, and their scopes.
import { type Command, InvalidArgumentError, Option } from 'commander'
import { APP_TYPES } from '../core/clients/kinds.ts'
import {
  type AppKind,
  createResource,
  JWT_SECONDS,
  listResources,
  type NewScope,
  type Resource,
  TOKEN_FORMATS,
  type TokenRules,
} from '../core/resources/store.ts'
import {
  addScope,
  changeResource,
  changeScope,
  introspectionClient,
  removeScope,
} from '../core/resources/update.ts'
import { type Db, tx } from '../db/pool.ts'
import { answering, group, leaf, type Page, paged, pageOf, Refused, Usage } from './command.ts'
import { withStores } from './session.ts'
import { fields, printable, table } from './table.ts'

/** Adds the commands of this noun. */
export function addResources(program: Command): void {
  const resources = group(program, 'resources', 'the APIs that apps ask for access to')

  tokenOptions(
    leaf(resources, 'create', 'register an API; prints its introspection credentials, the secret this once')
      .requiredOption('--identifier <uri>', 'its address: the audience of its tokens (RFC 8707)')
      .requiredOption('--name <name>', 'what people call it')
      .option('--scope <definition...>', `${EXAMPLE}; photos.read[web,service]=… for these kinds of app only`)
      .option('--dangerous-scope <definition...>', 'the same, for a scope that is not ticked in advance')
      .option('--only-by-name <name...>', 'a scope that apps do not get when they name none'),
  ).action(answering(create))

  tokenOptions(
    leaf(resources, 'update', 'change an API; what is not named stays')
      .argument('<identifier>')
      .option('--name <name>', 'what people call it')
      .option('--scope <definition...>', 'a scope to add, or to say otherwise; as in create')
      .option('--dangerous-scope <definition...>', 'the same, for a scope that is not ticked in advance')
      .option('--by-default <name...>', 'a scope that apps get when they name none')
      .option('--only-by-name <name...>', 'a scope that apps do not get when they name none')
      .option('--remove-scope <name...>', 'a scope that apps may no longer ask for'),
  ).action(answering(update))

  leaf(resources, 'show', 'show an API, and the client that it introspects with')
    .argument('<identifier>')
    .action(answering(show))

  paged(leaf(resources, 'list', 'list APIs and their scopes'), 'identifier').action(answering(list))
}

const EXAMPLE = "'photos.read=Look at your photos|It cannot change or delete them'"

/** The options for the tokens of an API. */
function tokenOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--token-format <format>',
        'opaque: the API asks about each token; jwt: it reads them by itself, and what is removed ends there only with the token',
      ).choices(TOKEN_FORMATS),
    )
    .option(
      '--token-seconds <n>',
      `how long its access tokens live, or default: as the server's setting says, at most ${JWT_SECONDS} for a jwt`,
      lifetime,
    )
}

interface Definition {
  name?: string
  scope?: string[]
  dangerousScope?: string[]
  onlyByName?: string[]
  tokenFormat?: TokenRules['token_format']
  tokenSeconds?: number | 'default'
}

interface Create extends Definition {
  identifier: string
  name: string
}

async function create({ identifier, name, ...rest }: Create) {
  const scopes = scopesOf(rest)
  const unknown = rest.onlyByName?.find((each) => !scopes.some((scope) => scope.name === each))
  if (unknown !== undefined)
    throw new Usage(`--only-by-name ${JSON.stringify(unknown)} is none of these scopes`)
  const rules = tokenRules(rest)
  return withStores(async ({ db, by }) => {
    const { resource, client, secret } = await createResource(db, { identifier, name, scopes, ...rules }, by)
    return {
      json: { ...resource, introspection_client_id: client.id, introspection_client_secret: secret },
      text: fields([
        ...fieldsOf(resource),
        ['introspection client id', client.id],
        ['introspection client secret', secret],
      ]),
      note: 'the secret is not shown again',
      ifLost: `get another: valetkey clients rotate-secret ${client.id}`,
    }
  })
}

function show(identifier: string) {
  return withStores(async ({ db }) => {
    const resource = await getResource(db, identifier)
    const introspection_client_id = (await introspectionClient(db, identifier)) ?? null
    return {
      json: { ...resource, introspection_client_id },
      text: fields([...fieldsOf(resource), ['introspection client id', introspection_client_id]]),
    }
  })
}

interface Update extends Definition {
  byDefault?: string[]
  removeScope?: string[]
}

async function update(identifier: string, options: Update) {
  const scopes = scopesOf(options)
  const { name, removeScope: gone = [] } = options
  return withStores(async ({ db, by }) => {
    await tx(db, async (t) => {
      const before = await getResource(t, identifier)
      await changeResource(t, identifier, { name, ...tokenRules(options) }, by)
      for (const { name, ...words } of scopes) {
        const known = before.scopes.find((scope) => scope.name === name)
        const said = { detail: '', dangerous: false, kinds: null, ...words }
        await (known
          ? changeScope(t, identifier, name, said, by)
          : addScope(t, identifier, { name, ...said }, by))
      }
      for (const by_default of [true, false]) {
        for (const name of (by_default ? options.byDefault : options.onlyByName) ?? []) {
          const words = (await getResource(t, identifier)).scopes.find((scope) => scope.name === name)
          if (!words) throw new Refused(`${before.name} has no scope ${JSON.stringify(name)}`)
          await changeScope(t, identifier, name, { ...words, by_default }, by)
        }
      }
      for (const name of gone) {
        if ((await removeScope(t, identifier, name, by)) === undefined) {
          throw new Refused(`${before.name} has no scope ${JSON.stringify(name)}`)
        }
      }
    })
    const after = await getResource(db, identifier)
    return { json: after, text: fields(fieldsOf(after)), note: saidOfRemovals(after) }
  })
}

function saidOfRemovals({ being_removed }: Resource): string | undefined {
  const namesOf = (failed: boolean) =>
    being_removed.filter(({ has_failed }) => has_failed === failed).map(({ name }) => printable(name))
  const [removing, failed] = [namesOf(false), namesOf(true)]
  const said = [
    removing.length > 0 &&
      `${removing.join(', ')}: removed; the servers take it from apps and decisions in the background, and it cannot be added again before that is done`,
    failed.length > 0 &&
      `${failed.join(', ')}: removed, but taking it from apps and decisions has failed; the log says why, and --remove-scope goes on with it`,
  ]
  return said.filter(Boolean).join('\n') || undefined
}

async function getResource(db: Db, identifier: string): Promise<Resource> {
  const found = (await listResources(db)).find((resource) => resource.identifier === identifier)
  if (!found) throw new Refused(`no API has the identifier ${JSON.stringify(identifier)}`)
  return found
}

function fieldsOf(resource: Resource): [string, unknown][] {
  return [
    ['identifier', resource.identifier],
    ['name', resource.name],
    ['scopes', resource.scopes.map((each) => each.name)],
    ['access tokens', resource.token_format],
    ['they live', resource.token_seconds === null ? 'as the server says' : `${resource.token_seconds} s`],
    ...(resource.being_removed.length > 0
      ? ([['being removed', resource.being_removed.map((each) => each.name)]] as [string, unknown][])
      : []),
  ]
}

function list({ limit, after }: Page) {
  return withStores(async ({ db }) => {
    const all = await listResources(db)
    const start = after === undefined ? 0 : all.findIndex(({ identifier }) => identifier === after) + 1
    if (after !== undefined && start === 0)
      throw new Refused(`no API has the identifier ${JSON.stringify(after)}`)
    const { rows, note } = pageOf(all.slice(start), limit, (resource) => resource.identifier)
    const lines = rows.flatMap((resource) => resource.scopes.map((scope) => ({ resource, scope })))
    const text = table(lines, [
      ['IDENTIFIER', ({ resource }) => resource.identifier],
      ['NAME', ({ resource }) => resource.name],
      ['SCOPE', ({ scope }) => scope.name],
      ['DANGEROUS', ({ scope }) => scope.dangerous],
      ['BY DEFAULT', ({ scope }) => scope.by_default],
      ['FOR', ({ scope }) => scope.kinds ?? 'all'],
      ['THE CONSENT PAGE SAYS', ({ scope }) => [scope.sentence, scope.detail].filter(Boolean).join(' | ')],
    ])
    return { json: rows, text, note }
  })
}

function tokenRules({ tokenFormat, tokenSeconds }: Definition): Partial<TokenRules> {
  return { token_format: tokenFormat, token_seconds: tokenSeconds === 'default' ? null : tokenSeconds }
}

function scopesOf({ scope = [], dangerousScope = [], onlyByName = [] }: Definition): NewScope[] {
  const scopes = [
    ...scope.map((text) => parseScope(text)),
    ...dangerousScope.map((text) => parseScope(text, true)),
  ]
  return scopes.map((each) => (onlyByName.includes(each.name) ? { ...each, by_default: false } : each))
}

/**
 * Reads `name=sentence` or `name=sentence|detail`, with an optional `[kind,kind]` after the name. So the name of a scope cannot have
 * these characters here.
 */
function parseScope(text: string, dangerous = false): NewScope {
  const [, name, kinds, sentence, detail = ''] =
    /^([^=[\]]+)(?:\[([^\]]*)\])?=([^|]+)(?:\|(.*))?$/s.exec(text) ?? []
  if (name === undefined || sentence === undefined) {
    throw new Usage(`scope ${JSON.stringify(text)} has no sentence for the consent page, e.g. ${EXAMPLE}`)
  }
  return {
    name: name.trim(),
    sentence: sentence.trim(),
    detail: detail.trim(),
    dangerous,
    kinds: kinds === undefined ? null : kindsIn(kinds),
  }
}

function kindsIn(text: string): AppKind[] {
  return text.split(',').map((word) => {
    const kind = APP_TYPES.find((each) => each === word.trim())
    if (kind) return kind
    throw new Usage(`${JSON.stringify(word.trim())} is no kind of app; they are ${APP_TYPES.join(', ')}`)
  })
}

// Not null, which commander would take for an option without a value.
function lifetime(text: string): number | 'default' {
  if (text === 'default') return text
  if (/^\d{1,9}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('It is a number of seconds, or default.')
}
