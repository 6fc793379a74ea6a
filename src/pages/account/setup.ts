// Creating the first administrator, with the link that the server prints when there is none.
import type { Context } from 'koa'
import { z } from 'zod'
import { digest } from '../../base/credentials.ts'
import type { Secrets } from '../../base/secrets.ts'
import { personName } from '../../core/users/name.ts'
import { passwordProblem } from '../../core/users/password.ts'
import { findSetupLink, redeemSetupLink } from '../../core/users/setup-links.ts'
import { EmailTaken } from '../../core/users/store.ts'
import type { Pool } from '../../db/pool.ts'
import { actorOf } from '../../http/actor.ts'
import { checkForm, csrfToken } from '../../http/csrf.ts'
import { NotFound } from '../../http/errors.ts'
import { type FormErrors, readForm, sentText } from '../../http/form.ts'
import type { Render } from '../../http/render.ts'
import { throttle } from '../../http/throttle.ts'
import { deviceOf } from '../../protocol/rules/device.ts'

const form = z.object({
  name: personName,
  email: z
    .string('Enter your email address.')
    .trim()
    .pipe(z.email('Enter an email address, e.g. you@example.com.').max(320)),
  password: z.string('Choose a password.').superRefine((password, issues) => {
    const message = passwordProblem(password)
    if (message) issues.addIssue({ code: 'custom', message })
  }),
})

/** Handlers of /setup/:secret. */
export function setupPages({ db, secrets, render }: { db: Pool; secrets: Secrets; render: Render }) {
  // A link that was used already is compared with the administrator's password, so attempts are limited.
  const sentAgain = throttle(db, {
    name: 'setup-again',
    attempts: 20,
    seconds: 15 * 60,
    message: 'Too many attempts with this link.',
  })
  const show = (ctx: Context, errors: FormErrors = {}, status = 200): void => {
    const values = { name: sentText(ctx, 'name'), email: sentText(ctx, 'email') }
    const csrf = csrfToken(secrets, secretOf(ctx))
    render(ctx, 'account/setup', { action: `/setup/${secretOf(ctx)}`, csrf, values, errors }, status)
  }
  return {
    async show(ctx: Context): Promise<void> {
      if ((await findSetupLink(db, secretOf(ctx))) !== 'open') throw over()
      show(ctx)
    },

    async create(ctx: Context): Promise<void> {
      const link = await findSetupLink(db, secretOf(ctx))
      if (!link) throw over()
      checkForm(ctx, secrets, secretOf(ctx))
      const { values, errors } = readForm(ctx, form)
      if (errors && link === 'open') return show(ctx, errors, 422)
      if (errors) throw over()
      if (link === 'used') await sentAgain.count(digest(secretOf(ctx)).toString('base64url'))
      try {
        const device_id = deviceOf(ctx).id
        if (!(await redeemSetupLink(db, secretOf(ctx), values, actorOf(ctx), { device_id }))) throw over()
      } catch (error) {
        if (!(error instanceof EmailTaken)) throw error
        return show(ctx, { email: 'This address has an account already.' }, 422)
      }
      ctx.status = 303
      ctx.redirect('/account')
    },
  }
}

function over(): NotFound {
  const refusal = new NotFound(
    'This link was used already, or it is too old. The server prints a new one when it starts without an administrator.',
  )
  refusal.heading = 'This link is over'
  return refusal
}

function secretOf(ctx: Context): string {
  return String(ctx.params.secret)
}
