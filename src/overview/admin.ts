// The administrators' first page: what waits for a decision, and what the last day and month were like.
import { countDay, countMonth } from '../audit/days.ts'
import { listWaitingChanges } from '../clients/changes.ts'
import { searchClients } from '../clients/search.ts'
import { usageSince } from '../clients/use.ts'
import { listJobs } from '../db/jobs.ts'
import type { Pool } from '../db/pool.ts'
import type { SignedIn } from '../guards.ts'
import { takeNotice } from '../web/notice.ts'
import type { Render } from '../web/render.ts'
import { when } from '../web/time.ts'

const MOST_WAITING = 10
const DAY_MS = 86_400_000

/** Handlers of /admin. */
export function overviewAdmin(parts: { db: Pool; render: Render; mailIsOn: boolean }) {
  const { db, render, mailIsOn } = parts
  const countsOf = async (days: number, counting: Promise<Map<string, number>>): Promise<number[]> => {
    const [events, usage] = await Promise.all([
      counting,
      usageSince(db, new Date(Date.now() - days * DAY_MS)),
    ])
    const of = (...types: string[]) => types.reduce((sum, type) => sum + (events.get(type) ?? 0), 0)
    return [
      of('sign_in.succeeded'),
      of('sign_in.failed', 'sign_in.limited'),
      usage.tokens,
      usage.refused,
      of('consent.given'),
      of('consent.refused'),
      of('app.removed', 'access.ended', 'grant.revoked'),
      of('token.reuse_detected'),
    ]
  }
  return {
    async show(ctx: SignedIn): Promise<void> {
      const [day, month, waiting, changes, jobs] = await Promise.all([
        countsOf(1, countDay(db)),
        countsOf(30, countMonth(db)),
        searchClients(db, { state: 'pending', limit: MOST_WAITING }),
        listWaitingChanges(db, MOST_WAITING),
        listJobs(db, 5),
      ])
      render(ctx, 'overview/admin', {
        done: takeNotice(ctx),
        mail_is_on: mailIsOn,
        apps: waiting.map((app) => ({
          href: `/admin/apps/${encodeURIComponent(app.id)}`,
          name: app.name,
          owners: app.owners,
          since: when(app.created_at),
        })),
        changes: changes.map((change) => ({
          href: `/admin/apps/${change.client_id}`,
          name: change.name,
          by: change.requested_by,
          since: when(change.created_at),
        })),
        running: jobs.filter(({ state }) => state === 'waiting' || state === 'running').length,
        counts: COUNTED.map((label, i) => ({
          label,
          day: day[i]!.toLocaleString('en'),
          month: month[i]!.toLocaleString('en'),
        })),
      })
    },
  }
}

const COUNTED = [
  'Sign-ins',
  'Failed sign-ins',
  'Times an app was given tokens',
  'Refused requests of apps',
  'Apps allowed by people',
  'Apps not allowed by people',
  'Access ended',
  'Stolen or repeated codes and tokens stopped',
]
