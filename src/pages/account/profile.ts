// Where people change their own name and password.
import { z } from 'zod'
import { listEvents, record } from '../../core/audit/store.ts'
import { personName } from '../../core/users/name.ts'
import { Busy, passwordProblem, verifyPassword } from '../../core/users/password.ts'
import { findCredentials, setPassword } from '../../core/users/sign-in.ts'
import { renameUser } from '../../core/users/store.ts'
import type { Pool } from '../../db/pool.ts'
import { actorOf } from '../../http/actor.ts'
import { type FormErrors, readForm, sentText } from '../../http/form.ts'
import { seeOther, takeNotice } from '../../http/notice.ts'
import type { Render } from '../../http/render.ts'
import { throttle } from '../../http/throttle.ts'
import type { SignedIn } from '../../protocol/guards.ts'
import { deviceOf } from '../../protocol/rules/device.ts'

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

// A form that has set the password may be sent again for so long. The change is looked for among so many of the person's last events.
const SENT_AGAIN_MS = 10 * 60_000
const LAST_EVENTS = 20

/** Handlers of /account. */
export function profilePages({ db, render }: { db: Pool; render: Render }) {
  // The limit is per session. Somebody at a browser that was left signed in must not be able to guess the password, nor to use the limit
  // up for its owner, who is in another session.
  // Right passwords count, too: each change is recorded for good, and no other limit applies here, because changing the password is how
  // people sign out everywhere.
  const attempts = throttle(db, {
    name: 'change-password',
    attempts: 10,
    seconds: 15 * 60,
    message: 'Too many attempts to change the password.',
  })
  // The new password is compared only after such a change. Otherwise each attempt would try two passwords.
  const hasJustChanged = async (user_id: string): Promise<boolean> => {
    const events = await listEvents(db, { user_id, limit: LAST_EVENTS })
    return events.some(
      ({ type, at }) => type === 'password.changed' && Date.now() - at.getTime() < SENT_AGAIN_MS,
    )
  }
  const show = (ctx: SignedIn, errors: FormErrors = {}, status = 200): void => {
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
      const renamed = await renameUser(db, user.id, values.name, { ...actorOf(ctx), id: user.id })
      seeOther(ctx, '/account', {
        heading: renamed ? 'Your name was changed.' : 'Your name is as it was.',
      })
    },

    async changePassword(ctx: SignedIn): Promise<void> {
      const { values, errors } = readForm(ctx, passwordForm)
      if (errors) return show(ctx, errors, 422)
      const { user, sessionUid } = ctx.state
      await attempts.count(sessionUid)
      const credentials = await findCredentials(db, { id: user.id })
      const by = { ...actorOf(ctx), id: user.id }
      const verified = credentials?.password_hash ?? undefined
      const context = { keepSessionUid: sessionUid, device_id: deviceOf(ctx).id, verified }
      let isWrong = false
      const change = async () => {
        isWrong = !(await verifyPassword(verified, values.current_password, 'known'))
        if (!isWrong) return setPassword(db, user.id, values.new_password, by, context)
        // The answer to the same form may have been lost.
        return (await hasJustChanged(user.id)) && verifyPassword(verified, values.new_password, 'known')
      }
      const changed = await change().catch(async (error) => {
        // A wrong password stays counted, whatever failed after it.
        if (error instanceof Busy && !isWrong) await attempts.forgive(sessionUid)
        throw error
      })
      if (!changed) {
        await record(db, { type: 'password.change_failed', user_id: user.id }, by)
        return show(ctx, { current_password: 'That is not your current password.' }, 422)
      }
      seeOther(ctx, '/account', {
        heading: 'Your password was changed. You were signed out everywhere else.',
      })
    },
  }
}
