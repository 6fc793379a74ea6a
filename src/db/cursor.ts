// Where a page of a list begins whose rows stand in the order of a moment and an id: it means the same when the row that it
// names is gone.
import { fragment } from './pool.ts'

/** A place in such a list. */
export interface Place {
  /** Of the moment, since 1970. */
  micros: string
  id: string
}

/** Reads a cursor, which a statement writes as `micros.id`. @returns undefined for a text that is none */
export function placeAt(text: string | undefined): Place | undefined {
  const [, micros, id] = /^(\d{1,16})\.([!-~]{1,500})$/.exec(text ?? '') ?? []
  return micros !== undefined && id !== undefined ? { micros, id } : undefined
}

/** A row in a list, with the place where the list goes on after it. */
export type Listed<Row> = Row & { cursor: string }

/** The cursor of a row with a `created_at` and an `id`. */
export const CURSOR = fragment`(extract(epoch from created_at) * 1000000)::bigint || '.' || id as cursor`

/**
 * Where a page begins: behind a cursor, or behind the row that an id names, which has to be there. Without a text both are null:
 * the first page.
 */
export function placeBehind(text: string | undefined): { micros: string | null; id: string | null } {
  return placeAt(text) ?? { micros: null, id: text ?? null }
}
