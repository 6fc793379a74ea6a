// Uploaded logos as browsers load them. Anybody may, and may cache them for ever.
import type { Context } from 'koa'
import { findLogo } from '../../core/logos/store.ts'
import type { Db } from '../../db/pool.ts'
import { NotFound } from '../../http/errors.ts'
import { get, type Row } from '../../http/routes.ts'

/** The row of uploaded logos. */
export function logoFiles({ db }: { db: Db }): Row {
  return get('/logos/:file', async (ctx: Context) => {
    const [, sha256] = /^([0-9a-f]{64})\.png$/.exec(String(ctx.params.file)) ?? []
    const png = sha256 && (await findLogo(db, sha256))
    if (!png) throw new NotFound()
    ctx.set({
      'Cache-Control': 'public, max-age=31536000, immutable',
      'X-Content-Type-Options': 'nosniff',
      // A browser that opens the file by itself shows it as a page of our origin. The policy lets that page do nothing.
      'Content-Security-Policy': "default-src 'none'; sandbox",
      // Discovery documents and other sites' lists of apps embed it.
      'Cross-Origin-Resource-Policy': 'cross-origin',
    })
    ctx.type = 'image/png'
    ctx.etag = sha256
    ctx.status = 200
    if (ctx.fresh) ctx.status = 304
    else ctx.body = png
  })
}
