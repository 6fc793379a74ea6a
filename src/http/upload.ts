// Reads forms with a file (multipart/form-data, RFC 7578) into memory, within a hard limit.
import type { Context, Middleware } from 'koa'
import { BadRequest, HttpError } from './errors.ts'

// The most bytes beside the file: field names, the form token, the boundaries.
const AROUND_BYTES = 64 * 1024
const MOST_FIELDS = 20
// A browser that is cut off while it sends shows no answer, so read on up to this limit; a larger body is cut off.
const DRAINED_BYTES = 16 * 1024 * 1024
const READ_SECONDS = 60

/**
 * Reads a form post with files of at most `mostBytes` together. Its texts become the body of the request, so that the form token is
 * checked as in every other form. Anything else is refused with 4xx.
 */
export function uploadBody(mostBytes: number): Middleware {
  return async (ctx, next) => {
    // No browser compresses a form; unpacking is work that an attacker could make us do.
    const plain = ['', 'identity'].includes(ctx.get('content-encoding'))
    if (!plain || !ctx.is('multipart/form-data')) {
      throw Object.assign(new Error('not a form with a file'), { status: 415, expose: true })
    }
    const form = await parsed(await wholeBody(ctx, mostBytes + AROUND_BYTES), ctx.get('content-type'))
    const fields: Record<string, string> = Object.create(null)
    const files = new Map<string, Buffer>()
    let count = 0
    for (const [name, value] of form) {
      if (++count > MOST_FIELDS) throw new BadRequest('The form holds too many fields.')
      if (typeof value === 'string') fields[name] ??= value
      // Ignore the name of the file, which can be anything.
      else if (!files.has(name)) files.set(name, Buffer.from(await value.arrayBuffer()))
    }
    ctx.request.body = fields
    ctx.state.files = files
    return next()
  }
}

/** The file that was sent in a field; empty when none was chosen. */
export function uploadedFile(ctx: Context, field: string): Buffer {
  return (ctx.state.files as Map<string, Buffer> | undefined)?.get(field) ?? Buffer.alloc(0)
}

/** The raw body. @throws HttpError 413, BadRequest */
export async function wholeBody(ctx: Context, mostBytes: number): Promise<Buffer> {
  const { req } = ctx
  if (Number(ctx.get('content-length') || 0) > DRAINED_BYTES) throw tooLarge(ctx)
  const timer = setTimeout(() => req.destroy(), READ_SECONDS * 1000)
  const chunks: Buffer[] = []
  let length = 0
  try {
    for await (const chunk of req as AsyncIterable<Buffer>) {
      length += chunk.length
      if (length > DRAINED_BYTES) break
      if (length <= mostBytes) chunks.push(chunk)
      else chunks.length = 0
    }
  } catch {
    throw new BadRequest('The request ended in the middle.')
  } finally {
    clearTimeout(timer)
  }
  if (length > mostBytes) throw tooLarge(ctx)
  return Buffer.concat(chunks)
}

function tooLarge(ctx: Context): HttpError {
  // The rest of the body is not read, so the connection cannot be used again.
  ctx.set('Connection', 'close')
  return new HttpError(413, 'too_large', 'The file is too large: choose a smaller one.')
}

async function parsed(body: Buffer, type: string): Promise<FormData> {
  try {
    return await new Response(new Uint8Array(body), { headers: { 'Content-Type': type } }).formData()
  } catch {
    throw new BadRequest('The form could not be read.')
  }
}
