// One stop of an authorization request at one of our pages: what it knows of the request, and how it goes on.
import type { Context } from 'koa'
import type { InteractionResults, Provider } from 'oidc-provider'
import type { Registration } from '../clients/directory.ts'
import { type AppView, appView } from '../clients/view.ts'
import { ACCOUNT_CLIENT_ID } from '../oidc/grants.ts'
import type { Secrets } from '../secrets.ts'
import { checkForm, csrfToken } from '../web/csrf.ts'
import { allowFormTo } from '../web/headers.ts'
import type { Render } from '../web/render.ts'

type Interaction = Awaited<ReturnType<Provider['interactionDetails']>>

/** An interaction under way. */
export interface Step {
  prompt: { name: string; reasons: string[] }
  params: Record<string, unknown>
  client_id: string
  /** The app that asks; undefined when our own pages do. */
  app: AppView | undefined
  redirectUri: string | undefined
  /** When what people see of the app became another. */
  looksChangedAt: Date | undefined
  /** Who is signed in, once somebody is. */
  user_id: string | undefined
  mayAskFor(scope: string): boolean
  /** The device code that is being decided about, as the provider knows it here. */
  deviceCode: string | undefined
  /** Where the browser goes on to, once this interaction has been decided. */
  decidedTo: string | undefined
  /** The address of one of this interaction's actions. */
  path(action: 'login' | 'consent' | 'abort' | 'switch'): string
  /** Shows a page of this interaction; its forms may lead to the app. */
  show(ctx: Context, view: string, locals: object, status?: number): void
  /** @throws ForgedForm when this form was not sent from a page of this interaction. */
  checkForm(ctx: Context): void
  /** Notes the result and sends the browser on. */
  finish(ctx: Context, result: InteractionResults): Promise<void>
}

/** Makes the step of an interaction that the provider has found. */
export function stepOf(
  parts: { provider: Provider; secrets: Secrets; render: Render },
  interaction: Interaction,
  client: Registration | undefined,
): Step {
  const { provider, secrets, render } = parts
  const { uid, params, prompt, session } = interaction
  const client_id = String(params.client_id)
  const redirectUri = typeof params.redirect_uri === 'string' ? params.redirect_uri : undefined
  const app = client && client_id !== ACCOUNT_CLIENT_ID ? appView(client, redirectUri) : undefined
  const path = (action: string) => `/interaction/${uid}/${action}`
  return {
    prompt,
    params,
    client_id,
    app,
    redirectUri,
    looksChangedAt: client?.looks_changed_at ?? undefined,
    user_id: session?.accountId,
    deviceCode: (interaction as { deviceCode?: string }).deviceCode,
    decidedTo: interaction.result && interaction.returnTo,
    mayAskFor: (scope) => client?.scopes.includes(scope) ?? false,
    path,
    show(ctx, view, locals, status) {
      allowFormTo(ctx, redirectUri)
      const csrf = csrfToken(secrets, uid)
      render(ctx, view, { app, abort_action: app && path('abort'), ...locals, csrf }, status)
    },
    checkForm: (ctx) => checkForm(ctx, secrets, uid),
    async finish(ctx, result) {
      const returnTo = await provider.interactionResult(ctx.req, ctx.res, result, {
        mergeWithLastSubmission: false,
      })
      ctx.status = 303
      ctx.redirect(returnTo)
    },
  }
}
