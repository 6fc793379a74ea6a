// The document of the Admin API, for programs and as a page for people. Both are public, because they hold no secret.
import { createHash } from 'node:crypto'
import type { Context } from 'koa'
import { API_PATH } from '../base/admin-api-scopes.ts'
import { compressed } from '../http/compress.ts'
import type { Render } from '../http/render.ts'
import { type ApiDocument, type DocumentedOperation, statusTitle } from './openapi.ts'

/** Handlers of /api/v1/openapi.json and /api/docs. */
export function apiDocs({
  document,
  issuer,
  render,
}: {
  document: ApiDocument
  issuer: string
  render: Render
}) {
  const text = Buffer.from(JSON.stringify(document))
  const send = compressed(text, createHash('sha256').update(text).digest('base64url').slice(0, 27))
  const groups = document.tags.map(({ name }) => ({
    name,
    anchor: anchorOf(name),
    operations: Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods)
        .filter(([, { tags }]) => tags.includes(name))
        .map(([method, operation]) => operationView(document, method, path, operation)),
    ),
  }))
  const schemas = Object.entries(document.components.schemas).map(([name, schema]) => ({
    name,
    anchor: `schema-${name}`,
    members: membersOf(document, schema),
  }))
  return {
    document(ctx: Context): void {
      ctx.set('Cache-Control', 'public, max-age=300')
      ctx.set('Content-Type', 'application/vnd.oai.openapi+json;version=3.1')
      send(ctx)
    },

    page(ctx: Context): void {
      render(ctx, 'api/docs', {
        document_href: `${API_PATH}/openapi.json`,
        base: `${issuer}${API_PATH}`,
        token_url: `${issuer}/token`,
        introduction: (document.info as { description: string }).description.split('\n\n').map(pieces),
        scopes: Object.entries(scopesOf(document)).map(([name, sentence]) => ({ name, sentence })),
        groups,
        schemas,
      })
      ctx.set('Cache-Control', 'public, max-age=300')
    },
  }
}

type Schema = Record<string, unknown> & {
  $ref?: string
  type?: string | string[]
  description?: string
  properties?: Record<string, Schema>
  required?: string[]
  items?: Schema
  enum?: unknown[]
  anyOf?: Schema[]
  format?: string
  default?: unknown
}

function operationView(document: ApiDocument, method: string, path: string, operation: DocumentedOperation) {
  const { operationId, summary, description, requestBody, responses } = operation
  const resolve = <T extends { $ref?: string }>(each: T): T =>
    each.$ref ? (at(document, each.$ref) as T) : each
  return {
    anchor: operationId,
    method: method.toUpperCase(),
    path,
    summary,
    description: pieces(description),
    parameters: (operation.parameters ?? []).map(resolve as never).map((parameter) => {
      const {
        name,
        in: where,
        required,
        description,
        schema,
      } = parameter as unknown as {
        name: string
        in: string
        required?: boolean
        description?: string
        schema?: Schema
      }
      return { name, where, required: required ?? false, kind: kindOf(schema ?? {}), description }
    }),
    body: requestBody && bodyView(document, requestBody.content as Record<string, { schema: Schema }>),
    answers: Object.entries(responses).map(([status, response]) => {
      const { description, content } = resolve(response)
      const schema = (content?.['application/json']?.schema ?? undefined) as Schema | undefined
      return {
        status,
        title: statusTitle(status),
        description,
        ref: schema?.$ref ? nameOf(schema.$ref) : undefined,
        types: Object.keys(content ?? {}).filter((type) => !type.includes('json')),
        good: status.startsWith('2'),
      }
    }),
  }
}

function bodyView(document: ApiDocument, content: Record<string, { schema: Schema }>) {
  const { schema } = Object.values(content)[0]!
  if (schema.$ref) return { ref: nameOf(schema.$ref), members: [], file: [] }
  if (schema.format === 'binary') return { ref: undefined, members: [], file: Object.keys(content) }
  return { ref: undefined, members: membersOf(document, schema), file: [] }
}

function membersOf(_document: ApiDocument, schema: Schema) {
  const required = new Set(schema.required)
  return Object.entries(schema.properties ?? {}).map(([name, member]) => ({
    name,
    kind: kindOf(member),
    required: required.has(name),
    description: member.description,
    fallback: member.default === undefined ? undefined : JSON.stringify(member.default),
  }))
}

/** A schema in a few words. */
function kindOf(schema: Schema): string {
  if (schema.$ref) return nameOf(schema.$ref)
  if (schema.enum) return schema.enum.map(String).join(', ')
  if (schema.anyOf) return schema.anyOf.map(kindOf).join(' or ')
  if (schema.type === 'array') return `list of ${kindOf(schema.items ?? {})}`
  if (schema.type === 'object' && schema.properties) return `{ ${Object.keys(schema.properties).join(', ')} }`
  if (schema.format === 'date-time') return 'moment'
  if (schema.format === 'uuid') return 'id'
  return [schema.type ?? 'anything'].flat().join(' or ')
}

function scopesOf(document: ApiDocument): Record<string, string> {
  const { securitySchemes } = document.components as unknown as {
    securitySchemes: { oauth: { flows: { clientCredentials: { scopes: Record<string, string> } } } }
  }
  return securitySchemes.oauth.flows.clientCredentials.scopes
}

function at(document: ApiDocument, ref: string): unknown {
  return ref
    .slice(2)
    .split('/')
    .reduce<unknown>((inside, name) => (inside as Record<string, unknown>)[name], document)
}

function nameOf(ref: string): string {
  return ref.slice(ref.lastIndexOf('/') + 1)
}

// The only Markdown that the document uses: `code`.
function pieces(text: string): { text: string; code: boolean }[] {
  return text
    .split('`')
    .map((piece, i) => ({ text: piece, code: i % 2 === 1 }))
    .filter(({ text }) => text)
}

function anchorOf(name: string): string {
  return name.toLowerCase().replaceAll(' ', '-')
}
