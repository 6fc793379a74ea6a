// Renders views. It must not know any noun: the handler passes the content of a page.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Context } from 'koa'
import { compileFile, type compileTemplate } from 'pug'
import type { Config } from '../base/config.ts'
import { assets } from './assets.ts'

const VIEWS = fileURLToPath(new URL('../../views', import.meta.url))

/** The signed-in person, as the top bar shows them. */
export interface PageUser {
  name: string
  email: string
  role: string
}

/** What guards pass to pages. */
interface PageState {
  user?: PageUser
  csrf?: string
  /** What every page of a part of the site shows, for example how many decisions wait. */
  locals?: object
}

/** Answers with a page. The comment at the top of the view lists its `locals`. */
export type Render = (ctx: Context, view: string, locals?: object, status?: number) => void

/**
 * Makes the function that renders pages. It compiles each view once, at its first use.
 *
 * Every view can use `brand`, `version`, `asset`, `path`, and `user` and `csrf`, which come from `ctx.state` unless the handler passes
 * them; `title` replaces the title of the view. Browsers must not store pages, which may hold personal data.
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
