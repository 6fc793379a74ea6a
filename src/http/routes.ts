// Rows of URL tables. Each surface has a table of its own; the app puts all of them behind one router.
import { METHODS } from 'node:http'
import Router from '@koa/router'
import type { Context, Middleware } from 'koa'
import { formBody } from './form.ts'
import { uploadBody } from './upload.ts'

/** An address with what answers there. */
export interface Row {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'OPTIONS'
  path: string
  handle: Handler
}

type Handler = (ctx: Context) => unknown

/** Runs a handler for some requests only, with what the handler wants to know of them. */
export type Guarded<Admitted> = (handler: (ctx: Admitted) => unknown) => Handler

/** A page with a form, which is sent to the address of its page. */
export interface FormPage<Admitted> {
  show(ctx: Admitted): unknown
  send(ctx: Admitted): unknown
}

/** A page. */
export function get(path: string, handle: Handler): Row {
  return { method: 'GET', path, handle }
}

/** What a form is sent to. */
export function post(path: string, handle: Handler): Row {
  return { method: 'POST', path, handle: (ctx) => readBody(ctx, async () => void (await handle(ctx))) }
}

/** A page with a form, and what the form is sent to. */
export function form<Admitted>(path: string, guard: Guarded<Admitted>, page: FormPage<Admitted>): Row[] {
  return [get(path, guard(page.show)), post(path, guard(page.send))]
}

/** The same with a file in the form, of at most `mostBytes`, which the guard reads once it knows who sends it. */
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
  // All methods there are: one that no row takes is refused rather than said to be unknown.
  const router = new Router({ sensitive: true, methods: METHODS })
  for (const { method, path, handle } of rows)
    router.register(path, [method], (ctx) => handle(ctx as Context))
  return [router.routes(), router.allowedMethods({ throw: false })] as unknown as Middleware[]
}

const readBody = formBody()
