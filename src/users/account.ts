// A person's own name and password.
import { z } from 'zod'
import { record } from '../audit/store.ts'
import type { Pool } from '../db/pool.ts'
import type { SignedIn } from '../guards.ts'
import { actorOf } from '../web/actor.ts'
import { readForm, sentText } from '../web/form.ts'
import { seeOther, takeNotice } from '../web/notice.ts'
import type { Render } from '../web/render.ts'
import { throttle } from '../web/throttle.ts'
import { personName } from './name.ts'
import { passwordProblem, verifyPassword } from './password.ts'
import { findCredentials, renameUser, setPassword } from './store.ts'

const nameForm = z.object({
  name: personName,
})

const passwordForm = z.object({
  current_password: z.string('Enter your current password.').min(1, 'Enter your current password.'),
  new_password: z.string('Choose a new password.').superRefine((password, issues) => {
    const message = passwordProblem(password)
    if (message) issues.addIssue({ code: 'custom', message })
  }),
})

/** Handlers of /account. */
export function profilePages({ db, render }: { db: Pool; render: Render }) {
  // Whoever sits down at an open session must not be able to guess the password from inside.
  const attempts = throttle(db, {
    name: 'change-password',
    attempts: 10,
    seconds: 15 * 60,
    message: 'Too many attempts to change the password.',
  })
  const show = (ctx: SignedIn, errors: Record<string, string> = {}, status = 200): void => {
    const { name, email } = ctx.state.user
    const values = { name: errors.name === undefined ? name : sentText(ctx, 'name') }
    render(ctx, 'account/profile', { values, email, errors, done: takeNotice(ctx)?.heading }, status)
  }
  return {
    show: (ctx: SignedIn) => show(ctx),

    async rename(ctx: SignedIn): Promise<void> {
      const { values, errors } = readForm(ctx, nameForm)
      if (errors) return show(ctx, errors, 422)
      const { user } = ctx.state
      await renameUser(db, user.id, values.name, { ...actorOf(ctx), id: user.id })
      seeOther(ctx, '/account', { heading: 'Your name was changed.' })
    },

    async changePassword(ctx: SignedIn): Promise<void> {
      const { values, errors } = readForm(ctx, passwordForm)
      if (errors) return show(ctx, errors, 422)
      const { user, sessionUid } = ctx.state
      await attempts.count(user.id)
      const credentials = await findCredentials(db, { id: user.id })
      const by = { ...actorOf(ctx), id: user.id }
      const verified = credentials?.password_hash ?? undefined
      const fits = await verifyPassword(verified, values.current_password)
      const context = { keepSessionUid: sessionUid, verified }
      if (!fits || !(await setPassword(db, user.id, values.new_password, by, context))) {
        await record(db, { type: 'password.change_failed', user_id: user.id }, by)
        return show(ctx, { current_password: 'That is not your current password.' }, 422)
      }
      await attempts.reset(user.id)
      seeOther(ctx, '/account', {
        heading: 'Your password was changed. You were signed out everywhere else.',
      })
    },
  }
}
