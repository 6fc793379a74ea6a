// Signing in, where an authorization request stops for it. The password is checked here and nowhere else.
import type { Context } from 'koa'
import { z } from 'zod'
import { record } from '../audit/store.ts'
import { digest } from '../credentials.ts'
import type { Pool } from '../db/pool.ts'
import { hashPassword, needsRehash, verifyPassword } from '../users/password.ts'
import { findCredentials, normalEmail, noteSignIn } from '../users/store.ts'
import { actorOf } from '../web/actor.ts'
import { TooManyRequests } from '../web/errors.ts'
import { readForm, sentText } from '../web/form.ts'
import { placeOf, throttle } from '../web/throttle.ts'
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
const MESSAGE = 'Too many attempts to sign in.'
const QUARTER = 15 * 60

/** The page and the post of a sign-in. */
export function signIn({ db }: { db: Pool }) {
  // By account and address, so that nobody can lock a stranger out from elsewhere; by account, so that many addresses
  // together cannot guess on; by address, so that one cannot try one password on everybody (ASVS 6.3.1).
  const limit = (name: string, attempts: number, seconds: number) =>
    throttle(db, { name, attempts, seconds, message: MESSAGE })
  const pairs = limit('sign-in', 5, QUARTER)
  const accounts = limit('sign-in-account', 50, QUARTER * 4)
  const addresses = limit('sign-in-address', 50, QUARTER)

  return {
    /** Shows the form. */
    show(ctx: Context, step: Step, errors: Record<string, string> = {}, status = 200): void {
      const email = sentText(ctx, 'email') || hint(step)
      step.show(ctx, 'interaction/login', { action: step.path('login'), values: { email }, errors }, status)
    },

    /** Checks what was sent; the interaction goes on when it was right. */
    async post(ctx: Context, step: Step): Promise<void> {
      const { values, errors } = readForm(ctx, form)
      if (errors) return this.show(ctx, step, errors, 422)
      const email = normalEmail(values.email)
      // Addresses of people are not kept in clear where they need not be.
      const account = digest(email).toString('base64url')
      const place = placeOf(ctx.ip)
      const by = actorOf(ctx)
      const client_id = step.app?.id

      try {
        // Counted before the password is looked at: parallel guesses cannot slip through together.
        await pairs.count(`${account} ${place}`)
        await accounts.count(account)
        await addresses.count(place)
      } catch (refusal) {
        if (!(refusal instanceof TooManyRequests)) throw refusal
        if (refusal.crossed) {
          const user = await findCredentials(db, { email })
          await record(db, { type: 'sign_in.limited', user_id: user?.id }, by)
        }
        ctx.set(refusal.headers)
        return this.show(ctx, step, { form: refusal.message }, 429)
      }
      const user = await findCredentials(db, { email })
      const matches = await verifyPassword(user?.password_hash, values.password)
      if (!user || !matches || user.disabled_at) {
        const reason = !user ? 'unknown' : matches ? 'disabled' : 'wrong_password'
        await record(db, { type: 'sign_in.failed', user_id: user?.id, client_id, reason }, by)
        return this.show(ctx, step, { form: WRONG }, 422)
      }
      const { hinted_sub } = step.params
      if (hinted_sub !== undefined && hinted_sub !== user.id) {
        return step.finish(ctx, {
          error: 'login_required',
          error_description: 'another account was asked for',
        })
      }
      const rehashed = needsRehash(user.password_hash!) ? await hashPassword(values.password) : undefined
      const verified = user.password_hash!
      const epoch = await noteSignIn(db, user.id, { client_id, verified, rehashed }, { ...by, id: user.id })
      // Changed or disabled while it was being checked.
      if (epoch === undefined) return this.show(ctx, step, { form: WRONG }, 422)
      // The person has shown who they are; what others try elsewhere goes on counting.
      await Promise.all([
        pairs.reset(`${account} ${place}`),
        accounts.forgive(account),
        addresses.forgive(place),
      ])
      await step.finish(ctx, { login: { accountId: user.id, amr: ['pwd'], epoch } })
    },
  }
}

function hint(step: Step): string {
  const { login_hint } = step.params
  return typeof login_hint === 'string' ? login_hint.slice(0, 320) : ''
}
