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
  /** How many of these there were; `at` is the last of them. */
  count: number
  /** A change of the registration with which such a request would be accepted. */
  fix?: { label: string; href: string }
}

/**
 * Makes the views of refused requests; those that are the same stand together, where the last of them stands.
 * @param rows newest first @param fix finds what one press can change
 */
export function rejectedRequestViews(
  rows: readonly RejectedRequestRow[],
  fix: (row: RejectedRequestRow) => RejectedRequestView['fix'],
): RejectedRequestView[] {
  const same = Map.groupBy(rows, ({ kind, endpoint, error, expected, received, authenticated }) =>
    JSON.stringify([kind, endpoint, error, expected, received, authenticated]),
  )
  return [...same.values()].map((group) => ({
    ...rejectedRequestView(group[0]!),
    count: group.length,
    fix: fix(group[0]!),
  }))
}

function rejectedRequestView(row: RejectedRequestRow): Omit<RejectedRequestView, 'count' | 'fix'> {
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
