// Creating the first administrator, with the link that the server prints when there is none.
import type { Context } from 'koa'
import { z } from 'zod'
import type { Pool } from '../db/pool.ts'
import type { Secrets } from '../secrets.ts'
import { actorOf } from '../web/actor.ts'
import { checkForm, csrfToken } from '../web/csrf.ts'
import { NotFound } from '../web/errors.ts'
import { readForm, sentText } from '../web/form.ts'
import type { Render } from '../web/render.ts'
import { personName } from './name.ts'
import { passwordProblem } from './password.ts'
import { EmailTaken, isSetupLinkOpen, redeemSetupLink } from './store.ts'

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
  const show = (ctx: Context, errors: Record<string, string> = {}, status = 200): void => {
    const values = { name: sentText(ctx, 'name'), email: sentText(ctx, 'email') }
    const csrf = csrfToken(secrets, secretOf(ctx))
    render(ctx, 'setup/setup', { action: `/setup/${secretOf(ctx)}`, csrf, values, errors }, status)
  }
  return {
    async show(ctx: Context): Promise<void> {
      if (!(await isSetupLinkOpen(db, secretOf(ctx)))) throw new NotFound(OVER)
      show(ctx)
    },

    async create(ctx: Context): Promise<void> {
      if (!(await isSetupLinkOpen(db, secretOf(ctx)))) throw new NotFound(OVER)
      checkForm(ctx, secrets, secretOf(ctx))
      const { values, errors } = readForm(ctx, form)
      if (errors) return show(ctx, errors, 422)
      try {
        const user = await redeemSetupLink(db, secretOf(ctx), values, actorOf(ctx))
        if (!user) throw new NotFound(OVER)
      } catch (error) {
        if (!(error instanceof EmailTaken)) throw error
        return show(ctx, { email: 'This address has an account already.' }, 422)
      }
      ctx.status = 303
      ctx.redirect('/account')
    },
  }
}

const OVER =
  'This link was used already, or it is too old. The server prints a new one when it starts without an administrator.'

function secretOf(ctx: Context): string {
  return String(ctx.params.secret)
}
