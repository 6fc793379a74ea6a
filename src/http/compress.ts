// Compressed forms of a text that never changes, made in the background when it is first asked for: neither a start nor an answer waits for them. Pages
// with a form are not compressed: their size would tell what secret stands beside what an attacker has sent (BREACH).
import { promisify } from 'node:util'
import { brotliCompress, gzip } from 'node:zlib'
import type { Context } from 'koa'

const METHODS = { br: promisify(brotliCompress), gzip: promisify(gzip) }

/** Answers with a text. All of its forms mean the same, so their entity tag is weak (RFC 9110 §8.8.1). */
export type Send = (ctx: Context) => void

/** Makes {@link Send} for a text. @param tag an entity tag of the text, without quotes */
export function compressed(body: Buffer, tag: string): Send {
  const made = new Map<string, Buffer>()
  const make = (): void => {
    for (const [name, compress] of Object.entries(METHODS)) {
      // What does not get smaller is sent as it is.
      compress(body).then(
        (smaller) => void (smaller.length < body.length && made.set(name, smaller)),
        () => {},
      )
    }
  }
  let isAskedFor = false
  return (ctx) => {
    if (!isAskedFor) make()
    isAskedFor = true
    // The smallest first, whatever the order in which a browser lists them.
    const encoding = Object.keys(METHODS).find(
      (name) => made.has(name) && ctx.acceptsEncodings(name) === name,
    )
    const form = encoding && made.get(encoding)
    ctx.vary('Accept-Encoding')
    ctx.set('ETag', `W/"${tag}"`)
    ctx.status = 200
    if (ctx.fresh) {
      ctx.status = 304
      return
    }
    if (encoding) ctx.set('Content-Encoding', encoding)
    ctx.body = form || body
  }
}
