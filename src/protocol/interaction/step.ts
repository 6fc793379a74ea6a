// One stop of an authorization request at one of our pages: what it knows of the request, and how it goes on.
import type { Context } from 'koa'
import type { InteractionResults, Provider } from 'oidc-provider'
import type { Secrets } from '../../base/secrets.ts'
import type { Registration } from '../../core/clients/cache.ts'
import { type AppView, appView } from '../../core/clients/presentation.ts'
import { type Db, type Pool, tx } from '../../db/pool.ts'
import { checkForm, csrfToken } from '../../http/csrf.ts'
import { allowFormTo } from '../../http/headers.ts'
import type { Render } from '../../http/render.ts'
import { takeAlong } from '../adapters/interactions.ts'
import { ACCOUNT_CLIENT_ID } from '../rules/grants.ts'
import { saveNewState } from '../storage/state.ts'

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
  brandingChangedAt: Date | undefined
  /** Who is signed in, once somebody is. */
  user_id: string | undefined
  /** The session they are signed in with; it may have ended since. */
  session_uid: string | undefined
  mayAskFor(scope: string): boolean
  /** The device code that is being decided about, as the provider knows it here. */
  deviceCode: string | undefined
  /** Whether it has been decided; then all that is left to do is to go on. */
  isDecided: boolean
  goOn(ctx: Context): void
  /** The address of one of this interaction's actions. */
  path(action: 'select' | 'login' | 'consent' | 'abort' | 'switch'): string
  /** Shows a page of this interaction; its forms may lead to the app. */
  show(ctx: Context, view: string, locals: object, status?: number): void
  /** @throws ForgedForm when this form was not sent from a page of this interaction. */
  checkForm(ctx: Context): void
  /** The same request is one of nobody again: what was asked stays as it was, and no address says it. */
  startOver(): Promise<void>
  /**
   * Does what was decided and notes its result in one transaction, and sends the browser on. Where this was decided already,
   * nothing is done, and the browser goes where that decision leads.
   * @param work undefined for the result: nothing was decided after all.
   * @returns whether the browser goes on.
   */
  decide(ctx: Context, work: (t: Db) => Promise<InteractionResults | undefined>): Promise<boolean>
  /** As {@link decide}, where nothing else is to be done. */
  finish(ctx: Context, result: InteractionResults): Promise<void>
}

/** Makes the step of an interaction that the provider has found. */
export function stepOf(
  parts: { db: Pool; secrets: Secrets; render: Render },
  interaction: Interaction,
  client: Registration | undefined,
): Step {
  const { db, secrets, render } = parts
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
    brandingChangedAt: client?.branding_changed_at ?? undefined,
    user_id: session?.accountId,
    session_uid: session?.uid,
    deviceCode: interaction.deviceCode,
    isDecided: interaction.result !== undefined,
    mayAskFor: (scope) => client?.scopes.includes(scope) ?? false,
    path,
    show(ctx, view, locals, status) {
      allowFormTo(ctx, redirectUri)
      const csrf = csrfToken(secrets, uid)
      render(ctx, view, { app, abort_action: app && path('abort'), ...locals, csrf }, status)
    },
    checkForm: (ctx) => checkForm(ctx, secrets, uid),
    async startOver() {
      Object.assign(interaction, NOBODY)
      await interaction.save(secondsLeft())
    },
    async decide(ctx, work) {
      try {
        const result = await tx(db, async (t) => {
          const made = await work(t)
          if (made && !(await noteDecision(t, made))) throw new DecidedAlready()
          return made
        })
        if (!result) return false
      } catch (error) {
        if (!(error instanceof DecidedAlready)) throw error
      }
      goOn(ctx)
      return true
    },
    async finish(ctx, result) {
      await this.decide(ctx, async () => result)
    },
    goOn,
  }

  function noteDecision(t: Db, result: InteractionResults): Promise<boolean> {
    return saveNewState(t, 'decision', uid, JSON.stringify({ client_id, result }), secondsLeft())
  }

  function goOn(ctx: Context): void {
    takeAlong(ctx, interaction)
    ctx.status = 303
    ctx.redirect(interaction.returnTo)
  }

  function secondsLeft(): number {
    return interaction.exp - Math.floor(Date.now() / 1000)
  }
}

// Undoes the transaction of a second decision.
class DecidedAlready extends Error {}

const NOBODY = {
  // Nobody signs in for them in another tab: they wanted to choose.
  prompt: { name: 'login', reasons: ['another_account'], details: {} },
  accountId: undefined,
  session: undefined,
  grantId: undefined,
  lastSubmission: undefined,
  result: undefined,
}
