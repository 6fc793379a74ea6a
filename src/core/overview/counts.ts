// What happened in the last day and month, in numbers, for administrators.
import type { Db } from '../../db/pool.ts'
import { countDay, countMonth } from '../audit/days.ts'
import { usageSince } from '../clients/usage.ts'

/** What is counted, in the order of the page. */
export const COUNTED = [
  'sign_ins',
  'failed_sign_ins',
  'tokens',
  'refused_requests',
  'apps_allowed',
  'apps_not_allowed',
  'access_ended',
  'replays_stopped',
] as const

/** How often each of {@link COUNTED} happened. */
export type Counts = Record<(typeof COUNTED)[number], number>

const DAY_MS = 86_400_000

/** The last 24 hours, and the last 30 days. */
export async function countAll(db: Db): Promise<{ day: Counts; month: Counts }> {
  const [day, month] = await Promise.all([counts(db, 1, countDay(db)), counts(db, 30, countMonth(db))])
  return { day, month }
}

async function counts(db: Db, days: number, counting: Promise<Map<string, number>>): Promise<Counts> {
  const since = new Date(Date.now() - days * DAY_MS)
  const [events, usage] = await Promise.all([counting, usageSince(db, since)])
  const of = (...types: string[]) => types.reduce((sum, type) => sum + (events.get(type) ?? 0), 0)
  return {
    sign_ins: of('sign_in.succeeded'),
    failed_sign_ins: of('sign_in.failed', 'sign_in.limited'),
    tokens: usage.tokens,
    refused_requests: usage.refused,
    apps_allowed: of('consent.given'),
    apps_not_allowed: of('consent.refused'),
    access_ended: of('app.removed', 'consent.revoked', 'grant.revoked'),
    replays_stopped: of('token.reuse_detected'),
  }
}
