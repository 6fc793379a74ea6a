// The logo of an app, for those who look after it. Of an approved app it waits for a decision, like everything people know it by.

import type { Client } from '../../core/clients/store.ts'
import { changeOwnLogo } from '../../core/ownership/developer-clients.ts'
import { actingUser, type SignedIn } from '../../protocol/guards.ts'
import { type LogoForm, logoView } from '../shared/logo-form.ts'
import { type DeveloperParts, frameOf, getOwnApp } from './own-client.ts'

/** Form of /developer/apps/:client_id/logo. */
export function developerLogo({ db, render, mode, send }: DeveloperParts & { send: LogoForm }) {
  const show = (ctx: SignedIn, app: Client, problem?: string): void => {
    const frame = frameOf(ctx, app)
    render(
      ctx,
      'developer/logo',
      {
        ...frame,
        ...logoView(app),
        action: `${frame.base}/logo`,
        cancel_href: frame.base,
        errors: { logo: problem },
      },
      problem ? 422 : 200,
    )
  }
  return {
    async show(ctx: SignedIn): Promise<void> {
      show(ctx, await getOwnApp(db, ctx))
    },
    async send(ctx: SignedIn): Promise<void> {
      const app = await getOwnApp(db, ctx)
      const by = actingUser(ctx)
      const reception = { approval: mode === 'approval' }
      const problem = await send(ctx, app, {
        back: `/developer/apps/${app.id}/logo`,
        by,
        change: async (t, logo_uri) => {
          const changed = await changeOwnLogo(t, app.id, logo_uri, reception, by)
          return changed && { waits: changed.held.some(({ field }) => field === 'logo_uri') }
        },
      })
      if (problem) show(ctx, app, problem)
    },
  }
}
