// Runs an operation over HTTP: guard, checks, handler, headers. http/errors.ts writes its errors.
import type { Context } from 'koa'
import { API_PATH } from '../base/admin-api-scopes.ts'
import { InvalidMetadata } from '../core/clients/metadata.ts'
import { VersionConflict } from '../core/clients/update.ts'
import { LesserPower } from '../core/escalation/users.ts'
import { LastAdministrator } from '../core/users/roles.ts'
import type { Pool } from '../db/pool.ts'
import { HttpError } from '../http/errors.ts'
import type { Row } from '../http/routes.ts'
import { type ApiGuard, actingProgram, InsufficientScope, type OfApi } from '../protocol/guards.ts'
import type { Answer, Operation } from './framework/operation.ts'
import {
  idempotencyKey,
  invalid,
  matcher,
  readBody,
  readParams,
  readQuery,
  readUpload,
} from './framework/request.ts'
import { createIdempotently } from './idempotency.ts'

/** What the API needs. */
export interface ApiParts {
  db: Pool
  issuer: string
  apiToken: ApiGuard
}

/** The URL table of these operations. */
export function apiRows(operations: readonly Operation[], parts: ApiParts): Row[] {
  return operations.map((operation) => ({
    method: operation.method,
    path: `${API_PATH}${operation.path.replace(/\{(\w+)\}/g, ':$1')}`,
    handle: parts.apiToken(operation.scope)((ctx) => handle(ctx, operation, parts)),
  }))
}

async function handle(ctx: OfApi, operation: Operation, { db, issuer }: ApiParts): Promise<void> {
  const params = readParams(ctx, operation)
  const query = readQuery(ctx, operation)
  const body = await readBody(ctx, operation)
  const file = await readUpload(ctx, operation)
  const mustMatch = matcher(ctx, operation)
  const { access } = ctx.state
  const input = { params, query, body, file, by: actingProgram(ctx), access, mustMatch }
  const key = operation.method === 'POST' ? idempotencyKey(ctx) : undefined
  try {
    if (key === undefined) return answer(ctx, operation, issuer, await operation.run({ ...input, db }))
    const asked = {
      who: `${access.client_id} ${access.user_id ?? ''}`,
      // Not the address of the request, which can be written in many ways.
      where: `${operation.id} ${JSON.stringify(params)}`,
      key,
      what: body,
    }
    const { repeated, ...made } = await createIdempotently(
      db,
      asked,
      operation.success.secretMembers ?? [],
      (t) => operation.run({ ...input, db: t }),
    )
    if (repeated) ctx.set('Idempotency-Replayed', 'true')
    answer(ctx, operation, issuer, made)
  } catch (error) {
    throw asRefusal(error)
  }
}

function answer(ctx: Context, { success }: Operation, issuer: string, made: Answer): void {
  const { body, file, etag, location, next } = made
  ctx.status = success.status
  if (etag) ctx.set('ETag', etag)
  if (location) ctx.set('Location', `${issuer}${API_PATH}${location}`)
  if (file) {
    ctx.set('Content-Disposition', `attachment; filename="${file.name}"`)
    // An incomplete file must not look complete.
    file.lines.on('error', () => ctx.res.destroy())
    ctx.body = file.lines
    ctx.set('Content-Type', file.type)
    return
  }
  if (!success.schema) return
  const list = Array.isArray(body) ? { items: body, next: nextPage(ctx, issuer, next) } : body
  if (Array.isArray(body) && next !== undefined) {
    ctx.set('Link', `<${nextPage(ctx, issuer, next)}>; rel="next"`)
  }
  ctx.body = JSON.stringify(list)
  ctx.set('Content-Type', 'application/json')
}

function nextPage(ctx: Context, issuer: string, next: string | undefined): string | null {
  if (next === undefined) return null
  const url = new URL(ctx.path, issuer)
  const query = new URLSearchParams(ctx.querystring)
  query.set('after', next)
  url.search = query.toString()
  return url.href
}

// Turns errors of the nouns into HTTP errors.
function asRefusal(error: unknown): unknown {
  if (error instanceof InvalidMetadata) {
    return invalid(422, `${error.field}: ${error.problem}`, { [error.field]: error.problem })
  }
  if (error instanceof VersionConflict) {
    return new HttpError(412, 'changed_meanwhile', 'It was changed since. Read it again, and decide anew.')
  }
  if (error instanceof LesserPower) return new InsufficientScope(error.missing, error.message)
  if (error instanceof LastAdministrator) {
    return new HttpError(
      409,
      'last_administrator',
      'This is the last administrator who can sign in. Make somebody else one first.',
    )
  }
  return error
}
