// What the tests of the Admin API share: programs with tokens, and calls that check each answer against the schema of its operation.
import { expect } from '@jest/globals'
import { z } from 'zod'
import type { Operation } from '../../src/api/framework/operation.ts'
import { problem } from '../../src/api/framework/schemas.ts'
import { apiOperations } from '../../src/api/table.ts'
import { API_SCOPES, type ApiScope } from '../../src/base/admin-api-scopes.ts'
import { administrator } from '../pages/admin/admin-fixture.ts'
import { type Api, type App, type Person, type ServerFixture, startServerFixture } from '../support/flow.ts'

/** Every scope of the API. */
export const ALL: ApiScope[] = API_SCOPES.map(({ name }) => name)

/** The operations that more-operations.test.ts calls. operations.test.ts calls all others. */
export const TOLD_APART = [
  'listChanges',
  'getChange',
  'approveChange',
  'rejectChange',
  'setClientLogo',
  'removeClientLogo',
  'getClientUsage',
  'listRefusedRequests',
  'getUnusedClients',
  'deleteUnusedClients',
  'listBlockedClients',
  'unblockClient',
  'sendPasswordReset',
  'withdrawPasswordReset',
  'addResourceSecret',
  'revokeResourceSecret',
]

/** The token, body and headers of a call. */
export interface Sent {
  token?: string
  body?: unknown
  headers?: Record<string, string>
  /** A node other than the fixture's server. */
  origin?: string
}

/** An answer whose body has passed the schema. */
export interface Told {
  status: number
  // biome-ignore lint/suspicious/noExplicitAny: a test asserts what it expects of it
  body: any
  text: string
  headers: Headers
}

/** A server with an administrator and a service that may do everything. */
export interface ApiFixture {
  server: ServerFixture & { photos: Api }
  ada: Person
  service: App
  /** A token of the service, with every scope. */
  token: string
  operations: Operation[]
  /** Calls the API. The path is relative to it. */
  call(method: string, path: string, sent?: Sent): Promise<Told>
  stop(): Promise<void>
}

/** Starts it. */
export async function startApiFixture(env: Record<string, string> = {}): Promise<ApiFixture> {
  const server = await startServerFixture({ LOG_LEVEL: 'error', ...env })
  const ada = await administrator(server, 'Ada')
  const service = await server.app({ type: 'service', name: 'Provisioning', scopes: ALL })
  const operations = operationsAt(server.origin, 'SMTP_URL' in env)
  const token = await tokenOf(service)
  return {
    server,
    ada,
    service,
    token,
    operations,
    stop: () => server.stop(),
    call: (method, path, sent = {}) => call(server.origin, operations, method, path, { token, ...sent }),
  }
}

/** The table of operations, for reading only. */
export function operationsAt(issuer = 'https://id.example', mailIsOn = false): Operation[] {
  return apiOperations({ issuer, secrets: {} as never, mailIsOn, makeLogo: async (picture) => picture })
}

/** A token of a service, with these scopes; with every scope of the API by default. */
export async function tokenOf(service: App, scopes: readonly string[] = ALL): Promise<string> {
  const { status, body } = await service.post('/token', {
    grant_type: 'client_credentials',
    scope: scopes.join(' '),
  })
  if (status !== 200) throw new Error(`no token: ${JSON.stringify(body)}`)
  return body.access_token
}

/** A token that an app gets for a person who ticks these scopes. */
export async function tokenFor(app: App, person: Person, scopes: readonly string[] = ALL): Promise<string> {
  const asked = await app.connect(person, { scope: ['openid', ...scopes].join(' ') }, { scope: [...scopes] })
  return asked.access_token
}

function isText(body: unknown): body is string | Uint8Array<ArrayBuffer> {
  return typeof body === 'string' || body instanceof Uint8Array
}

/** The ids of operations that were not called. @param called as `METHOD /path` */
export function uncalled(operations: Operation[], called: Iterable<string>): string[] {
  const all = [...called]
  return operations
    .filter(
      ({ method, path }) =>
        !all.some((each) => new RegExp(`^${method} ${path.replace(/\{\w+\}/g, '[^/]+')}$`).test(each)),
    )
    .map(({ id }) => id)
}

/** The operation at an address. */
function operationAt(operations: Operation[], method: string, path: string): Operation | undefined {
  const bare = path.split('?')[0]!
  const fits = operations.filter(
    (each) => each.method === method && new RegExp(`^${each.path.replace(/\{\w+\}/g, '[^/]+')}$`).test(bare),
  )
  return fits.find((each) => !each.path.includes('{')) ?? fits[0]
}

async function call(
  issuer: string,
  operations: Operation[],
  method: string,
  path: string,
  { token, body, headers = {}, origin = issuer }: Sent,
): Promise<Told> {
  const answer = await fetch(`${origin}/api/v1${path}`, {
    method,
    headers: {
      ...(token && { Authorization: `Bearer ${token}` }),
      ...(body !== undefined && { 'Content-Type': 'application/json' }),
      ...headers,
    },
    body: isText(body) || body === undefined ? body : JSON.stringify(body),
  })
  const text = await answer.text()
  const type = answer.headers.get('content-type') ?? ''
  const json = type.includes('json') && !type.includes('jsonl') ? JSON.parse(text) : undefined
  const operation = operationAt(operations, method, path)
  const where = `${method} ${path} → ${answer.status} ${text.slice(0, 500)}`
  if (answer.status >= 400) {
    expect([where, type]).toEqual([where, 'application/problem+json'])
    expect([where, problem.safeParse(json).error]).toEqual([where, undefined])
    expect(json.status).toBe(answer.status)
  } else if (operation) {
    const { success } = operation
    expect([where, answer.status]).toEqual([where, success.status])
    if (success.schema) {
      const parsed = (success.schema as z.ZodType).safeParse(json)
      expect([where, parsed.error && z.prettifyError(parsed.error)]).toEqual([where, undefined])
    }
  }
  return { status: answer.status, body: json, text, headers: answer.headers }
}
