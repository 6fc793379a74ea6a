// The logo of an app, for administrators.

import { type Client, findClient } from '../../core/clients/store.ts'
import { updateClient } from '../../core/clients/update.ts'
import type { Pool } from '../../db/pool.ts'
import { NotFound } from '../../http/errors.ts'
import { takeNotice } from '../../http/notice.ts'
import type { Render } from '../../http/render.ts'
import { actingUser, type SignedIn } from '../../protocol/guards.ts'
import { type LogoForm, logoView } from '../shared/logo-form.ts'

/** Form of /admin/clients/:client_id/logo. */
export function adminLogo({ db, render, send }: { db: Pool; render: Render; send: LogoForm }) {
  const getApp = async (ctx: SignedIn): Promise<Client> => {
    const app = await findClient(db, String(ctx.params.client_id))
    if (!app || app.type === 'resource_server') throw new NotFound('There is no such app.')
    return app
  }
  const show = (ctx: SignedIn, app: Client, problem?: string): void =>
    render(
      ctx,
      'admin/client-logo',
      {
        done: takeNotice(ctx),
        ...logoView(app),
        action: `${pathOf(app)}/logo`,
        cancel_href: pathOf(app),
        errors: { logo: problem },
      },
      problem ? 422 : 200,
    )
  return {
    async show(ctx: SignedIn): Promise<void> {
      show(ctx, await getApp(ctx))
    },
    async send(ctx: SignedIn): Promise<void> {
      const app = await getApp(ctx)
      const by = actingUser(ctx)
      const problem = await send(ctx, app, {
        back: pathOf(app),
        by,
        change: async (t, logo_uri) => (await updateClient(t, app.id, { logo_uri }, by)) && { waits: false },
      })
      if (problem) show(ctx, app, problem)
    },
  }
}

function pathOf({ id }: Client): string {
  return `/admin/clients/${encodeURIComponent(id)}`
}
