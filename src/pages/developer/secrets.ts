// The secrets of a developer's app. It may have several, each with a name, shown once; their owner chooses how long old ones overlap with
// a new one.
import { isConfidential } from '../../core/clients/kinds.ts'
import { appView } from '../../core/clients/presentation.ts'
import { listSecrets } from '../../core/clients/secrets.ts'
import type { Client } from '../../core/clients/store.ts'
import { NotFound } from '../../http/errors.ts'
import type { SignedIn } from '../../protocol/guards.ts'
import { confirmPages } from '../shared/confirm-page.ts'
import { secretView } from '../shared/labels.ts'
import { EFFECTS_FOR_APPS, secretForms } from '../shared/secret-forms.ts'
import { secretPages } from '../shared/secret-page.ts'
import { type DeveloperParts, getOwnApp, headOf, ownAppPath } from './own-client.ts'

/** Handlers of /developer/apps/:client_id/secrets and below. */
export function developerSecrets({ db, render }: DeveloperParts) {
  const getApp = async (ctx: SignedIn): Promise<Client> => {
    const app = await getOwnApp(db, ctx)
    if (!isConfidential(app.type)) throw new NotFound('This kind of app keeps no secret.')
    return app
  }
  const forms = secretForms({
    db,
    effects: EFFECTS_FOR_APPS,
    async getHolder(ctx) {
      const app = await getApp(ctx)
      const back = { href: ownAppPath(app.id, 'secrets'), label: `Go to the secrets of ${app.name}` }
      return { name: app.name, client_id: app.id, back, app: appView(app) }
    },
    confirm: confirmPages(render, 'account'),
    reveal: secretPages(render, 'account'),
  })

  return {
    ...forms,

    async list(ctx: SignedIn): Promise<void> {
      const app = await getApp(ctx)
      const secrets = await listSecrets(db, app.id)
      render(ctx, 'developer/secrets', {
        ...headOf(ctx, app),
        secrets: secrets.map((secret) => secretView(secret, ownAppPath(app.id))),
      })
    },
  }
}
