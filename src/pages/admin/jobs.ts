// Bulk jobs as administrators see them: how far each has come, and where to ask for one that failed again.
import { isUuid } from '../../base/ids.ts'
import { findClient } from '../../core/clients/store.ts'
import { END_ACCESS, type EndAccess } from '../../core/grants/revoke.ts'
import { CLEAN_UP } from '../../core/registration/cleanup.ts'
import { TAKE_SCOPE } from '../../core/resources/removal.ts'
import { findUser } from '../../core/users/store.ts'
import { findJob, type Job, listJobs } from '../../db/jobs.ts'
import type { Pool } from '../../db/pool.ts'
import { NotFound } from '../../http/errors.ts'
import { takeNotice } from '../../http/notice.ts'
import { withQuery } from '../../http/query.ts'
import type { Render } from '../../http/render.ts'
import { when } from '../../http/time.ts'
import type { SignedIn } from '../../protocol/guards.ts'
import { JOB_STATE_LABELS } from '../shared/labels.ts'
import { apiPath } from './resource-path.ts'

/** Handlers of /admin/jobs and /admin/jobs/:job_id. */
export function jobAdmin({ db, render }: { db: Pool; render: Render }) {
  return {
    async list(ctx: SignedIn): Promise<void> {
      const jobs = await listJobs(db)
      render(ctx, 'admin/jobs', { jobs: await Promise.all(jobs.map((job) => jobView(db, job))) })
    },

    async show(ctx: SignedIn): Promise<void> {
      const id = String(ctx.params.job_id)
      const job = isUuid(id) ? await findJob(db, id) : undefined
      if (!job) throw new NotFound('There is no such job.')
      render(ctx, 'admin/job', { done: takeNotice(ctx), job: await jobView(db, job) })
    },
  }
}

async function jobView(db: Pool, job: Job) {
  const { user_id, client_id } = job.params as EndAccess
  const [user, client] = await Promise.all([
    user_id ? findUser(db, user_id) : undefined,
    client_id ? findClient(db, client_id) : undefined,
  ])
  const app = client_id ? (client?.name ?? `an app that is gone (${client_id})`) : 'all apps'
  const to = user_id ? ` to ${user?.email ?? 'an account that is gone'}` : ''
  return {
    href: `/admin/jobs/${job.id}`,
    title: TITLES[job.kind]?.(job.params) ?? `End the access of ${app}${to}`,
    state: job.state,
    state_text: JOB_STATE_LABELS[job.state],
    done: job.done.toLocaleString('en'),
    total: job.total?.toLocaleString('en'),
    // Somebody may allow the app while the job is at work.
    progress:
      job.total === null ? undefined : { value: Math.min(job.done, job.total), max: Math.max(job.total, 1) },
    problem: job.problem ?? undefined,
    again_href: job.state === 'failed' ? AGAIN[job.kind]?.(job.params) : undefined,
    started: when(job.created_at),
    finished: when(job.finished_at),
    is_open: job.state === 'waiting' || job.state === 'running',
  }
}

const TITLES: Record<string, (params: Job['params']) => string> = {
  [CLEAN_UP]: ({ days }) => `Delete apps that registered themselves and were not used for ${days} days`,
  [TAKE_SCOPE]: ({ scope }) => `Take ${scope} from apps and decisions`,
}

/** Where a job was asked for, and another can be. */
const AGAIN: Record<string, (params: Job['params']) => string> = {
  [CLEAN_UP]: ({ days }) => withQuery('/admin/clients/clean-up', { days: String(days) }),
  [TAKE_SCOPE]: ({ resource }) => apiPath({ identifier: String(resource) }),
  [END_ACCESS]: (params) => {
    const { user_id: user, client_id: app } = params as EndAccess
    return withQuery('/admin/consents', { user, app })
  },
}
