// Choosing a new password with the link that an administrator sent. Nobody is signed in here.
import type { Context } from 'koa'
import { z } from 'zod'
import { digest } from '../../base/credentials.ts'
import type { Secrets } from '../../base/secrets.ts'
import { Busy, passwordProblem } from '../../core/users/password.ts'
import { findResetLink, redeemResetLink } from '../../core/users/reset-links.ts'
import type { Pool } from '../../db/pool.ts'
import { actorOf } from '../../http/actor.ts'
import { checkForm, csrfToken } from '../../http/csrf.ts'
import { NotFound } from '../../http/errors.ts'
import { type FormErrors, readForm } from '../../http/form.ts'
import type { Render } from '../../http/render.ts'
import { throttle } from '../../http/throttle.ts'
import { deviceOf } from '../../protocol/rules/device.ts'

const form = z.object({
  password: z.string('Choose a password.').superRefine((password, issues) => {
    const message = passwordProblem(password)
    if (message) issues.addIssue({ code: 'custom', message })
  }),
})

/** Handlers of /reset/:secret. */
export function resetPages({ db, secrets, render }: { db: Pool; secrets: Secrets; render: Render }) {
  // The limit is per link. Only holders of a link can make the server hash passwords; an unknown link is cheap.
  const perLink = throttle(db, {
    name: 'reset',
    attempts: 20,
    seconds: 15 * 60,
    message: 'Too many attempts to choose a password.',
  })
  const getLink = async (ctx: Context) => {
    const link = await findResetLink(db, secretOf(ctx))
    if (!link) throw over()
    return link
  }
  const show = (ctx: Context, email: string, errors: FormErrors = {}, status = 200): void => {
    const csrf = csrfToken(secrets, secretOf(ctx))
    render(ctx, 'account/reset', { action: `/reset/${secretOf(ctx)}`, csrf, email, errors }, status)
  }
  return {
    async show(ctx: Context): Promise<void> {
      const { email, is_used } = await getLink(ctx)
      if (is_used) throw over()
      show(ctx, email)
    },

    async choose(ctx: Context): Promise<void> {
      const { email, is_used } = await getLink(ctx)
      const link = digest(secretOf(ctx)).toString('base64url')
      await perLink.count(link)
      checkForm(ctx, secrets, secretOf(ctx))
      const { values, errors } = readForm(ctx, form)
      if (errors && !is_used) return show(ctx, email, errors, 422)
      if (errors) throw over()
      const device_id = deviceOf(ctx).id
      const redeemed = await redeemResetLink(db, secretOf(ctx), values.password, actorOf(ctx), {
        device_id,
      }).catch(async (error) => {
        if (error instanceof Busy) await perLink.forgive(link)
        throw error
      })
      if (!redeemed) throw over()
      ctx.status = 303
      ctx.redirect('/reset/done')
    },

    done(ctx: Context): void {
      render(ctx, 'message', {
        heading: 'You have a new password',
        text: 'You were signed out everywhere, on every device. Apps keep the access you gave them.',
        tone: 'good',
        link: { href: '/account', label: 'Sign in' },
      })
    },
  }
}

function over(): NotFound {
  const refusal = new NotFound(
    'It was used already, it is older than an hour, or a newer one was sent to you. Ask an administrator for another.',
  )
  refusal.heading = 'This link is over'
  return refusal
}

function secretOf(ctx: Context): string {
  return String(ctx.params.secret)
}
