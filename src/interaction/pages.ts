// The addresses an authorization request stops at: which page is due, what was decided there, and what to say when the
// request is over already (back button, second tab).
import type { Context } from 'koa'
import { errors, type Provider } from 'oidc-provider'
import type { ClientDirectory, Registration } from '../clients/directory.ts'
import { mayUse } from '../clients/owners.ts'
import type { RefusalRecorder } from '../clients/refusals.ts'
import { appView } from '../clients/view.ts'
import type { Pool } from '../db/pool.ts'
import { refuseConsent } from '../grants/store.ts'
import { reopenDeviceCode } from '../oidc/device-codes.ts'
import { ACCOUNT_CLIENT_ID } from '../oidc/grants.ts'
import { currentSession, endSession } from '../oidc/session.ts'
import { findState } from '../oidc/state.ts'
import { throughStorage } from '../oidc/storage.ts'
import type { ResourceDirectory } from '../resources/directory.ts'
import type { Secrets } from '../secrets.ts'
import { findUser, signInEpoch } from '../users/store.ts'
import { actorOf } from '../web/actor.ts'
import { seeOther } from '../web/notice.ts'
import type { Render } from '../web/render.ts'
import { placeOf } from '../web/throttle.ts'
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
  refusals: RefusalRecorder
}

/** Handlers of /interaction/:uid and below. */
export function interactionPages(parts: InteractionParts) {
  const { db, clients } = parts
  const login = signIn(parts)
  const deciding = consent(parts)

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
    await handler(ctx, stepOf({ ...parts, provider }, interaction, client))
  }

  /** As {@link withStep}, for forms. */
  const withForm = (prompt: string | undefined, handler: (ctx: Context, step: Step) => unknown) =>
    withStep((ctx, step) => {
      // A second tab may have moved on; what is due now is shown instead of an error.
      if (prompt && step.prompt.name !== prompt) return seeStep(ctx)
      step.checkForm(ctx)
      // Sent twice: what was decided the first time stands.
      if (step.decidedTo) return seeOther(ctx, step.decidedTo)
      return handler(ctx, step)
    })

  async function showOver(ctx: Context): Promise<void> {
    const over = await throughStorage(() => findState(db, 'interaction', String(ctx.params.uid)))
    const { client_id, params } = (over?.payload ?? {}) as {
      client_id?: string
      params?: { client_id?: string }
    }
    const client = await clients.find(client_id ?? params?.client_id ?? '')
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
    parts.refusals.note({
      client_id,
      kind: 'app_pending',
      endpoint: '/auth',
      error: 'not_approved',
      attested: false,
      place: placeOf(ctx.ip),
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
    step.show(ctx, 'interaction/waiting', locals, 403)
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
      // Our own pages ask for no consent, even where a link says prompt=consent.
      if (step.prompt.name === 'consent' && !step.app) return step.finish(ctx, { consent: {} })
      if (step.prompt.name === 'consent') {
        return (await isWaiting(step)) ? showWaiting(ctx, step) : deciding.show(ctx, step)
      }
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

    login: withForm('login', (ctx, step) => login.post(ctx, step)),

    consent: withForm('consent', async (ctx, step) =>
      (await isWaiting(step)) ? showWaiting(ctx, step) : deciding.post(ctx, step),
    ),

    /** "Don't allow" and "Cancel": back to the app with access_denied (RFC 6749 §4.1.2.1). */
    abort: withForm(undefined, async (ctx, step) => {
      if (step.prompt.name === 'consent' && step.user_id) {
        await refuseConsent(db, step.user_id, step.client_id, { ...actorOf(ctx), id: step.user_id })
      }
      await step.finish(ctx, { error: 'access_denied', error_description: 'the user did not allow it' })
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
      // A pushed request has been unfolded into its parameters, and its address may be over.
      const { request_uri: _pushed, ...params } = step.params
      const query = new URLSearchParams(
        Object.entries(params).flatMap(([name, value]) =>
          [value].flat().map((one): [string, string] => [name, String(one)]),
        ),
      )
      ctx.status = 303
      ctx.redirect(`/auth?${query}`)
    }),
  }

  function seeStep(ctx: Context): void {
    ctx.status = 303
    ctx.redirect(`/interaction/${ctx.params.uid}`)
  }
}
