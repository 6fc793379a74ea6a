// Rows of URL tables. Each surface has a table of its own; the app puts all of them behind one router.
import { METHODS } from 'node:http'
import Router from '@koa/router'
import type { Context, Middleware } from 'koa'
import { formBody } from './form.ts'
import { uploadBody } from './upload.ts'

/** An address and its handler. */
export interface Row {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'OPTIONS'
  path: string
  handle: Handler
}

type Handler = (ctx: Context) => unknown

/** Runs a handler only for requests that it lets through, and gives it what it needs to know about them. */
export type Guarded<Admitted> = (handler: (ctx: Admitted) => unknown) => Handler

/** A page with a form that posts to the same address. */
export interface FormPage<Admitted> {
  show(ctx: Admitted): unknown
  send(ctx: Admitted): unknown
}

/** A page. */
export function get(path: string, handle: Handler): Row {
  return { method: 'GET', path, handle }
}

/** The target of a form. */
export function post(path: string, handle: Handler): Row {
  return { method: 'POST', path, handle: (ctx) => readBody(ctx, async () => void (await handle(ctx))) }
}

/** A page with a form, and the target of the form. */
export function form<Admitted>(path: string, guard: Guarded<Admitted>, page: FormPage<Admitted>): Row[] {
  return [get(path, guard(page.show)), post(path, guard(page.send))]
}

/** As above, with a file of at most `mostBytes`, which is read only after the guard has passed. */
export function uploadForm<Admitted>(
  path: string,
  guard: Guarded<Admitted>,
  page: FormPage<Admitted>,
  mostBytes: number,
): Row[] {
  const upload = uploadBody(mostBytes)
  const send = guard(page.send)
  const handle = (ctx: Context) => {
    ctx.state.readBody = () => upload(ctx, async () => {})
    return send(ctx)
  }
  return [get(path, guard(page.show)), { method: 'POST', path, handle }]
}

/** Answers at the addresses of these rows. A method that no row takes is refused with 405. */
export function routing(rows: readonly Row[]): Middleware[] {
  // All methods, so that one without a row is refused with 405 and not with 501.
  const router = new Router({ sensitive: true, methods: METHODS })
  for (const { method, path, handle } of rows)
    router.register(path, [method], (ctx) => handle(ctx as Context))
  return [router.routes(), router.allowedMethods({ throw: false })] as unknown as Middleware[]
}

const readBody = formBody()
