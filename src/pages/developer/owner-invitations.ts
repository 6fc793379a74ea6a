// Inviting somebody to own an app, and withdrawing the invitation. invitation.ts has the pages for the invited person.
import { isUuid } from '../../base/ids.ts'
import { InvalidMetadata } from '../../core/clients/metadata.ts'
import { appView } from '../../core/clients/presentation.ts'
import type { Client } from '../../core/clients/store.ts'
import { createInvitation, INVITATION_DAYS, withdrawInvitation } from '../../core/ownership/invitations.ts'
import { NotFound } from '../../http/errors.ts'
import { sentText } from '../../http/form.ts'
import { seeOther } from '../../http/notice.ts'

import { throttle } from '../../http/throttle.ts'
import { actingUser, type SignedIn } from '../../protocol/guards.ts'
import { type Confirmation, confirmPages } from '../shared/confirm-page.ts'
import { type DeveloperParts, getOwnApp, NO_SUCH_APP, ownAppPath } from './own-client.ts'

/** What these pages are made of. */
export interface InvitationParts extends DeveloperParts {
  /** Where the link of an invitation leads. */
  issuer: string
  mailIsOn: boolean
}

/** Handlers of /developer/apps/:client_id/owners/invite and /owners/invitations/:invitation_id/withdraw. */
export function ownerInvitations(parts: InvitationParts) {
  const { db } = parts
  return {
    invite: inviteForm(parts),

    async withdraw(ctx: SignedIn): Promise<void> {
      const app = await getOwnApp(db, ctx)
      const id = String(ctx.params.invitation_id)
      const withdrawn = isUuid(id) && (await withdrawInvitation(db, app.id, id, actingUser(ctx)))
      if (!withdrawn) throw new NotFound('That invitation was accepted or withdrawn, or it is over.')
      const heading = 'The invitation is withdrawn. Its link is dead.'
      seeOther(ctx, ownAppPath(app.id, 'owners'), { heading })
    },
  }
}

function inviteForm(parts: InvitationParts) {
  const { db, render, mailIsOn } = parts
  const confirm = confirmPages(render, 'account')
  const invitations = throttle(db, {
    name: 'invite-owner',
    attempts: 30,
    seconds: 60 * 60,
    message: 'You have invited many people within an hour.',
  })
  return {
    async show(ctx: SignedIn): Promise<void> {
      confirm(ctx, invitePage(await getOwnApp(db, ctx), mailIsOn))
    },
    async send(ctx: SignedIn): Promise<void> {
      const app = await getOwnApp(db, ctx)
      const typed = sentText(ctx, 'email')
      const by = actingUser(ctx)
      await invitations.count(by.id)
      try {
        const invitation = await createInvitation(db, app.id, typed, { mailed: mailIsOn }, by)
        if (!invitation) throw new NotFound(NO_SUCH_APP)
        showInvited(parts, ctx, app, invitation)
      } catch (error) {
        if (!(error instanceof InvalidMetadata)) throw error
        confirm(ctx, invitePage(app, mailIsOn, typed), { email: `Email: ${error.problem}.` })
      }
    },
  }
}

// Without a secret the invitation goes by mail.
function showInvited(
  { render, issuer }: InvitationParts,
  ctx: SignedIn,
  app: Client,
  { secret, email }: { secret: string | undefined; email: string },
): void {
  const owners = ownAppPath(app.id, 'owners')
  if (secret === undefined) {
    const line = `It can be accepted once, within ${INVITATION_DAYS} days, by who signs in with that address.`
    seeOther(ctx, owners, { heading: `${email} gets a mail with the invitation.`, lines: [line] })
    return
  }
  render(ctx, 'developer/invited', {
    app: appView(app),
    email,
    days: INVITATION_DAYS,
    link: `${issuer}/developer/invitations/${secret}`,
    next: { href: owners, label: `Go to the owners of ${app.name}` },
  })
}

function invitePage(app: Client, mailIsOn: boolean, typed = ''): Confirmation {
  return {
    app: appView(app),
    heading: `Invite an owner of ${app.name}`,
    will: [
      mailIsOn
        ? 'They get a mail with a link.'
        : 'The next page shows a link, this once. Send it to them yourself.',
      `Who signs in with this address within ${INVITATION_DAYS} days and accepts can do everything that you can: edit the app, make secrets, delete it.`,
    ],
    will_not: ['The link serves nobody who has another address.'],
    confirm_label: mailIsOn ? 'Invite' : 'Make the link',
    cancel_href: ownAppPath(app.id, 'owners'),
    field: {
      name: 'email',
      label: 'Email',
      hint: 'The address of their account here, e.g. sam@example.com.',
      kind: 'text',
      value: typed,
    },
  }
}
