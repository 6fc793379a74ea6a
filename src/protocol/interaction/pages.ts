// The addresses an authorization request stops at: which page is due, what was decided there, and what to say when the
// request is over already (back button, second tab).
import type { Context } from 'koa'
import { errors, type Provider } from 'oidc-provider'
import type { Secrets } from '../../base/secrets.ts'
import type { ClientDirectory, Registration } from '../../core/clients/cache.ts'
import { mayUse } from '../../core/clients/owners.ts'
import { appView } from '../../core/clients/presentation.ts'
import type { RejectedRequestRecorder } from '../../core/diagnostics/store.ts'
import { refuseConsent } from '../../core/grants/consents.ts'
import type { ResourceDirectory } from '../../core/resources/cache.ts'
import { signInEpoch } from '../../core/users/sign-in.ts'
import { findUser } from '../../core/users/store.ts'
import type { Pool } from '../../db/pool.ts'
import { actorOf } from '../../http/actor.ts'
import type { BlockLimits } from '../../http/block-limits.ts'
import { NotFound, TooManyRequests } from '../../http/errors.ts'
import type { Render } from '../../http/render.ts'
import { placeOf, type Throttle } from '../../http/throttle.ts'
import { ACCOUNT_CLIENT_ID } from '../rules/grants.ts'
import { currentSession, endSession } from '../rules/session.ts'
import { reopenDeviceCode } from '../storage/device-codes.ts'
import { throughStorage } from '../storage/errors.ts'
import { findState } from '../storage/state.ts'
import { consent } from './consent.ts'
import { signIn } from './login.ts'
import { type Step, stepOf } from './step.ts'

/** What these pages stand on. */
export interface InteractionParts {
  db: Pool
  provider(): Provider
  secrets: Secrets
  render: Render
  clients: ClientDirectory
  resources: ResourceDirectory
  rejectedRequests: RejectedRequestRecorder
  /** Counts what a person decides, by account. */
  changes: Throttle
  limits: BlockLimits
}

