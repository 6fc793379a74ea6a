// The type of an operation of the Admin API, from which its address, its checks and its entry in the document are made. It knows no
// noun.
import type { Readable } from 'node:stream'
import type { z } from 'zod'
import type { ApiScope } from '../../base/admin-api-scopes.ts'
import type { Actor } from '../../base/audit-events.ts'
import type { Db } from '../../db/pool.ts'
import type { Access } from '../../protocol/rules/access-token.ts'

/** The input of a handler, checked against the schemas of the operation. */
export interface Input<Params, Query, Body> {
  /** The pool, or the transaction of a creation with an Idempotency-Key. */
  db: Db
  params: Params
  query: Query
  body: Body
  /** The uploaded file; empty for other operations. */
  file: Buffer
  by: Actor
  access: Access
  /** Throws unless If-Match names this version, or is absent where it is optional. */
  mustMatch(etag: string): void
}

/** The answer of a handler; its body is written as JSON. */
export interface Answer {
  body?: unknown
  /** Instead of a body: a file of any size. */
  file?: { type: string; name: string; lines: Readable }
  etag?: string
  /** The path of the created thing under the API. */
  location?: string
  /** The value of `after` for the next page of a list. */
  next?: string | undefined
}

/** The successful answer, for the document and the tests. */
export interface Success {
  status: 200 | 201 | 202 | 204
  description: string
  /** Absent: there is no body. */
  schema?: z.ZodType
  /** Media types of a file. */
  files?: readonly string[]
  /** Members of the body that are shown only once: a repeated request gets null in their place. */
  secretMembers?: readonly string[]
  etag?: true
  location?: true
}

/** The heading of an operation in the document. */
export type Tag =
  | 'Overview'
  | 'Apps'
  | 'Secrets'
  | 'Registration tokens'
  | 'Users'
  | 'Consents'
  | 'Grants'
  | 'Jobs'
  | 'APIs'
  | 'Signing keys'
  | 'Audit log'

/** An operation, as its noun declares it. */
export interface OperationOf<P extends z.ZodObject, Q extends z.ZodObject, B extends z.ZodObject> {
  /** Stable, because programs generated from the document use this name. */
  id: string
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Under the API, as in OpenAPI: `/clients/{client_id}`. */
  path: string
  tag: Tag
  scope: ApiScope
  summary: string
  description?: string
  params?: P
  query?: Q
  body?: B
  /** Instead of a body of JSON: a file of one of these media types. */
  upload?: { types: readonly string[]; mostBytes: number }
  /** `seen`: required, and `*` is not allowed, because nobody may vouch for what they have not seen. */
  ifMatch?: 'required' | 'seen' | 'optional'
  success: Success
  /** Why it may be refused with 409. */
  conflict?: string
  run(input: Input<z.output<P>, z.output<Q>, z.output<B>>): Promise<Answer>
}

/** An operation, whatever it takes. */
// biome-ignore lint/suspicious/noExplicitAny: the table holds all of them, and each was checked where it was declared
export type Operation = OperationOf<any, any, any>

/** Declares an operation, so that its handler is checked against its schemas. */
export function operation<
  P extends z.ZodObject = z.ZodObject<Record<string, never>>,
  Q extends z.ZodObject = z.ZodObject<Record<string, never>>,
  B extends z.ZodObject = z.ZodObject<Record<string, never>>,
>(spec: OperationOf<P, Q, B>): Operation {
  return spec
}
