// Choosing a new password with a link that an administrator had sent. Nobody is signed in here.
import type { Context } from 'koa'
import { z } from 'zod'
import type { Pool } from '../db/pool.ts'
import type { Secrets } from '../secrets.ts'
import { actorOf } from '../web/actor.ts'
import { checkForm, csrfToken } from '../web/csrf.ts'
import { NotFound } from '../web/errors.ts'
import { readForm } from '../web/form.ts'
import type { Render } from '../web/render.ts'
import { placeOf, throttle } from '../web/throttle.ts'
import { passwordProblem } from './password.ts'
import { findResetLink, redeemResetLink } from './reset-links.ts'

const form = z.object({
  password: z.string('Choose a password.').superRefine((password, issues) => {
    const message = passwordProblem(password)
    if (message) issues.addIssue({ code: 'custom', message })
  }),
})

/** Handlers of /reset/:secret. */
export function resetPages({ db, secrets, render }: { db: Pool; secrets: Secrets; render: Render }) {
  const perAddress = throttle(db, {
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
  const show = (ctx: Context, email: string, errors: Record<string, string> = {}, status = 200): void => {
    const csrf = csrfToken(secrets, secretOf(ctx))
    render(ctx, 'reset/reset', { action: `/reset/${secretOf(ctx)}`, csrf, email, errors }, status)
  }
  return {
    async show(ctx: Context): Promise<void> {
      show(ctx, (await getLink(ctx)).email)
    },

    async choose(ctx: Context): Promise<void> {
      await perAddress.count(placeOf(ctx.ip))
      const { email } = await getLink(ctx)
      checkForm(ctx, secrets, secretOf(ctx))
      const { values, errors } = readForm(ctx, form)
      if (errors) return show(ctx, email, errors, 422)
      if (!(await redeemResetLink(db, secretOf(ctx), values.password, actorOf(ctx)))) throw over()
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
