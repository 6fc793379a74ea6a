// The logo of an app, for administrators.
import type { Client } from '../../../core/clients/store.ts'
import { updateClient } from '../../../core/clients/update.ts'
import type { Pool } from '../../../db/pool.ts'
import { takeNotice } from '../../../http/notice.ts'
import type { Render } from '../../../http/render.ts'
import { actingUser, type SignedIn } from '../../../protocol/guards.ts'
import { type LogoForm, logoView } from '../../shared/logo-form.ts'
import { appPath, getApp } from './path.ts'

/** Form of /admin/clients/:client_id/logo. */
export function adminLogo({ db, render, send }: { db: Pool; render: Render; send: LogoForm }) {
  const show = (ctx: SignedIn, app: Client, problem?: string): void =>
    render(
      ctx,
      'admin/client-logo',
      {
        done: takeNotice(ctx),
        ...logoView(app),
        action: `${appPath(app.id)}/logo`,
        cancel_href: appPath(app.id),
        errors: { logo: problem },
      },
      problem ? 422 : 200,
    )
  return {
    async show(ctx: SignedIn): Promise<void> {
      show(ctx, await getApp(db, ctx))
    },
    async send(ctx: SignedIn): Promise<void> {
      const app = await getApp(db, ctx)
      const by = actingUser(ctx)
      const problem = await send(ctx, app, {
        back: appPath(app.id),
        by,
        change: async (t, logo_uri) => (await updateClient(t, app.id, { logo_uri }, by)) && { waits: false },
      })
      if (problem) show(ctx, app, problem)
    },
  }
}
