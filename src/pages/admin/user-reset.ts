// The links with which people choose a new password: an administrator has one made, and withdraws it.
import { sendReset, withdrawReset } from '../../core/users/reset-links.ts'
import { NotFound } from '../../http/errors.ts'
import { seeOther } from '../../http/notice.ts'
import { actingUser, type SignedIn } from '../../protocol/guards.ts'
import { confirmPages } from '../shared/confirm-page.ts'
import { getUser, userPath } from './user-path.ts'
import { type UserStep, type UserStepParts, userStepForm, userStepPage } from './user-steps.ts'

/** Forms of /admin/users/:user_id/send-reset and /withdraw-reset. @param parts.issuer where a link leads */
export function userReset(parts: UserStepParts & { issuer: string; mailIsOn: boolean }) {
  return { sendReset: sendForm(parts), withdrawReset: userStepForm(parts, withdrawStep(parts)) }
}

function sendForm(parts: UserStepParts & { issuer: string; mailIsOn: boolean }) {
  const { db, render, issuer, mailIsOn } = parts
  const confirm = confirmPages(render, 'admin')
  return {
    async show(ctx: SignedIn): Promise<void> {
      const user = await getUser(db, ctx)
      if (user.disabled_at) throw new NotFound(IS_DISABLED)
      confirm(ctx, userStepPage(sendStep(mailIsOn), user))
    },
    async send(ctx: SignedIn): Promise<void> {
      const user = await getUser(db, ctx)
      const sent = await sendReset(db, user.id, mailIsOn ? 'mail' : 'hand', actingUser(ctx))
      if (!sent) throw new NotFound(IS_DISABLED)
      const href = userPath(user.id)
      if (sent.path === undefined)
        return seeOther(ctx, href, { heading: `A mail to ${user.email} is on its way.` })
      render(ctx, 'admin/user-reset', {
        person: { name: user.name, email: user.email, href },
        link: issuer + sent.path,
      })
    },
  }
}

const IS_DISABLED = 'That account is disabled. Enable it first.'

function sendStep(mailIsOn: boolean): Omit<UserStep, 'run'> {
  const link = 'a link with which they choose a new password. It works once, for an hour'
  return {
    heading: ({ name }) => `Let ${name} choose a new password?`,
    will: ({ email }) => [
      mailIsOn ? `A mail to ${email} brings ${link} from when it is sent.` : `The next page shows ${link}.`,
      'A link that they got before ends.',
    ],
    will_not: [
      'Their password stays as it is until they choose another; then they are signed out everywhere.',
      ...(mailIsOn ? [] : ['Mail is off: nothing is sent. You hand them the link yourself.']),
    ],
    label: mailIsOn ? 'Send the link' : 'Make the link',
  }
}

function withdrawStep({ db }: UserStepParts): UserStep {
  return {
    heading: ({ name }) => `Withdraw the link for a new password of ${name}?`,
    will: () => ['The link that they were sent last works no more, also if it is still to be mailed.'],
    will_not: ['Their password stays as it is.'],
    label: 'Withdraw the link',
    async run(user, by) {
      if (await withdrawReset(db, user.id, by)) return { notice: { heading: 'The link is withdrawn.' } }
      return { notice: { heading: 'Nothing was changed: the link was used, or is over.', tone: 'warning' } }
    },
  }
}
