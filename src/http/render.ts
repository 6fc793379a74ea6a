// Turns a view and its words into a page. It must not know any noun: what a page says comes from the handler.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Context } from 'koa'
import { compileFile, type compileTemplate } from 'pug'
import type { Config } from '../base/config.ts'
import { assets } from './assets.ts'

const VIEWS = fileURLToPath(new URL('../../views', import.meta.url))

/** Who is signed in, as the top bar shows it. */
export interface PageUser {
  name: string
  email: string
  role: string
}

/** What guards leave for the pages behind them. */
interface PageState {
  user?: PageUser
  csrf?: string
  /** What every page of a part of the site shows, e.g. how much waits. */
  locals?: object
}

/** Answers `ctx` with a page; `locals` are what the comment on top of the view lists. */
export type Render = (ctx: Context, view: string, locals?: object, status?: number) => void

/**
 * Makes the function that shows pages. A view is compiled at its first use and kept.
 *
 * Every view can use `brand`, `version`, `asset`, `path`, and `user` and `csrf`, which are taken from
 * `ctx.state` unless the handler passes its own; `title` replaces the view's own title. A page is never
 * stored: it may hold a person's data.
 */
export function createRender({ brand, version }: { brand: Config['brand']; version?: string }): Render {
  const { url } = assets({ brand })
  const compiled = new Map<string, compileTemplate>()

  return function render(ctx, view, locals = {}, status = 200) {
    const template = compiled.get(view) ?? compile(view)
    compiled.set(view, template)
    const { user, csrf, locals: shared } = ctx.state as PageState
    const html = template({ user, csrf, path: ctx.path, ...shared, ...locals, brand, version, asset: url })
    ctx.status = status
    ctx.type = 'html'
    ctx.set('Cache-Control', 'no-store')
    ctx.body = html
  }
}

function compile(view: string): compileTemplate {
  return compileFile(join(VIEWS, `${view}.pug`), { basedir: VIEWS })
}
