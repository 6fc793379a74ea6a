// resources: the APIs that tokens are for, and their scopes.
import type { Command } from 'commander'
import { createResource, listResources, type NewResource } from '../resources/store.ts'
import { answering, group, leaf, type Page, paged, pageOf, Refused, Usage } from './command.ts'
import { withStores } from './session.ts'
import { fields, table } from './table.ts'

/** Adds the commands of this noun. */
export function addResources(program: Command): void {
  const resources = group(program, 'resources', 'the APIs that apps ask for access to')

  leaf(resources, 'create', 'register an API; prints its introspection credentials, the secret this once')
    .requiredOption('--identifier <uri>', 'its address: the audience of its tokens (RFC 8707)')
    .requiredOption('--name <name>', 'what people call it')
    .option('--scope <definition...>', "'photos.read=Look at your photos|It cannot change or delete them'")
    .option('--dangerous-scope <definition...>', 'the same, for a scope that is not ticked in advance')
    .action(answering(create))

  paged(leaf(resources, 'list', 'list APIs and their scopes'), 'identifier').action(answering(list))
}

interface Create {
  identifier: string
  name: string
  scope?: string[]
  dangerousScope?: string[]
}

async function create({ identifier, name, scope = [], dangerousScope = [] }: Create) {
  const scopes = [
    ...scope.map((text) => parseScope(text)),
    ...dangerousScope.map((text) => parseScope(text, true)),
  ]
  return withStores(async ({ db, by }) => {
    const { resource, client, secret } = await createResource(db, { identifier, name, scopes }, by)
    return {
      json: { ...resource, introspection_client_id: client.id, introspection_client_secret: secret },
      text: fields([
        ['identifier', resource.identifier],
        ['name', resource.name],
        ['scopes', resource.scopes.map((each) => each.name)],
        ['introspection client id', client.id],
        ['introspection client secret', secret],
      ]),
      note: 'the secret is not shown again',
      ifLost: `get another: valetkey clients rotate-secret ${client.id}`,
    }
  })
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
      ['THE CONSENT PAGE SAYS', ({ scope }) => [scope.sentence, scope.detail].filter(Boolean).join(' | ')],
    ])
    return { json: rows, text, note }
  })
}

/** `name=sentence`, or `name=sentence|detail`. A scope's name may hold neither of the two signs here. */
function parseScope(text: string, dangerous = false): NewResource['scopes'][number] {
  const [, name, sentence, detail = ''] = /^([^=]+)=([^|]+)(?:\|(.*))?$/s.exec(text) ?? []
  if (name === undefined || sentence === undefined) {
    const example = "'photos.read=Look at your photos|It cannot change or delete them'"
    throw new Usage(`scope ${JSON.stringify(text)} has no sentence for the consent page, e.g. ${example}`)
  }
  return { name: name.trim(), sentence: sentence.trim(), detail: detail.trim(), dangerous }
}
