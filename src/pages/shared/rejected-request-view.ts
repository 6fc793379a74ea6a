// A refused request as pages show it: what went wrong, what the server expected beside what it received, and how to fix it.
import { difference, type Piece } from '../../core/diagnostics/diff.ts'
import { REJECTIONS, type RejectionKind } from '../../core/diagnostics/messages.ts'
import type { RejectedRequestRow } from '../../core/diagnostics/store.ts'
import { type Time, when } from '../../http/time.ts'

/** A refused request in words. */
export interface RejectedRequestView {
  at: Time
  endpoint: string
  error: string
  title: string
  advice: string
  expected: Piece[]
  received: Piece[]
  /** Whether both are the same kind of text. Only then do differing pieces mean something. */
  compared: boolean
  authenticated: boolean
}

/** Makes the view of a refused request. */
export function rejectedRequestView(row: RejectedRequestRow): RejectedRequestView {
  const { kind, expected, received, at, endpoint, error, authenticated } = row
  // A later version may have stored a kind that this one does not know.
  const { title, advice } = REJECTIONS[kind] ?? REJECTIONS.other
  const compared = COMPARED.has(kind) && expected !== '' && received !== ''
  const pieces = compared
    ? difference(expected, received)
    : { expected: whole(expected), received: whole(received) }
  return { at: when(at), endpoint, error, title, advice, ...pieces, compared, authenticated }
}

const COMPARED: ReadonlySet<RejectionKind> = new Set([
  'redirect_uri_mismatch',
  'post_logout_mismatch',
  'redirect_uri_changed',
  'dpop_target',
])

function whole(text: string): Piece[] {
  return text ? [{ text, differs: false }] : []
}
