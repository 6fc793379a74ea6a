// The secrets with which an API introspects tokens. Administrators add one, replace all of them, or revoke one.
import { introspectionClient } from '../../core/resources/update.ts'
import type { Pool } from '../../db/pool.ts'
import { NotFound } from '../../http/errors.ts'
import type { Render } from '../../http/render.ts'
import { confirmPages } from '../shared/confirm-page.ts'
import { secretForms } from '../shared/secret-forms.ts'
import { secretPages } from '../shared/secret-page.ts'
import { apiAt, apiPath } from './resource-path.ts'

/** Forms of /admin/apis/:api/secret and /admin/apis/:api/secrets. */
export function resourceAdminSecrets({ db, render }: { db: Pool; render: Render }) {
  return secretForms({
    db,
    // In the console `secret_id` is the parameter of an app's secret.
    parameter: 'api_secret_id',
    effects: {
      revoked: 'Whoever asks about tokens with it is refused at once.',
      untouched: 'Tokens are not touched.',
    },
    async getHolder(ctx) {
      const api = await apiAt(db, String(ctx.params.api))
      const client_id = await introspectionClient(db, api.identifier)
      if (!client_id) throw new NotFound('This API has no credentials.')
      return { name: api.name, client_id, back: { href: apiPath(api), label: `Go to ${api.name}` } }
    },
    confirm: confirmPages(render, 'admin'),
    reveal: secretPages(render, 'admin'),
  })
}
