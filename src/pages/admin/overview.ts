// The administrators' first page: what waits for a decision, and figures of the last day and month.
import { listWaitingChanges } from '../../core/clients/pending-changes.ts'
import { searchClients } from '../../core/clients/search.ts'
import { COUNTED, type Counts, countAll } from '../../core/overview/counts.ts'
import { listJobs } from '../../db/jobs.ts'
import type { Pool } from '../../db/pool.ts'
import { takeNotice } from '../../http/notice.ts'
import type { Render } from '../../http/render.ts'
import { when } from '../../http/time.ts'
import type { SignedIn } from '../../protocol/guards.ts'
import { appPath } from './clients/path.ts'

const MOST_WAITING = 10

/** Handlers of /admin. */
export function overviewAdmin(parts: { db: Pool; render: Render; mailIsOn: boolean }) {
  const { db, render, mailIsOn } = parts
  return {
    async show(ctx: SignedIn): Promise<void> {
      const [{ day, month }, waiting, changes, jobs] = await Promise.all([
        countAll(db),
        searchClients(db, { state: 'pending', limit: MOST_WAITING }),
        listWaitingChanges(db, { limit: MOST_WAITING }),
        listJobs(db),
      ])
      render(ctx, 'admin/overview', {
        done: takeNotice(ctx),
        mail_is_on: mailIsOn,
        apps: waiting.map((app) => ({
          href: appPath(app.id),
          name: app.name,
          owners: app.owners,
          since: when(app.created_at),
        })),
        changes: changes.map((change) => ({
          href: appPath(change.client_id),
          name: change.name,
          by: change.requested_by,
          since: when(change.created_at),
        })),
        failures: jobs.filter(({ state, finished_at }) => state === 'failed' && isOfLastDay(finished_at!))
          .length,
        running: jobs.filter(({ state }) => state === 'waiting' || state === 'running').length,
        counts: COUNTED.map((name) => ({
          label: LABELS[name],
          day: day[name].toLocaleString('en'),
          month: month[name].toLocaleString('en'),
        })),
      })
    },
  }
}

function isOfLastDay(moment: Date): boolean {
  return moment.getTime() > Date.now() - 86_400_000
}

const LABELS: Record<keyof Counts, string> = {
  sign_ins: 'Sign-ins',
  failed_sign_ins: 'Failed sign-ins',
  tokens: 'Times an app was given tokens',
  refused_requests: 'Refused requests of apps',
  apps_allowed: 'Apps allowed by people',
  apps_not_allowed: 'Apps not allowed by people',
  access_ended: 'Access ended',
  replays_stopped: 'Stolen or repeated codes and tokens stopped',
}
