// Signing in, where an authorization request stops for it. The password is checked here and nowhere else.
import type { Context } from 'koa'
import { z } from 'zod'
import type { AuditEvent } from '../../base/audit-events.ts'
import { digest } from '../../base/credentials.ts'
import { record } from '../../core/audit/store.ts'
import { Busy, hashPassword, needsRehash, verifyPassword } from '../../core/users/password.ts'
import { findCredentials, noteSignIn } from '../../core/users/sign-in.ts'
import { normalEmail } from '../../core/users/store.ts'
import type { Pool } from '../../db/pool.ts'
import { actorOf } from '../../http/actor.ts'
import { type BlockLimits, TooManyOfBlock } from '../../http/block-limits.ts'
import { TooManyRequests } from '../../http/errors.ts'
import { readForm, sentText } from '../../http/form.ts'
import { currentDeviceId, deviceOf } from '../rules/device.ts'
import { type Counted, signInAttempts } from './attempts.ts'
import type { Step } from './step.ts'

const form = z.object({
  email: z
    .string('Enter your email address.')
    .trim()
    .min(1, 'Enter your email address.')
    .max(320, 'That is too long for an email address.'),
  password: z.string('Enter your password.').min(1, 'Enter your password.'),
})

const WRONG = 'That email address and password do not fit together.'

/** The page and the post of a sign-in. */
export function signIn({ db, limits }: { db: Pool; limits: BlockLimits }) {
  const count = signInAttempts(db, limits)

  return {
    /** Shows the form. */
    show(ctx: Context, step: Step, errors: Record<string, string> = {}, status = 200): void {
      const email = sentText(ctx, 'email') || hint(step)
      step.show(ctx, 'protocol/login', { action: step.path('login'), values: { email }, errors }, status)
    },

    /** Checks what was sent; the interaction goes on when it was right. */
    async post(ctx: Context, step: Step): Promise<void> {
      const { values, errors } = readForm(ctx, form)
      if (errors) return this.show(ctx, step, errors, 422)
      const email = normalEmail(values.email)
      const by = actorOf(ctx)
      const client_id = step.app?.id
      const browser = { device_id: currentDeviceId(ctx), session_uid: step.session_uid }
      const user = await findCredentials(db, { email }, browser)
      const known_by = user?.known_by ?? null

      let attempt: Counted
      try {
        // Counted before the password is looked at: parallel guesses cannot slip through together. Addresses of people are
        // not kept in clear where they need not be.
        const account = digest(email).toString('base64url')
        attempt = await count({ account, ip: ctx.ip, known_by })
      } catch (refusal) {
        if (!(refusal instanceof TooManyRequests)) throw refusal
        if (refusal.crossed) await record(db, limited(refusal, user?.id), by)
        ctx.set(refusal.headers)
        return this.show(ctx, step, { form: refusal.message }, 429)
      }
      const who = known_by === null ? 'unknown' : 'known'
      const matches = await verifyPassword(user?.password_hash, values.password, who).catch(async (error) => {
        if (error instanceof Busy) await attempt.forgive()
        throw error
      })
      if (!user || !matches || user.disabled_at) {
        const reason = !user ? 'unknown' : matches ? 'disabled' : 'wrong_password'
        await record(db, { type: 'sign_in.failed', user_id: user?.id, client_id, reason }, by)
        return this.show(ctx, step, { form: WRONG }, 422)
      }
      const { hinted_sub } = step.params
      if (hinted_sub !== undefined && hinted_sub !== user.id) {
        await step.decide(ctx, async (t) => {
          // Otherwise the app's hint of one account would let passwords of others be tried, and nobody would see that one was right.
          await record(
            t,
            { type: 'sign_in.failed', user_id: user.id, client_id, reason: 'other_account' },
            by,
          )
          return { error: 'login_required', error_description: 'another account was asked for' }
        })
        return
      }
      const rehashed = needsRehash(user.password_hash!)
        ? await hashPassword(values.password).catch(notWhileBusy)
        : undefined
      const sign_in = { client_id, device_id: deviceOf(ctx).id, verified: user.password_hash!, rehashed }
      // When they signed in, however late the browser goes on.
      const ts = Math.floor(Date.now() / 1000)
      const isIn = await step
        .decide(ctx, async (t) => {
          const epoch = await noteSignIn(t, user.id, sign_in, { ...by, id: user.id })
          return epoch === undefined ? undefined : { login: { accountId: user.id, amr: ['pwd'], epoch, ts } }
        })
        .catch((error) => {
          // The password was right: who sends it again after a 503 must not have used up their attempts.
          void attempt.forgive().catch(() => {})
          throw error
        })
      // Changed or disabled while it was being checked.
      if (!isIn) return this.show(ctx, step, { form: WRONG }, 422)
      await attempt.clear()
    },
  }
}

// Of a block it is about nobody: whoever walks through it tries one after the other, and what else they try is not recorded.
function limited(refusal: TooManyRequests, user_id: string | undefined): AuditEvent {
  const block = refusal instanceof TooManyOfBlock ? refusal.block : undefined
  return { type: 'sign_in.limited', ...(block ? { block } : { user_id }) }
}

// Another sign-in will do it.
function notWhileBusy(error: unknown): undefined {
  if (!(error instanceof Busy)) throw error
}

function hint(step: Step): string {
  const { login_hint } = step.params
  return typeof login_hint === 'string' ? login_hint.slice(0, 320) : ''
}
