// Who allowed which app what, as administrators look at it, and taking it away: one, or all that a filter names.

import { hostOf } from '../../core/clients/presentation.ts'
import { findClient } from '../../core/clients/store.ts'
import { END_ACCESS, type EndAccess, endAccess, endAllAccess } from '../../core/grants/revoke.ts'
import { type Access, searchAccess } from '../../core/grants/search.ts'
import { CLEAN_UP } from '../../core/registration/cleanup.ts'
import { TAKE_SCOPE } from '../../core/resources/removal.ts'
import { findUser, findUserByEmail } from '../../core/users/store.ts'
import { findJob, type Job, listJobs } from '../../db/jobs.ts'
import type { Pool } from '../../db/pool.ts'
import { NotFound } from '../../http/errors.ts'
import { sentText } from '../../http/form.ts'
import { seeOther, takeNotice } from '../../http/notice.ts'
import { isUuid, pageOf, queryPlace, queryText, withQuery } from '../../http/query.ts'
import type { Render } from '../../http/render.ts'
import { when } from '../../http/time.ts'
import { actingUser, type SignedIn } from '../../protocol/guards.ts'
import { apiPath } from './resource-path.ts'

const PAGE = 25

/** Handlers of /admin/consents and /admin/jobs. */
export function accessAdmin({ db, render }: { db: Pool; render: Render }) {
  const getAccess = async (ctx: SignedIn): Promise<Access> => {
    const id = String(ctx.params.consent_id)
    const [found] = isUuid(id) ? await searchAccess(db, { id }) : []
    if (!found) throw new NotFound('That access has ended.')
    return found
  }
  const found = async (user: string, app: string): Promise<Filter> => {
    const [person, client] = await Promise.all([
      isUuid(user) ? findUser(db, user) : user.includes('@') ? findUserByEmail(db, user) : undefined,
      app ? findClient(db, app) : undefined,
    ])
    const errors: Record<string, string> = {}
    if (user && !person) errors.user = 'No account has this email address or id.'
    if (app && !client) errors.app = 'No app has this client id.'
    return { person, client, errors, isUsable: Object.keys(errors).length === 0 }
  }

  return {
    async list(ctx: SignedIn): Promise<void> {
      const asked = { user: queryText(ctx, 'user', 320), app: queryText(ctx, 'app', 500) }
      const { person, client, errors, isUsable } = await found(asked.user, asked.app)
      const accesses = isUsable
        ? await searchAccess(db, {
            user_id: person?.id,
            client_id: client?.id,
            after: queryPlace(ctx, 'after'),
            limit: PAGE + 1,
          })
        : []
      const { rows, next_href } = pageOf(accesses, PAGE, ({ cursor }) =>
        withQuery('/admin/consents', { ...asked, after: cursor }),
      )
      const isFiltered = Boolean(person || client)
      render(
        ctx,
        'admin/consents',
        {
          done: takeNotice(ctx),
          accesses: rows.map(accessView),
          next_href,
          values: { user: person?.email ?? asked.user, app: asked.app },
          errors,
          is_filtered: isFiltered,
          end_all_href:
            isUsable && isFiltered && rows.length > 0
              ? withQuery('/admin/consents/end', { user: person?.id, app: client?.id })
              : undefined,
        },
        isUsable ? 200 : 422,
      )
    },

    end: {
      async show(ctx: SignedIn): Promise<void> {
        const access = await getAccess(ctx)
        render(ctx, 'admin/confirm', {
          done: takeNotice(ctx),
          subject: { name: access.user_name, detail: access.email },
          heading: `End the access of ${access.client_name}?`,
          will: [
            `${access.client_name} can no longer use this account, from the moment you press the button.`,
            ...(access.devices > 1 ? [`This ends it on all ${access.devices} devices.`] : []),
          ],
          will_not: ['They can allow it again.'],
          confirm_label: 'End access',
          danger: true,
          action: ctx.path,
          cancel_href: '/admin/consents',
          errors: {},
        })
      },
      async send(ctx: SignedIn): Promise<void> {
        const access = await getAccess(ctx)
        if (!(await endAccess(db, access.id, actingUser(ctx)))) throw new NotFound('That access has ended.')
        seeOther(ctx, '/admin/consents', {
          heading: `${access.client_name} has no access to ${access.email} any more.`,
        })
      },
    },

    /** All that a filter names. The filter travels in the form: after a new sign-in the address has lost it. */
    endAll: {
      async show(ctx: SignedIn): Promise<void> {
        const { person, client, isUsable } = await found(
          queryText(ctx, 'user', 320),
          queryText(ctx, 'app', 500),
        )
        if (!isUsable || !(person || client)) return seeOther(ctx, '/admin/consents', takeNotice(ctx))
        const whose = person ? `to the account of ${person.email}` : 'to every account'
        render(ctx, 'admin/confirm', {
          done: takeNotice(ctx),
          heading: client ? `End the access of ${client.name} ${whose}?` : `End all access ${whose}?`,
          will: ['It begins at once. The next page shows how far it has come; you need not wait there.'],
          will_not: ['People can allow apps again.'],
          confirm_label: 'End all of it',
          danger: true,
          hidden: { user: person?.id, app: client?.id },
          action: ctx.path,
          cancel_href: withQuery('/admin/consents', { user: person?.id, app: client?.id }),
          errors: {},
        })
      },
      async send(ctx: SignedIn): Promise<void> {
        const { person, client, isUsable } = await found(sentText(ctx, 'user'), sentText(ctx, 'app'))
        // Never everything: a filter that is gone must not become none.
        if (!isUsable || !(person || client)) throw new NotFound('There is no such app or account any more.')
        const what: EndAccess = { user_id: person?.id, client_id: client?.id }
        const job = await endAllAccess(db, what, actingUser(ctx))
        seeOther(ctx, `/admin/jobs/${job.id}`, { heading: 'It has begun.' })
      },
    },

    async jobs(ctx: SignedIn): Promise<void> {
      const jobs = await listJobs(db)
      render(ctx, 'admin/jobs', {
        jobs: await Promise.all(jobs.map((job) => jobView(job))),
      })
    },

    async job(ctx: SignedIn): Promise<void> {
      const id = String(ctx.params.job_id)
      const job = isUuid(id) ? await findJob(db, id) : undefined
      if (!job) throw new NotFound('There is no such job.')
      render(ctx, 'admin/job', { done: takeNotice(ctx), job: await jobView(job) })
    },
  }

  async function jobView(job: Job) {
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
      state_text: STATE_WORDS[job.state],
      done: job.done.toLocaleString('en'),
      total: job.total?.toLocaleString('en'),
      // Somebody may allow the app while the job is at work.
      progress:
        job.total === null
          ? undefined
          : { value: Math.min(job.done, job.total), max: Math.max(job.total, 1) },
      problem: job.problem ?? undefined,
      again_href: job.state === 'failed' ? AGAIN[job.kind]?.(job.params) : undefined,
      started: when(job.created_at),
      finished: job.finished_at ? when(job.finished_at) : undefined,
      is_open: job.state === 'waiting' || job.state === 'running',
    }
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

const STATE_WORDS = { waiting: 'Waiting', running: 'Under way', done: 'Done', failed: 'Failed' } as const

interface Filter {
  person: Awaited<ReturnType<typeof findUser>>
  client: Awaited<ReturnType<typeof findClient>>
  errors: Record<string, string>
  isUsable: boolean
}

function accessView(access: Access) {
  return {
    user: { name: access.user_name, email: access.email, href: `/admin/users/${access.user_id}` },
    app: {
      name: access.client_name,
      href: `/admin/clients/${encodeURIComponent(access.client_id)}`,
      dynamic_host: access.registered_by === 'itself' ? hostOf(access.redirect_uris[0]) : undefined,
    },
    scopes: access.scopes,
    since: when(access.created_at),
    ends: access.expires_at ? when(access.expires_at) : undefined,
    last_used: access.last_used_at ? when(access.last_used_at) : undefined,
    devices: access.devices,
    end_href: `/admin/consents/${access.id}/end`,
  }
}
