// The secrets of an app, as administrators keep them: add one, replace all, end one.

import { isConfidential } from '../../core/clients/kinds.ts'
import { appView } from '../../core/clients/presentation.ts'
import { NotFound } from '../../http/errors.ts'
import { takeNotice } from '../../http/notice.ts'
import { OF_APPS, secretForms } from '../shared/secret-forms.ts'
import { appPath, getApp, type StepParts } from './client-steps.ts'

/** Forms of /admin/clients/:client_id/secrets. */
export function clientAdminSecrets({ db, render }: StepParts) {
  return secretForms({
    db,
    words: OF_APPS,
    async getKeeper(ctx) {
      const app = await getApp(db, ctx)
      if (!isConfidential(app.type)) throw new NotFound('This kind of app keeps no secret.')
      return { name: app.name, client_id: app.id, back: appPath(app), app: appView(app) }
    },
    confirm: (ctx, { back, app }, page, errors = {}) =>
      render(
        ctx,
        'admin/confirm',
        { done: takeNotice(ctx), app, action: ctx.path, cancel_href: back, ...page, errors },
        Object.keys(errors).length > 0 ? 422 : 200,
      ),
    reveal: (ctx, { name, client_id, back }, secret) =>
      render(ctx, 'admin/secret', { client_id, ...secret, next: { href: back, label: `Go to ${name}` } }),
  })
}
