// Makes a page of a list, for every surface.

/** A page of rows, and what names the place behind it; undefined on the last page. */
export interface Page<Row> {
  rows: Row[]
  next: string | undefined
}

/**
 * Makes a page of the rows that were found.
 * @param found up to one row more than the limit, which tells whether there are more
 * @param placeOf what names the place behind a row
 */
export function pageOf<Row>(found: Row[], limit: number, placeOf: (row: Row) => string): Page<Row> {
  const rows = found.slice(0, limit)
  return { rows, next: found.length > limit ? placeOf(rows.at(-1)!) : undefined }
}
