// A refused request as pages show it: what went wrong in words, what was expected beside what came, how to mend it.

import { difference, type Piece } from '../../core/diagnostics/diff.ts'
import { REFUSALS, type RefusalKind } from '../../core/diagnostics/messages.ts'
import type { RefusalRow } from '../../core/diagnostics/store.ts'
import { type Time, when } from '../../http/time.ts'

/** A refused request in words. */
export interface RefusalView {
  at: Time
  endpoint: string
  error: string
  title: string
  advice: string
  expected: Piece[]
  came: Piece[]
  /** Both are the same kind of text, so that their pieces mean something. */
  compared: boolean
  attested: boolean
}

/** Makes the view of a refused request. */
export function refusalView(row: RefusalRow): RefusalView {
  const { kind, expected, came, at, endpoint, error, attested } = row
  // A kind that a later version wrote: its words are not here.
  const { title, advice } = REFUSALS[kind] ?? REFUSALS.other
  const compared = COMPARED.has(kind) && expected !== '' && came !== ''
  const pieces = compared ? difference(expected, came) : { expected: whole(expected), came: whole(came) }
  return { at: when(at), endpoint, error, title, advice, ...pieces, compared, attested }
}

const COMPARED: ReadonlySet<RefusalKind> = new Set([
  'redirect_uri_mismatch',
  'redirect_uri_changed',
  'dpop_target',
])

function whole(text: string): Piece[] {
  return text ? [{ text, differs: false }] : []
}
