// Fixing the registration of an app from one of its refused requests.

import { InvalidMetadata } from '../../core/clients/metadata.ts'
import type { Client } from '../../core/clients/store.ts'
import { VersionConflict } from '../../core/clients/update.ts'
import { listRejectedRequests } from '../../core/diagnostics/store.ts'
import { changeOwnApp } from '../../core/ownership/developer-clients.ts'
import { NotFound } from '../../http/errors.ts'
import { type FormErrors, sentText } from '../../http/form.ts'
import { seeOther } from '../../http/notice.ts'
import { actingUser, type SignedIn } from '../../protocol/guards.ts'
import { confirmPages } from '../shared/confirm-page.ts'
import { type Fix, fixOf } from '../shared/fixes.ts'
import { type DeveloperParts, getOwnApp, NO_SUCH_APP, ownAppPath, policyOf } from './own-client.ts'

/** Handlers of /developer/apps/:client_id/errors/:rejection_id/fix. */
export function developerFixes(parts: DeveloperParts) {
  const { db, render } = parts
  const confirm = confirmPages(render, 'account')
  const show = (ctx: SignedIn, app: Client, fix: Fix, errors?: FormErrors, status?: number): void => {
    const { heading, will, stays, label } = fix
    const hidden = { version: String(app.version) }
    const cancel_href = ownAppPath(app.id, 'errors')
    confirm(ctx, { heading, will, stays, hidden, confirm_label: label, cancel_href }, errors, status)
  }
  const find = async (ctx: SignedIn): Promise<{ app: Client; fix: Fix }> => {
    const app = await getOwnApp(db, ctx)
    const rows = await listRejectedRequests(db, app.id)
    const row = rows.find(({ id }) => id === ctx.params.rejection_id)
    const fix = row && fixOf(app, row)
    if (!fix) throw new NotFound('There is nothing to fix, or it was fixed already.')
    return { app, fix }
  }
  return {
    async show(ctx: SignedIn): Promise<void> {
      const { app, fix } = await find(ctx)
      show(ctx, app, fix)
    },

    async send(ctx: SignedIn): Promise<void> {
      const { app, fix } = await find(ctx)
      const seen = Number(sentText(ctx, 'version'))
      try {
        const changed = await changeOwnApp(db, app.id, fix.change, seen, policyOf(parts), actingUser(ctx))
        if (!changed) throw new NotFound(NO_SUCH_APP)
        const waits = changed.held.length > 0 ? ['The change waits for approval.'] : []
        seeOther(ctx, ownAppPath(app.id, 'errors'), { heading: `${app.name} was changed.`, lines: waits })
      } catch (error) {
        if (error instanceof VersionConflict) {
          const form = 'The app was changed in the meantime. Look at it again.'
          return show(ctx, error.client, fix, { form }, 409)
        }
        if (!(error instanceof InvalidMetadata)) throw error
        show(ctx, app, fix, { form: `${error.problem}.` })
      }
    },
  }
}
