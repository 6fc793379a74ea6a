// The logo of an app, for those who look after it.
import type { Pool } from '../db/pool.ts'
import { actingUser, type SignedIn } from '../guards.ts'
import { takeNotice } from '../web/notice.ts'
import type { Render } from '../web/render.ts'
import { type LogoForm, logoView } from './logo-form.ts'
import { getOwned } from './owners.ts'
import type { Client } from './store.ts'

/** Form of /developer/apps/:client_id/logo. */
export function developerLogo({ db, render, send }: { db: Pool; render: Render; send: LogoForm }) {
  const getApp = (ctx: SignedIn) => getOwned(db, String(ctx.params.client_id), ctx.state.user.id)
  const show = (ctx: SignedIn, app: Client, problem?: string): void =>
    render(
      ctx,
      'clients/developer-logo',
      {
        done: takeNotice(ctx),
        ...logoView(app),
        action: `/developer/apps/${app.id}/logo`,
        cancel_href: `/developer/apps/${app.id}`,
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
      const problem = await send(ctx, app, `/developer/apps/${app.id}/logo`, actingUser(ctx))
      if (problem) show(ctx, app, problem)
    },
  }
}
