// Reads requests of the Admin API: path, query, body and If-Match, each checked, and refused with what is wrong.
import { bodyParser } from '@koa/bodyparser'
import type { Context } from 'koa'
import type { z } from 'zod'
import type { StatusOf } from '../../http/error-codes.ts'
import { BadRequest, HttpError, NotFound } from '../../http/errors.ts'
import { wholeBody } from '../../http/upload.ts'
import type { Operation } from './operation.ts'

/** The parameters in the path. @throws NotFound for a text that cannot be an id */
export function readParams(ctx: Context, { params }: Operation): unknown {
  if (!params) return {}
  const parsed = params.safeParse({ ...ctx.params })
  if (!parsed.success) throw new NotFound('There is no such thing.')
  return parsed.data
}

/** The query. @throws HttpError 400 with what is wrong with which parameter */
export function readQuery(ctx: Context, { query }: Operation): unknown {
  const given = Object.fromEntries(
    Object.entries(ctx.query).map(([name, value]) => [name, Array.isArray(value) ? value.at(-1) : value]),
  )
  if (!query) {
    const [name] = Object.keys(given)
    if (name === undefined) return {}
    throw invalid(400, 'This address takes no parameters.', { [printableName(name)]: 'is not known here' })
  }
  return read(query, given, 400)
}

const parse = bodyParser({
  enableTypes: ['json'],
  // The content type was checked before.
  detectJSON: () => true,
  jsonLimit: '56kb',
  encoding: 'utf-8',
})

/** The body. @throws HttpError 400, 413, 415, or 422 with what is wrong with which member */
export async function readBody(ctx: Context, { body, method }: Operation): Promise<unknown> {
  if (!body) return {}
  const types =
    method === 'PATCH' ? ['application/merge-patch+json', 'application/json'] : ['application/json']
  checkType(ctx, types, method === 'PATCH' ? 'Accept-Patch' : 'Accept')
  try {
    await parse(ctx as Parameters<typeof parse>[0], async () => {})
  } catch (error) {
    const { status } = error as { status?: number }
    if (status === 413) throw new HttpError(413, 'too_large', 'The body has more than 56 kB.')
    if (status && status < 500) throw new HttpError(400, 'malformed', 'The body is not JSON in UTF-8.')
    throw error
  }
  const sent: unknown = (ctx.request as { body?: unknown }).body
  const bad = unstorable(sent)
  if (bad !== undefined) {
    throw invalid(422, 'The body holds text that cannot be kept.', {
      [printableName(bad)]:
        'holds a control character (NUL) or half a character; text without it is kept, e.g. "Photos"',
    })
  }
  return read(body, sent, 422)
}

/** The uploaded file, whose content the noun checks. @throws HttpError 400, 413, 415 */
export async function readUpload(ctx: Context, { upload }: Operation): Promise<Buffer> {
  if (!upload) return NOTHING
  checkType(ctx, upload.types, 'Accept')
  return wholeBody(ctx, upload.mostBytes)
}

const NOTHING = Buffer.alloc(0)

// Unpacking is work that an attacker could make us do.
function checkType(ctx: Context, types: readonly string[], header: string): void {
  const isPlain = ['', 'identity'].includes(ctx.get('content-encoding'))
  if (isPlain && ctx.is([...types])) return
  throw new HttpError(415, 'unsupported_media_type', `Send ${types.join(' or ')}.`, {
    [header]: types.join(', '),
  })
}

/** Compares If-Match with the present version (RFC 9110 §13.1.1). @throws HttpError 412; 428 where it is required and missing */
export function matcher(ctx: Context, { ifMatch }: Operation): (etag: string) => void {
  const header = ctx.get('if-match').trim()
  if ((ifMatch === 'required' || ifMatch === 'seen') && !header) {
    throw new HttpError(
      428,
      'precondition_required',
      'Send If-Match with the ETag of what you have seen, so that nobody overwrites or vouches for what they have not.',
    )
  }
  if (ifMatch === 'seen' && header.split(',').some((each) => each.trim() === '*')) {
    throw new HttpError(
      428,
      'precondition_required',
      'Send If-Match with the ETag of what you have seen. Nobody has seen whatever stands.',
    )
  }
  return (etag) => {
    if (!ifMatch || !header || header === '*') return
    if (header.split(',').some((each) => each.trim() === etag)) return
    throw new HttpError(412, 'changed_meanwhile', 'It was changed since. Read it again, and decide anew.', {
      ETag: etag,
    })
  }
}

/** An error that names what is wrong with which member. */
export function invalid(
  status: StatusOf<'invalid'>,
  message: string,
  errors: Record<string, string>,
): HttpError {
  const refusal = new HttpError(status, 'invalid', message)
  refusal.errors = errors
  return refusal
}

function read<T extends z.ZodType>(schema: T, given: unknown, status: StatusOf<'invalid'>): z.output<T> {
  const parsed = schema.safeParse(given)
  if (parsed.success) return parsed.data
  const errors: Record<string, string> = {}
  for (const issue of parsed.error.issues) {
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys.slice(0, 20))
        errors[printableName([...issue.path, key].join('.'))] = 'is not known here'
      continue
    }
    errors[printableName(issue.path.join('.')) || 'body'] ??= issue.message
  }
  throw invalid(status, 'Something is missing, wrong or not known: see errors.', errors)
}

// Finds a text with NUL or a lone surrogate, which Postgres cannot store. It does not recurse, because a body may be arbitrarily deep.
// @returns the member that holds the text
function unstorable(body: unknown): string | undefined {
  const left: { value: unknown; name: string }[] = [{ value: body, name: 'body' }]
  for (let next = left.pop(); next; next = left.pop()) {
    const { value, name } = next
    if (typeof value === 'string' && !isStorable(value)) return name
    if (typeof value !== 'object' || value === null) continue
    for (const [key, inner] of Object.entries(value)) {
      if (!isStorable(key)) return name
      left.push({ value: inner, name: name === 'body' ? key : name })
    }
  }
  return undefined
}

function isStorable(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed()
}

function printableName(name: string): string {
  return name.slice(0, 100)
}

/** The Idempotency-Key of a request. @throws BadRequest for an invalid one */
export function idempotencyKey(ctx: Context): string | undefined {
  const key = ctx.get('idempotency-key')
  if (!key) return undefined
  if (!/^[\x21-\x7e]{1,255}$/.test(key)) {
    throw new BadRequest('Idempotency-Key has 1 to 255 visible characters, e.g. a UUID.')
  }
  return key
}
