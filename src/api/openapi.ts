// The OpenAPI 3.1 document, made from the table of operations and the schemas that check their requests.
import { STATUS_CODES } from 'node:http'
import { z } from 'zod'
import { API_PATH } from '../base/admin-api-scopes.ts'
import type { Operation, Tag } from './framework/operation.ts'
import { NAMED, problem } from './framework/schemas.ts'
import { components, header, RATE } from './openapi-components.ts'

type Json = Record<string, unknown>

/** An operation in the document. */
export interface DocumentedOperation {
  operationId: string
  tags: string[]
  summary: string
  description: string
  parameters?: { name: string; in: string; required?: boolean; description?: string; schema?: Json }[]
  requestBody?: { required: boolean; content: Record<string, { schema: Json }> }
  responses: Record<string, { description?: string; $ref?: string; content?: Record<string, Json> }>
  security: Record<string, string[]>[]
}

/** The document, with the parts that its page reads. */
export interface ApiDocument extends Json {
  tags: { name: string; description: string }[]
  paths: Record<string, Record<string, DocumentedOperation>>
  components: { schemas: Record<string, Json> } & Json
}

/** Writes the document. */
export function apiDocument(
  operations: readonly Operation[],
  { issuer, brand }: { issuer: string; brand: string },
): ApiDocument {
  const schemas: Record<string, Json> = {}
  const paths: ApiDocument['paths'] = {}
  for (const operation of operations) {
    const { path, method } = operation
    paths[path] = { ...paths[path], [method.toLowerCase()]: operationObject(operation, schemas) }
  }
  schemaOf(problem, 'output', schemas)
  return {
    openapi: '3.1.1',
    info: {
      title: `Admin API of ${brand}`,
      version: '1',
      summary: 'Everything the administrators’ console can do, for programs.',
      description: INTRODUCTION,
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: `${issuer}${API_PATH}`, description: brand }],
    tags: [...new Set(operations.map(({ tag }) => tag))].map((name) => ({ name, description: TAGS[name] })),
    paths,
    components: { schemas, ...components(issuer) },
  }
}

const INTRODUCTION =
  `Send a token of this server in Authorization: one that a service got with client credentials, or that an
app got for an administrator; the latter works while that person is one.

Lists come in pages: \`next\`, and the header Link, lead to the next one. Whatever is refused is answered with
application/problem+json and a stable \`code\`. Members and parameters that are not known are refused. What has an ETag is changed
with If-Match, so that nobody overwrites what they have not seen. Whatever is made can be asked for with an Idempotency-Key.
Secrets are shown once, in the answer to the request that makes them.`.replaceAll(/(?<!\n)\n(?!\n)/g, ' ')

const TAGS = {
  Overview: 'What waits for a decision, and what happened.',
  Apps: 'OAuth clients: finding, registering, changing them, and deciding about them.',
  Secrets: 'What apps that can keep a secret authenticate with.',
  'Registration tokens': 'What lets apps register themselves (RFC 7591).',
  Users: 'The people who sign in here.',
  Consents: 'What people allowed apps.',
  Grants: 'The devices on which apps have that access.',
  Jobs: 'Work in the background.',
  APIs: 'What tokens are for (RFC 8707), and their scopes.',
  'Signing keys': 'What ID tokens are signed with.',
  'Audit log': 'What happened, who did it, and when.',
} satisfies Record<Tag, string>

