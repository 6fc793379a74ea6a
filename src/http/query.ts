// Reads the query of a list, and writes the addresses of its other pages. It knows no noun.
import type { Context } from 'koa'
import { EVENT_ID, isUuid } from '../base/ids.ts'
import { pageOf as cut } from '../base/page.ts'
import { BadRequest } from './errors.ts'

/** A parameter of the query, trimmed; empty when it is absent. */
export function queryText(ctx: Context, name: string, most = 200): string {
  const value = ctx.query[name]
  const text = (Array.isArray(value) ? value.at(-1) : value) ?? ''
  if (text.includes('\0') || !text.isWellFormed()) throw new BadRequest('The address is not well-formed.')
  return text.trim().slice(0, most)
}

/** A parameter that is one of these values, else undefined. */
export function queryChoice<T extends string>(
  ctx: Context,
  name: string,
  choices: readonly T[],
): T | undefined {
  const text = queryText(ctx, name)
  return choices.find((choice) => choice === text)
}

/** A parameter with the place behind which a page begins, of a list whose ids are UUIDs: a cursor or an id; else undefined. */
export function queryPlace(ctx: Context, name: string): string | undefined {
  const text = queryText(ctx, name)
  return isUuid(text.replace(/^\d{1,16}\./, '')) ? text : undefined
}

/** A parameter with the number of the audit event before which a page begins; else undefined. */
export function queryEventId(ctx: Context, name: string): string | undefined {
  const text = queryText(ctx, name)
  return EVENT_ID.test(text) ? text : undefined
}

/** An address with those parameters that are not empty. */
export function withQuery(path: string, parameters: Record<string, string | undefined>): string {
  const given = Object.entries(parameters).filter((entry): entry is [string, string] => Boolean(entry[1]))
  return given.length > 0 ? `${path}?${new URLSearchParams(given)}` : path
}

/** A page of a list for views: its rows, and the address of the next page. */
export function pageOf<Row>(
  found: Row[],
  limit: number,
  hrefAfter: (last: Row) => string,
): { rows: Row[]; next_href: string | undefined } {
  const { rows, next } = cut(found, limit, hrefAfter)
  return { rows, next_href: next }
}
