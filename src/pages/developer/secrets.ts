// The secrets of a developer's app: named, several at once, shown once, replaced with an overlap that the owner chooses.

import { isConfidential } from '../../core/clients/kinds.ts'
import { appView } from '../../core/clients/presentation.ts'
import { listSecrets } from '../../core/clients/secrets.ts'
import type { Client } from '../../core/clients/store.ts'
import { NotFound } from '../../http/errors.ts'
import { takeNotice } from '../../http/notice.ts'
import type { SignedIn } from '../../protocol/guards.ts'
import { secretView } from '../shared/labels.ts'
import { OF_APPS, secretForms } from '../shared/secret-forms.ts'
import { type DeveloperParts, frameOf, getOwnApp } from './own-client.ts'

/** Handlers of /developer/apps/:client_id/secrets and below. */
export function developerSecrets({ db, render }: DeveloperParts) {
  const getApp = async (ctx: SignedIn): Promise<Client> => {
    const app = await getOwnApp(db, ctx)
    if (!isConfidential(app.type)) throw new NotFound('This kind of app keeps no secret.')
    return app
  }
  const forms = secretForms({
    db,
    words: OF_APPS,
    async getKeeper(ctx) {
      const app = await getApp(ctx)
      return { name: app.name, client_id: app.id, back: `/developer/apps/${app.id}/secrets`, app }
    },
    confirm: (ctx, { app, back }, page, errors = {}) =>
      render(
        ctx,
        'developer/confirm',
        {
          done: takeNotice(ctx),
          app: appView(app),
          action: ctx.path,
          cancel_href: back,
          ...page,
          errors,
        },
        Object.keys(errors).length > 0 ? 422 : 200,
      ),
    reveal: (ctx, { app, back }, secret) =>
      render(ctx, 'developer/secret', {
        client_id: app.id,
        ...secret,
        next: { href: back, label: `Go to the secrets of ${app.name}` },
      }),
  })

  return {
    ...forms,

    async list(ctx: SignedIn): Promise<void> {
      const app = await getApp(ctx)
      const secrets = await listSecrets(db, app.id)
      render(ctx, 'developer/secrets', {
        ...frameOf(ctx, app),
        secrets: secrets.map((secret) => secretView(secret, `/developer/apps/${app.id}`)),
      })
    },
  }
}
