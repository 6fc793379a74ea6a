// The addresses an authorization request stops at: which page is due, and what was decided there.
import type { Context } from 'koa'
import { refuseConsent } from '../../core/grants/consents.ts'
import type { ResourceDirectory } from '../../core/resources/cache.ts'
import { signInEpoch } from '../../core/users/sign-in.ts'
import { findUser } from '../../core/users/store.ts'
import type { Pool } from '../../db/pool.ts'
import { actorOf } from '../../http/actor.ts'
import type { BlockLimits } from '../../http/block-limits.ts'
import { NotFound, TooManyRequests } from '../../http/errors.ts'
import type { Throttle } from '../../http/throttle.ts'
import { currentSession, endSession } from '../rules/session.ts'
import { reopenDeviceCode } from '../storage/device-codes.ts'
import { consent } from './consent.ts'
import { deadEnds } from './dead-ends.ts'
import { signIn } from './login.ts'
import type { Step } from './step.ts'
import { type StepParts, seeStep, steps } from './steps.ts'

/** What these pages stand on. */
export interface InteractionParts extends StepParts {
  resources: ResourceDirectory
  /** Counts what a person decides, by account. */
  changes: Throttle
  limits: BlockLimits
}

/** Handlers of /interaction/:uid and below. */
export function interactionPages(parts: InteractionParts) {
  const { db } = parts
  const { isWaiting, ...ends } = deadEnds(parts)
  const { withStep, withForm } = steps(parts, ends)
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

  return {
    back: (ctx: Context) => seeStep(ctx),

    show: withStep(async (ctx, step) => {
      if (step.isDecided) return step.goOn(ctx)
      // Our own pages ask for no consent, even where a link says prompt=consent.
      if (step.prompt.name === 'consent' && !step.app) return step.finish(ctx, { consent: {} })
      if (step.prompt.name === 'consent') {
        return (await isWaiting(step)) ? ends.showWaiting(ctx, step) : deciding.show(ctx, step)
      }
      if (step.prompt.name === 'select_account') return showAccounts(db, ctx, step)
      const meanwhile = await signInOfOtherTab(parts, ctx, step)
      return meanwhile ? step.finish(ctx, { login: meanwhile }) : login.show(ctx, step)
    }),

    /** Goes on as who is signed in (OpenID Connect Core §3.1.2.1, prompt=select_account). */
    select: withForm('select_account', (ctx, step) =>
      step.finish(ctx, { select_account: { accountId: step.user_id } }),
    ),

    login: withForm('login', (ctx, step) => login.post(ctx, step)),

    consent: withForm('consent', async (ctx, step) => {
      if (await isWaiting(step)) return ends.showWaiting(ctx, step)
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
}

async function showAccounts(db: Pool, ctx: Context, step: Step): Promise<void> {
  const user = await findUser(db, step.user_id!)
  if (!user) throw new NotFound()
  step.show(ctx, 'protocol/select-account', {
    action: step.path('select'),
    other_account_action: step.path('switch'),
    account: { email: user.email, name: user.name },
  })
}

// Signed in meanwhile in another tab: nothing is left to ask.
async function signInOfOtherTab({ db, provider }: InteractionParts, ctx: Context, step: Step) {
  const { accountId } = await currentSession(provider(), ctx)
  const asks = step.prompt.reasons.some((reason) => reason !== 'no_session')
  if (!accountId || asks) return undefined
  const epoch = await signInEpoch(db, accountId)
  // Read after the epoch: a session that lives now belongs to it.
  const { accountId: still, loginTs: ts, amr, acr } = await currentSession(provider(), ctx)
  return still === accountId && epoch !== undefined ? { accountId, ts, amr, acr, epoch } : undefined
}
