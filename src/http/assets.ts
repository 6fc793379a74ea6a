// The style sheets and icons of the pages, read once and served from memory under addresses that change with their content. It must not
// know any page or noun.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { Middleware } from 'koa'
import type { Config } from '../base/config.ts'
import { accentSheet, textOn } from './accent.ts'
import { compressed, type Send } from './compress.ts'

const PREFIX = '/assets/'
const PUBLIC = new URL('../../public/', import.meta.url)
const PICO = createRequire(import.meta.url).resolve('@picocss/pico/css/pico.min.css')

/** The files by name. */
export type AssetName = 'pico.css' | 'valetkey.css' | 'brand.css' | 'icon.svg'

/** The files behind the pages and how a page names them. */
export interface Assets {
  /** Answers all requests under /assets/, and passes other requests on. */
  middleware: Middleware
  /** The address of a file, with the hash of its content. */
  url(name: AssetName): string
}

/**
 * Loads the files of the pages and makes those that depend on the brand.
 *
 * Browsers may cache an address with the present hash for a year. An address without a hash or with an older one gets the present file,
 * which they must not cache: during a rolling update pages of both versions are in use.
 */
export function assets({ brand }: { brand: Config['brand'] }): Assets {
  const files = new Map<string, Asset>([
    ['pico.css', asset('text/css', readFileSync(PICO, 'utf8'))],
    ['valetkey.css', asset('text/css', readPublic('valetkey.css'))],
    ['brand.css', asset('text/css', accentSheet(brand.accent))],
    ['icon.svg', asset('image/svg+xml', icon(brand.accent))],
  ])
  return {
    middleware: async (ctx, next) => {
      if (!ctx.path.startsWith(PREFIX)) return next()
      const found = files.get(ctx.path.slice(PREFIX.length))
      if (!found) return plain(ctx, 404, 'There is no such file.')
      if (ctx.method !== 'GET' && ctx.method !== 'HEAD') {
        ctx.set('Allow', 'GET, HEAD')
        return plain(ctx, 405, 'This file can only be read.')
      }
      const current = ctx.query.v === found.hash
      ctx.set('X-Content-Type-Options', 'nosniff')
      ctx.set('Cache-Control', current ? 'public, max-age=31536000, immutable' : 'public, no-cache')
      ctx.type = found.type
      found.send(ctx)
    },
    url: (name) => `${PREFIX}${name}?v=${files.get(name)!.hash}`,
  }
}

interface Asset {
  type: string
  send: Send
  hash: string
}

function asset(type: string, text: string): Asset {
  const body = Buffer.from(text)
  const hash = createHash('sha256').update(body).digest('base64url').slice(0, 16)
  return { type, hash, send: compressed(body, hash) }
}

function readPublic(name: string): string {
  return readFileSync(new URL(name, PUBLIC), 'utf8')
}

/** The key on the brand's colour; the file on disk is drawn in the two colours replaced here. */
function icon(accent: string): string {
  return readPublic('icon.svg').replaceAll('#1f5eff', accent).replaceAll('#ffffff', textOn(accent))
}

function plain(ctx: Parameters<Middleware>[0], status: number, text: string): void {
  ctx.status = status
  ctx.type = 'text/plain'
  ctx.set('Cache-Control', 'no-store')
  ctx.set('X-Content-Type-Options', 'nosniff')
  ctx.body = `${text}\n`
}
