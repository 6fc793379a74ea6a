// What an operation of the Admin API is: the row from which its address, its checks and its place in the document are made.
// It knows no noun.
import type { Readable } from 'node:stream'
import type { z } from 'zod'
import type { ApiScope } from '../../base/admin-api-scopes.ts'
import type { Actor } from '../../base/audit-events.ts'
import type { Db } from '../../db/pool.ts'
import type { Access } from '../../protocol/rules/access-token.ts'

/** What a handler is given: everything in it was checked against the operation's schemas. */
export interface Input<Params, Query, Body> {
  /** The pool, or the transaction of a creation that must happen once. */
  db: Db
  params: Params
  query: Query
  body: Body
  /** What was uploaded; empty where nothing is. */
  file: Buffer
  by: Actor
  access: Access
  /** Throws unless what If-Match names is this version; where it may be absent, and is, every version will do. */
  mustMatch(etag: string): void
}

/** What a handler answers; its body is written as JSON. */
export interface Answer {
  body?: unknown
  /** Instead of a body: a file of any size. */
  file?: { type: string; name: string; lines: Readable }
  etag?: string
  /** The path of what was made, under the API. */
  location?: string
  /** Where the next page of a list begins: the value of `after`. */
  next?: string | undefined
}

/** What goes well, for the document and the tests. */
export interface Success {
  status: 200 | 201 | 202 | 204
  description: string
  /** Absent: there is no body. */
  schema?: z.ZodType
  /** Media types of a file. */
  files?: readonly string[]
  /** Members of the body that are shown this once: a repeated request gets null in their place. */
  secretMembers?: readonly string[]
  etag?: true
  location?: true
}

/** Under which heading an operation stands in the document. */
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

/** An operation as its noun declares it. */
export interface OperationOf<P extends z.ZodObject, Q extends z.ZodObject, B extends z.ZodObject> {
  /** Stable: programs that are made from the document call it so. */
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
  /** `seen`: required, and a version of its own, not `*`: nobody vouches for what they have not seen. */
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
