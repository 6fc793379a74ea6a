// The logo of an app, for its owners. A new logo of an approved app waits for a decision, as all of its branding does.
import type { Client } from '../../core/clients/store.ts'
import { changeOwnLogo } from '../../core/ownership/developer-clients.ts'
import { actingUser, type SignedIn } from '../../protocol/guards.ts'
import { type LogoForm, logoView } from '../shared/logo-form.ts'
import { type DeveloperParts, getOwnApp, headOf, ownAppPath, policyOf } from './own-client.ts'

/** Form of /developer/apps/:client_id/logo. */
export function developerLogo({ db, render, mode, send }: DeveloperParts & { send: LogoForm }) {
  const show = (ctx: SignedIn, app: Client, problem?: string): void => {
    const head = headOf(ctx, app)
    render(
      ctx,
      'developer/logo',
      {
        ...head,
        ...logoView(app),
        action: `${head.base}/logo`,
        cancel_href: head.base,
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
      const problem = await send(ctx, app, {
        back: ownAppPath(app.id, 'logo'),
        by,
        change: async (t, logo_uri) => {
          const changed = await changeOwnLogo(t, app.id, logo_uri, policyOf({ mode }), by)
          return changed && { waits: changed.held.some(({ field }) => field === 'logo_uri') }
        },
      })
      if (problem) show(ctx, app, problem)
    },
  }
}