function operationObject(operation: Operation, schemas: Record<string, Json>): DocumentedOperation {
  const { id, tag, scope, summary, description, params, query, body, upload, method, ifMatch, success } =
    operation
  const creates = method === 'POST'
  const parameters = [
    ...parametersOf(params, 'path'),
    ...parametersOf(query, 'query'),
    ...(ifMatch
      ? [{ $ref: `#/components/parameters/If-Match${ifMatch === 'optional' ? '-Optional' : ''}` }]
      : []),
    ...(creates ? [{ $ref: '#/components/parameters/Idempotency-Key' }] : []),
  ] as DocumentedOperation['parameters']
  const types =
    method === 'PATCH' ? ['application/merge-patch+json', 'application/json'] : ['application/json']
  const takes = body !== undefined || upload !== undefined
  const refused = [
    400,
    401,
    403,
    ...(params || method === 'DELETE' || takes ? [404] : []),
    ...(ifMatch ? [412] : []),
    ...(takes ? [413, 415] : []),
    ...(takes || creates ? [422] : []),
    ...(ifMatch === 'required' || ifMatch === 'seen' ? [428] : []),
    429,
    503,
  ]
  const conflict =
    operation.conflict ?? (creates ? 'A request with this Idempotency-Key is under way.' : undefined)
  return {
    operationId: id,
    tags: [tag],
    summary,
    description: [description, `Needs \`${scope}\`.`].filter(Boolean).join(' '),
    ...(parameters!.length > 0 ? { parameters } : {}),
    ...(body
      ? {
          requestBody: {
            required: true,
            content: Object.fromEntries(
              types.map((type) => [type, { schema: schemaOf(body, 'input', schemas) }]),
            ),
          },
        }
      : {}),
    ...(upload
      ? {
          requestBody: {
            required: true,
            content: Object.fromEntries(
              upload.types.map((type) => [type, { schema: { type: 'string', format: 'binary' } }]),
            ),
          },
        }
      : {}),
    responses: {
      [success.status]: successObject(operation, schemas),
      ...Object.fromEntries(
        refused.map((status) => [status, { $ref: `#/components/responses/Refused${status}` }]),
      ),
      ...(conflict ? { 409: conflictObject(conflict) } : {}),
    },
    security: [{ oauth: [scope] }],
  }
}

function successObject({ success, method }: Operation, schemas: Record<string, Json>) {
  const { description, schema, files, etag, location } = success
  const isList = schema instanceof z.ZodObject && 'next' in schema.shape
  const names = [
    ...(etag ? ['ETag'] : []),
    ...(location ? ['Location'] : []),
    ...(isList ? ['Link'] : []),
    ...(method === 'POST' ? ['Idempotency-Replayed'] : []),
    ...RATE,
  ]
  const content = {
    ...(schema ? { 'application/json': { schema: schemaOf(schema, 'output', schemas) } } : {}),
    ...Object.fromEntries((files ?? []).map((type) => [type, { schema: { type: 'string' } }])),
  }
  return {
    description,
    headers: Object.fromEntries(names.map((name) => [name, { $ref: header(name) }])),
    ...(Object.keys(content).length > 0 ? { content } : {}),
  }
}

function conflictObject(description: string) {
  return {
    description,
    content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
  }
}

function parametersOf(schema: z.ZodObject | undefined, where: 'path' | 'query') {
  if (!schema) return []
  const { properties = {}, required = [] } = jsonSchema(schema, 'input') as {
    properties?: Record<string, Json>
    required?: string[]
  }
  return Object.entries(properties).map(([name, { description, examples, ...rest }]) => ({
    name,
    in: where,
    ...(where === 'path' || required.includes(name) ? { required: true } : {}),
    ...(description ? { description } : {}),
    schema: { ...rest, ...(examples ? { examples } : {}) },
  }))
}

/** Puts a named schema into the components and refers to it; another schema is written where it is used. */
function schemaOf(schema: z.ZodType, io: 'input' | 'output', schemas: Record<string, Json>): Json {
  const id = NAMED.get(schema)?.id
  if (!id) return jsonSchema(schema, io)
  schemas[id] ??= jsonSchema(schema, io)
  return { $ref: `#/components/schemas/${id}` }
}

function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, {
    io,
    unrepresentable: 'any',
    reused: 'inline',
  }) as Json
  return rest
}

/** The title of a status, e.g. Not Found. */
export function statusTitle(status: string): string {
  return STATUS_CODES[status] ?? ''
}
