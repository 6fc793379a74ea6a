// Where a page of a list begins whose rows stand in the order of a moment and an id. A cursor stays valid when the row that it was
// made from is gone.
import { type Fragment, fragment } from './sql.ts'

/** A cursor: `micros.id`. */
export const CURSOR_PATTERN = '\\d{1,16}\\.[!-~]{1,500}'

const PARTS = /^(\d{1,16})\.([!-~]{1,500})$/

/** A place in such a list. */
export interface Place {
  /** Of the moment, since 1970. */
  micros: string
  id: string
}

/** Reads a cursor. @returns undefined for a text that is none */
export function placeAt(text: string | undefined): Place | undefined {
  const [, micros, id] = PARTS.exec(text ?? '') ?? []
  return micros !== undefined && id !== undefined ? { micros, id } : undefined
}

/** A row in a list, with the place where the list goes on after it. */
export type Listed<Row> = Row & { cursor: string }

/** The cursor of a row. @param at its moment @param id its id */
export function cursorOf(at: Fragment, id: Fragment): Fragment {
  return fragment`(extract(epoch from ${at}) * 1000000)::bigint || '.' || ${id} as cursor`
}

/** The cursor of a row with a `created_at` and an `id`. */
export const CURSOR = cursorOf(fragment`created_at`, fragment`id`)

/**
 * The condition that a row with a `created_at` and an `id` stands behind a place in a list from old to new.
 * @param table of the list
 * @param after a cursor, or the id of a row that is there; absent: every row does
 */
export function isAfter(table: Fragment, after: string | undefined): Fragment {
  return isBehind(fragment`>`, table, after)
}

/** As {@link isAfter}, in a list from new to old. */
export function isBefore(table: Fragment, after: string | undefined): Fragment {
  return isBehind(fragment`<`, table, after)
}

/**
 * As {@link isAfter}, where moment and id are called otherwise, and the text is a cursor. Every row stands behind a text that is
 * no cursor. @param isBeyond `>` in a list from old to new, else `<`
 */
export function isBehindCursor(
  { at, id, isBeyond }: { at: Fragment; id: Fragment; isBeyond: Fragment },
  after: string | undefined,
): Fragment {
  const place = placeAt(after)
  const micros = place?.micros ?? null
  return fragment`(${micros}::bigint is null or (${at}, ${id}) ${isBeyond} (${momentOf(micros)}, ${place?.id ?? null}))`
}

function isBehind(isBeyond: Fragment, table: Fragment, after: string | undefined): Fragment {
  const { micros, id } = placeAt(after) ?? { micros: null, id: after ?? null }
  return fragment`(${id}::text is null
                   or (created_at, id) ${isBeyond}
                      (coalesce(${momentOf(micros)}, (select created_at from ${table} where id = ${id})), ${id}))`
}

function momentOf(micros: string | null): Fragment {
  return fragment`timestamptz 'epoch' + ${micros}::bigint * interval '1 microsecond'`
}
