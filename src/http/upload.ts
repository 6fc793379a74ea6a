// Reading forms that carry a file (multipart/form-data, RFC 7578): the whole of it in memory, within a hard limit.
import type { Context, Middleware } from 'koa'
import { BadRequest, HttpError } from './errors.ts'

// What a form may hold beside its file: field names, the form token, the lines between the parts.
const AROUND_BYTES = 64 * 1024
const MOST_FIELDS = 20
// A browser that is cut off in the middle of sending shows no answer; what is far too large is not worth that.
const DRAINED_BYTES = 16 * 1024 * 1024
const READ_SECONDS = 60

/**
 * Reads the body of a form post that may carry files of together at most `mostBytes`; its texts become the request's body, so
 * that the form token is checked as in every other form. Anything else is refused with 4xx.
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
      // The name that the file had at home says nothing that is to be believed.
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

/** The body as it came. @throws HttpError 413, BadRequest */
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
  // The rest of the body is not read: nothing else can come over this connection.
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
