// Deleting unused dynamic clients in bulk: how many there are, examples, and a typed confirmation.
import { InvalidMetadata } from '../../../core/clients/metadata.ts'
import { hostOf } from '../../../core/clients/presentation.ts'
import { checkDays, cleanUpApps, findUnused, MOST_UNUSED } from '../../../core/registration/cleanup.ts'
import type { Pool } from '../../../db/pool.ts'
import { type FormErrors, sentText } from '../../../http/form.ts'
import { seeOther, takeNotice } from '../../../http/notice.ts'
import { queryText } from '../../../http/query.ts'
import type { Render } from '../../../http/render.ts'
import { when } from '../../../http/time.ts'
import { actingUser, type SignedIn } from '../../../protocol/guards.ts'
import { countText } from '../../shared/labels.ts'
import { appPath } from './path.ts'

const SHOWN = 10
const STANDARD_DAYS = '30'

/** The form of /admin/clients/clean-up. It holds the days, too, because a new sign-in drops them from the address. */
export function cleanUpAdmin({ db, render }: { db: Pool; render: Render }) {
  const show = async (ctx: SignedIn, asked: string, errors: FormErrors = {}, status = 200): Promise<void> => {
    const days = daysOf(asked, errors)
    const found = days === undefined ? [] : await findUnused(db, days)
    const count = found.length
    const first = found.slice(0, SHOWN)
    render(
      ctx,
      'admin/client-cleanup',
      {
        done: takeNotice(ctx),
        days: asked,
        is_usable: days !== undefined,
        count,
        count_text: countText(count, MOST_UNUSED),
        apps: first.map((app) => ({
          href: appPath(app.id),
          name: app.name,
          host: hostOf(app.redirect_uris[0]),
          unused: when(app.unused_since),
        })),
        more: count - first.length,
        confirm: ctx.method === 'POST' ? sentText(ctx, 'confirm') : '',
        errors,
      },
      days === undefined ? 422 : status,
    )
  }
  return {
    show: (ctx: SignedIn) => show(ctx, queryText(ctx, 'days', 10) || STANDARD_DAYS),

    async send(ctx: SignedIn): Promise<void> {
      const asked = sentText(ctx, 'days', 10)
      const errors: FormErrors = {}
      const days = daysOf(asked, errors)
      if (days === undefined) return show(ctx, asked, errors, 422)
      const count = (await findUnused(db, days)).length
      if (count === 0) return show(ctx, asked)
      if (sentText(ctx, 'confirm').replace(/\D/g, '') !== String(count)) {
        return show(ctx, asked, { confirm: `How many: type ${countText(count, MOST_UNUSED)}.` }, 422)
      }
      const job = await cleanUpApps(db, days, actingUser(ctx))
      seeOther(ctx, `/admin/jobs/${job.id}`, { heading: 'It has begun.' })
    },
  }
}

function daysOf(text: string, errors: FormErrors): number | undefined {
  const days = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN
  try {
    checkDays(days)
    return days
  } catch (error) {
    if (!(error instanceof InvalidMetadata)) throw error
    errors.days = `Days: ${error.problem}.`
    return undefined
  }
}
