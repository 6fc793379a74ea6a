// The filter of the audit log, as typed and as the store takes it. What it does not understand is an error, so that no part of a
// filter is dropped silently.

import { currentType, EVENT_TYPES } from '../../base/audit-events.ts'
import { isUuid } from '../../base/ids.ts'
import type { EventFilter } from '../../core/audit/store.ts'
import { findUser, findUserByEmail } from '../../core/users/store.ts'
import type { Pool } from '../../db/pool.ts'
import type { FormErrors } from '../../http/form.ts'

/** A filter as typed. */
export interface TypedFilter extends Record<string, string> {
  type: string
  actor: string
  user: string
  app: string
  since: string
  until: string
}

/** A filter as the store takes it, the values that the form shows again, and the errors. */
export interface ReadFilter {
  filter: EventFilter
  values: object
  errors: FormErrors
}

/** The types to choose from. */
export const TYPE_CHOICES = EVENT_TYPES.map((type) => ({ value: type, label: type }))

/** Collects the fields of a filter. @param read gives the text of a field, cut off after so many characters */
export function typedFilter(read: (name: string, most: number) => string): TypedFilter {
  return {
    type: read('type', 60),
    actor: read('actor', 320),
    user: read('user', 320),
    app: read('app', 100),
    since: read('since', 30),
    until: read('until', 30),
  }
}

/** Turns a typed filter into one for the store. */
export async function readFilter(db: Pool, typed: TypedFilter): Promise<ReadFilter> {
  const errors: FormErrors = {}
  const type = EVENT_TYPES.find((each) => each === currentType(typed.type))
  if (typed.type && !type) errors.type = 'There is no such type of event.'
  const actor_id = await accountOf(db, typed, 'actor', errors)
  const user_id = await accountOf(db, typed, 'user', errors)
  const since = dayOf(typed, 'since', errors)
  const until = dayOf(typed, 'until', errors)
  const filter: EventFilter = {
    type,
    actor_id,
    user_id,
    client_id: typed.app || undefined,
    since,
    // The end of that day.
    until: until && new Date(until.getTime() + DAY_MS),
  }
  // The form's fields for days can show nothing but a day.
  const values = { ...typed, type: type ?? '', since: since && typed.since, until: until && typed.until }
  return { filter, values, errors }
}

const DAY_MS = 86_400_000

async function accountOf(
  db: Pool,
  typed: TypedFilter,
  field: 'actor' | 'user',
  errors: FormErrors,
): Promise<string | undefined> {
  const text = typed[field]
  if (!text) return undefined
  const user = isUuid(text) ? await findUser(db, text) : await findUserByEmail(db, text)
  // Actors that are no accounts: clients by their id, the command line by the name of its user.
  if (!user && field === 'actor' && !text.includes('@')) return text
  // The log still names deleted accounts by their ids.
  if (!user && isUuid(text)) return text
  if (!user) errors[field] = 'No account has this email address.'
  return user?.id
}

function dayOf(typed: TypedFilter, field: 'since' | 'until', errors: FormErrors): Date | undefined {
  const date = dateOf(typed[field])
  if (date === undefined && typed[field]) errors[field] = 'Give a day like 2026-05-03.'
  return date
}

function dateOf(text: string): Date | undefined {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return undefined
  const date = new Date(`${text}T00:00:00Z`)
  return Number.isNaN(date.getTime()) ? undefined : date
}
