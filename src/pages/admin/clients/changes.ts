// How administrators decide about a change of an approved app. The pages show the app before and after the change.
import { isUuid } from '../../../base/ids.ts'
import { labelOf } from '../../../core/clients/fields.ts'
import { InvalidMetadata } from '../../../core/clients/metadata.ts'
import {
  approveChange,
  ChangeOutdated,
  findChange,
  rejectChange,
  type WaitingChange,
} from '../../../core/clients/pending-changes.ts'
import { appView } from '../../../core/clients/presentation.ts'
import type { Client } from '../../../core/clients/store.ts'
import type { Pool } from '../../../db/pool.ts'
import { NotFound } from '../../../http/errors.ts'
import { type FormErrors, sentText } from '../../../http/form.ts'
import { seeOther } from '../../../http/notice.ts'

import type { Render } from '../../../http/render.ts'
import { actingUser, type SignedIn } from '../../../protocol/guards.ts'
import { type Confirmation, confirmPages } from '../../shared/confirm-page.ts'
import { differenceView } from '../../shared/labels.ts'
import { appPath, getApp } from './path.ts'

/** Forms of /admin/clients/:client_id/change/approve and /reject. */
export function changeAdmin({ db, render }: { db: Pool; render: Render }) {
  const confirm = confirmPages(render, 'admin')
  const getChange = async (ctx: SignedIn): Promise<{ app: Client; change: WaitingChange }> => {
    const app = await getApp(db, ctx)
    const change = await findChange(db, app.id)
    if (!change || change.rejected_at) throw new NotFound('No change of this app waits for a decision.')
    return { app, change }
  }
  const show = async (
    ctx: SignedIn,
    page: DecisionPage,
    errors?: FormErrors,
    status?: number,
  ): Promise<void> => {
    const { app, change } = await getChange(ctx)
    const about = {
      app: appView(app),
      differences: differenceView(change.changes),
      hidden: { change: change.id },
      cancel_href: appPath(app.id),
    }
    confirm(ctx, { ...about, ...page }, errors, status)
  }

  return {
    approve: {
      show: (ctx: SignedIn) => show(ctx, APPROVE),
      async send(ctx: SignedIn): Promise<void> {
        const { app } = await getChange(ctx)
        try {
          const changed = await approveChange(db, app.id, shownChange(ctx), actingUser(ctx))
          if (!changed) return show(ctx, APPROVE, { form: MOVED_ON }, 409)
          seeOther(ctx, appPath(app.id), {
            heading: `The change of ${changed.name} holds now.`,
          })
        } catch (error) {
          if (error instanceof ChangeOutdated) return show(ctx, APPROVE, { form: outdated(error) }, 409)
          if (!(error instanceof InvalidMetadata)) throw error
          const field = labelOf(error.field.split('.')[0]!)
          const form = `It cannot be approved, because the rules do not allow it: ${field} ${error.problem}.`
          return show(ctx, APPROVE, { form }, 422)
        }
      },
    },

    reject: {
      show: (ctx: SignedIn) => show(ctx, rejectPage('')),
      async send(ctx: SignedIn): Promise<void> {
        const { app } = await getChange(ctx)
        const reason = sentText(ctx, 'reason', 2_000)
        try {
          const rejected = await rejectChange(db, app.id, shownChange(ctx), reason, actingUser(ctx))
          if (!rejected) return show(ctx, rejectPage(reason), { form: MOVED_ON }, 409)
          seeOther(ctx, appPath(app.id), {
            heading: 'The change is rejected.',
            lines: [`${app.name} goes on as it is, and its owners read why.`],
          })
        } catch (error) {
          if (!(error instanceof InvalidMetadata)) throw error
          return show(ctx, rejectPage(reason), { reason: `Reason: ${error.problem}.` }, 422)
        }
      },
    },
  }
}

type DecisionPage = Pick<Confirmation, 'heading' | 'will' | 'will_not' | 'confirm_label' | 'danger' | 'field'>

// The id of the change that the page showed. For a form that names none it is the nil UUID, which no change has.
function shownChange(ctx: SignedIn): string {
  const id = sentText(ctx, 'change')
  return isUuid(id) ? id : '00000000-0000-0000-0000-000000000000'
}

const MOVED_ON = 'Its owners changed or withdrew what they ask for. This is what they ask for now.'

const APPROVE: DecisionPage = {
  heading: 'Approve this change?',
  will: ['It holds at once.'],
  will_not: ['People who allowed the app are not asked again.'],
  confirm_label: 'Approve the change',
}

function rejectPage(typed: string): DecisionPage {
  return {
    heading: 'Reject this change?',
    will: ['Its owners read the reason.'],
    will_not: ['The app goes on as it is.'],
    confirm_label: 'Reject the change',
    danger: true,
    field: {
      name: 'reason',
      label: 'Reason',
      hint: 'In words for its owners: what is wrong, and what would mend it.',
      kind: 'area',
      value: typed,
    },
  }
}

function outdated({ fields }: ChangeOutdated): string {
  const names = fields.map((field) => labelOf(field)).join(', ')
  return `The app was changed since this was asked for: ${names}. Reject it with a reason; its owners can ask for it anew.`
}
