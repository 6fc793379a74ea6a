// The secrets of an app. Administrators add one, replace all of them, or revoke one.
import { isConfidential } from '../../../core/clients/kinds.ts'
import { appView } from '../../../core/clients/presentation.ts'
import { NotFound } from '../../../http/errors.ts'
import { confirmPages } from '../../shared/confirm-page.ts'
import { EFFECTS_FOR_APPS, secretForms } from '../../shared/secret-forms.ts'
import { secretPages } from '../../shared/secret-page.ts'
import { appPath, getApp } from './path.ts'
import type { StepParts } from './steps.ts'

/** Forms of /admin/clients/:client_id/secrets. */
export function clientAdminSecrets({ db, render }: StepParts) {
  return secretForms({
    db,
    effects: EFFECTS_FOR_APPS,
    async getHolder(ctx) {
      const app = await getApp(db, ctx)
      if (!isConfidential(app.type)) throw new NotFound('This kind of app keeps no secret.')
      return {
        name: app.name,
        client_id: app.id,
        back: { href: appPath(app.id), label: `Go to ${app.name}` },
        app: appView(app),
      }
    },
    confirm: confirmPages(render, 'admin'),
    reveal: secretPages(render, 'admin'),
  })
}