/** Handlers of /interaction/:uid and below. */
export function interactionPages(parts: InteractionParts) {
  const { db, clients } = parts
  const login = signIn(parts)
  const deciding = consent(parts)
  // Giving up is a decision that anybody can make, and is kept until its request would be over.
  const givingUp = parts.limits.limit({
    name: 'give-up',
    perAddress: 60,
    perBlock: 600,
    seconds: 60,
    message: 'Too many sign-ins were given up at this address.',
  })

  /** Runs a handler with the step it belongs to; what is over gets a page that says what to do. */
  const withStep = (handler: (ctx: Context, step: Step) => unknown) => async (ctx: Context) => {
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
    const client = await clients.find(String(interaction.params.client_id))
    // Suspended or deleted while the person was deciding: there is nobody left to decide about.
    if (!client && interaction.params.client_id !== ACCOUNT_CLIENT_ID) return showOver(ctx)
    // It has no owner who could try it out meanwhile.
    if (client?.state === 'pending' && client.registered_by === 'itself') return showPending(ctx, client)
    await handler(ctx, stepOf(parts, interaction, client))
  }

  /** As {@link withStep}, for forms. */
  const withForm = (prompt: string | undefined, handler: (ctx: Context, step: Step) => unknown) =>
    withStep((ctx, step) => {
      // A second tab may have moved on; what is due now is shown instead of an error.
      if (prompt && step.prompt.name !== prompt) return seeStep(ctx)
      step.checkForm(ctx)
      // Sent twice: what was decided the first time stands.
      if (step.isDecided) return step.goOn(ctx)
      return handler(ctx, step)
    })

  async function showOver(ctx: Context): Promise<void> {
    const over = await throughStorage(() => findState(db, 'decision', String(ctx.params.uid)))
    const { client_id = '' } = (over?.payload ?? {}) as { client_id?: string }
    const client = await clients.find(client_id)
    const app = client && appView(client)
    const home = client?.homepage_uri
    parts.render(
      ctx,
      'message',
      {
        tone: 'info',
        heading: over?.consumed ? 'You have finished here' : 'This page has expired',
        text: app
          ? `To use ${app.name}, go back to it. If it does not know you, start again from there.`
          : 'Go back to the app you came from and start again from there.',
        link: home ? { href: home, label: `Go to ${app?.name}` } : undefined,
        links: [{ href: '/account', label: 'Go to your account' }],
      },
      over?.consumed ? 200 : 410,
    )
  }

  // Not approved yet: its owners may try it out, nobody else is asked about it.
  async function isWaiting(step: Step): Promise<boolean> {
    const client = await clients.find(step.client_id)
    return client !== undefined && !(await mayUse(db, client, step.user_id!))
  }

  function notePending(ctx: Context, client_id: string): void {
    parts.rejectedRequests.note({
      client_id,
      kind: 'app_pending',
      endpoint: '/auth',
      error: 'not_approved',
      authenticated: false,
      place: placeOf(ctx.ip),
    })
  }

  async function showAccounts(ctx: Context, step: Step): Promise<void> {
    const user = await findUser(db, step.user_id!)
    if (!user) throw new NotFound()
    step.show(ctx, 'protocol/select-account', {
      action: step.path('select'),
      other_account_action: step.path('switch'),
      account: { email: user.email, name: user.name },
    })
  }

  async function showWaiting(ctx: Context, step: Step): Promise<void> {
    notePending(ctx, step.client_id)
    const user = await findUser(db, step.user_id!)
    const locals = {
      email: user?.email,
      other_account_action: step.path('switch'),
      for_device: step.deviceCode !== undefined,
    }
    step.show(ctx, 'protocol/waiting', locals, 403)
  }

  function showPending(ctx: Context, client: Registration): void {
    const { name, host } = appView(client)
    notePending(ctx, client.id)
    parts.render(
      ctx,
      'message',
      {
        tone: 'info',
        heading: `${name} cannot be used yet`,
        text: `This app (${host}) registered itself and waits until an administrator approves it. Try again later.`,
        links: [{ href: '/account', label: 'Go to your account' }],
      },
      403,
    )
  }

  return {
    back: (ctx: Context) => seeStep(ctx),

    show: withStep(async (ctx, step) => {
      if (step.isDecided) return step.goOn(ctx)
      // Our own pages ask for no consent, even where a link says prompt=consent.
      if (step.prompt.name === 'consent' && !step.app) return step.finish(ctx, { consent: {} })
      if (step.prompt.name === 'consent') {
        return (await isWaiting(step)) ? showWaiting(ctx, step) : deciding.show(ctx, step)
      }
      if (step.prompt.name === 'select_account') return showAccounts(ctx, step)
      // Signed in meanwhile in another tab: nothing is left to ask.
      const accountId = (await currentSession(parts.provider(), ctx)).accountId
      const asks = step.prompt.reasons.some((reason) => reason !== 'no_session')
      if (!accountId || asks) return login.show(ctx, step)
      const epoch = await signInEpoch(db, accountId)
      // Read after the epoch: a session that lives now belongs to it.
      const { accountId: still, loginTs, amr, acr } = await currentSession(parts.provider(), ctx)
      if (still !== accountId || epoch === undefined) return login.show(ctx, step)
      return step.finish(ctx, { login: { accountId, ts: loginTs, amr, acr, epoch } })
    }),

    /** Goes on as who is signed in (OpenID Connect Core §3.1.2.1, prompt=select_account). */
    select: withForm('select_account', (ctx, step) =>
      step.finish(ctx, { select_account: { accountId: step.user_id } }),
    ),

    login: withForm('login', (ctx, step) => login.post(ctx, step)),

    consent: withForm('consent', async (ctx, step) => {
      if (await isWaiting(step)) return showWaiting(ctx, step)
      try {
        await parts.changes.count(step.user_id!)
      } catch (refusal) {
        if (!(refusal instanceof TooManyRequests)) throw refusal
        ctx.set(refusal.headers)
        return deciding.show(ctx, step, { form: refusal.message }, 429)
      }
      return deciding.post(ctx, step)
    }),

    /** "Don't allow" and "Cancel": back to the app with access_denied (RFC 6749 §4.1.2.1). */
    abort: withForm(undefined, async (ctx, step) => {
      if (step.user_id === undefined) givingUp.count(ctx.ip)
      else await parts.changes.count(step.user_id)
      await step.decide(ctx, async (t) => {
        const { user_id, client_id, prompt } = step
        if (prompt.name === 'consent' && user_id) {
          await refuseConsent(t, user_id, client_id, { ...actorOf(ctx), id: user_id })
        }
        return { error: 'access_denied', error_description: 'the user did not allow it' }
      })
    }),

    /** "Use another account": this session ends, and the same request starts anew. */
    switch: withForm(undefined, async (ctx, step) => {
      await endSession(parts.provider(), db, ctx)
      if (step.deviceCode) {
        // What was typed is not kept: it is typed anew.
        await reopenDeviceCode(db, step.deviceCode)
        ctx.status = 303
        return ctx.redirect('/device')
      }
      await step.startOver()
      seeStep(ctx)
    }),
  }

  function seeStep(ctx: Context): void {
    ctx.status = 303
    ctx.redirect(`/interaction/${ctx.params.uid}`)
  }
}
