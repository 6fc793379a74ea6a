// Where a page of a list begins whose rows stand in the order of a moment and an id: it means the same when the row that it
// names is gone.

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
