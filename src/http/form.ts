// Reads forms and checks them against a schema: the result is values, or a sentence for each wrong field.
import { bodyParser } from '@koa/bodyparser'
import type { Context, Middleware } from 'koa'
import type { z } from 'zod'
import { BadRequest } from './errors.ts'

/** Reads the body of a form post. Anything but a form of at most 56 kB, and NUL in it, is refused with 4xx. */
export function formBody(): Middleware {
  const parse = bodyParser({ enableTypes: ['form'], formLimit: '56kb', encoding: 'utf-8' })
  return async (ctx, next) => {
    // No browser compresses a form; unpacking is work that an attacker could make us do.
    const plain = ['', 'identity'].includes(ctx.get('content-encoding'))
    if (!plain || !ctx.is('application/x-www-form-urlencoded')) {
      throw Object.assign(new Error('not a form'), { status: 415, expose: true })
    }
    return parse(ctx, () => {
      ctx.request.body = fieldsOf(ctx.request.rawBody ?? '')
      return next()
    })
  }
}

/** Reads a body of JSON, of at most 56 kB; anything else is refused with 4xx. */
export function jsonBody(): Middleware {
  const parse = bodyParser({ enableTypes: ['json'], jsonLimit: '56kb', encoding: 'utf-8' })
  return async (ctx, next) => {
    const plain = ['', 'identity'].includes(ctx.get('content-encoding'))
    if (!plain || !ctx.is('application/json')) {
      throw Object.assign(new Error('not JSON'), { status: 415, expose: true })
    }
    return parse(ctx, next)
  }
}

// Parse only what browsers send: no nested objects by the name of a field, and lists of any length as lists.
function fieldsOf(text: string): Record<string, string | string[]> {
  const fields: Record<string, string | string[]> = Object.create(null)
  for (const [name, value] of new URLSearchParams(text)) {
    // Postgres cannot store NUL, and nobody types it.
    if (value.includes('\0')) throw new BadRequest('The form holds a character that is not allowed.')
    const earlier = fields[name]
    if (earlier === undefined) fields[name] = value
    else if (typeof earlier === 'string') fields[name] = [earlier, value]
    else earlier.push(value)
  }
  return fields
}

/** Messages by field; `form` is about the form as a whole. */
export type FormErrors = Record<string, string>

/** Whether there is any. */
export function hasErrors(errors: FormErrors): boolean {
  return Object.keys(errors).length > 0
}

/** The status of a page that shows a form: 422 for one that comes back with errors. */
export function statusOf(errors: FormErrors): number {
  return hasErrors(errors) ? 422 : 200
}

/** The values of a valid form, or what is wrong with each field. */
export type Form<T> = { values: T; errors?: undefined } | { values?: undefined; errors: FormErrors }

/** Checks the body of a form post. */
export function readForm<T extends z.ZodType>(ctx: Context, schema: T): Form<z.output<T>> {
  const body = (ctx.request.body ?? {}) as Record<string, unknown>
  const parsed = schema.safeParse(body)
  if (parsed.success) return { values: parsed.data }
  const errors: FormErrors = {}
  for (const { path, message } of parsed.error.issues) errors[String(path[0] ?? 'form')] ??= message
  return { errors }
}

/** The text of a field as it was sent, to show it again. */
export function sentText(ctx: Context, field: string, most = 400): string {
  const value = ((ctx.request.body ?? {}) as Record<string, unknown>)[field]
  return typeof value === 'string' ? value.slice(0, most) : ''
}
