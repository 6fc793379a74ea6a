// Finds the interaction that a request is about, and runs a handler with its step.
import type { Context } from 'koa'
import { errors, type Provider } from 'oidc-provider'
import type { Secrets } from '../../base/secrets.ts'
import { ACCOUNT_CLIENT_ID } from '../rules/grants.ts'
import type { DeadEndParts, deadEnds } from './dead-ends.ts'
import { type Step, stepOf } from './step.ts'

/** What finding an interaction needs. */
export interface StepParts extends DeadEndParts {
  provider(): Provider
  secrets: Secrets
}

type Handler = (ctx: Context, step: Step) => unknown

/** Makes the functions that run handlers with a step. */
export function steps(
  parts: StepParts,
  { showOver, showPending }: Pick<ReturnType<typeof deadEnds>, 'showOver' | 'showPending'>,
) {
  /** Runs a handler with the step it belongs to; what is over gets a page that says what to do. */
  const withStep = (handler: Handler) => async (ctx: Context) => {
    const provider = parts.provider()
    let interaction: Awaited<ReturnType<Provider['interactionDetails']>>
    try {
      interaction = await provider.interactionDetails(ctx.req, ctx.res)
    } catch (error) {
      if (!(error instanceof errors.SessionNotFound)) throw error
      return showOver(ctx)
    }
    // The cookie is this interaction's own (its path says so); a copied address without it has no cookie at all.
    if (interaction.uid !== ctx.params.uid) return showOver(ctx)
    const client = await parts.clients.find(String(interaction.params.client_id))
    // Suspended or deleted while the person was deciding: there is nobody left to decide about.
    if (!client && interaction.params.client_id !== ACCOUNT_CLIENT_ID) return showOver(ctx)
    // It has no owner who could try it out meanwhile.
    if (client?.state === 'pending' && client.registered_by === 'itself') return showPending(ctx, client)
    await handler(ctx, stepOf(parts, interaction, client))
  }

  /** As {@link withStep}, for forms. */
  const withForm = (prompt: string | undefined, handler: Handler) =>
    withStep((ctx, step) => {
      // A second tab may have moved on; what is due now is shown instead of an error.
      if (prompt && step.prompt.name !== prompt) return seeStep(ctx)
      step.checkForm(ctx)
      // Sent twice: what was decided the first time stands.
      if (step.isDecided) return step.goOn(ctx)
      return handler(ctx, step)
    })
  return { withStep, withForm }
}

/** Sends the browser to the page of its interaction, which shows what is due now. */
export function seeStep(ctx: Context): void {
  ctx.status = 303
  ctx.redirect(`/interaction/${ctx.params.uid}`)
}
