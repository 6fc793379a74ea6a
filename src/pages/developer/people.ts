// The people around a developer's app: its owners, who is invited to be one, and who may try it out while it waits.

import { InvalidMetadata } from '../../core/clients/metadata.ts'
import { findOwners, type Owner, removeOwner } from '../../core/clients/owners.ts'
import { appView } from '../../core/clients/presentation.ts'
import type { Client } from '../../core/clients/store.ts'
import {
  createInvitation,
  INVITATION_DAYS,
  listInvitations,
  withdrawInvitation,
} from '../../core/ownership/invitations.ts'
import {
  addTestUser,
  listTestUsers,
  MOST_TEST_USERS,
  removeTestUser,
} from '../../core/ownership/test-users.ts'
import { NotFound } from '../../http/errors.ts'
import { sentText } from '../../http/form.ts'
import { seeOther, takeNotice } from '../../http/notice.ts'
import { isUuid } from '../../http/query.ts'
import { throttle } from '../../http/throttle.ts'
import { when } from '../../http/time.ts'
import { actingUser, type SignedIn } from '../../protocol/guards.ts'
import { type DeveloperParts, frameOf, getOwnApp } from './own-client.ts'

type Errors = Record<string, string>

/** Handlers of /developer/apps/:client_id/owners and /test-users. @param parts.issuer where an invitation's link leads */
export function developerPeople({
  db,
  render,
  issuer,
  mailIsOn,
}: DeveloperParts & { issuer: string; mailIsOn: boolean }) {
  const invitations = throttle(db, {
    name: 'invite-owner',
    attempts: 30,
    seconds: 60 * 60,
    message: 'You have invited many people within an hour.',
  })
  const pathOf = (app: Client, part: string): string => `/developer/apps/${app.id}/${part}`
  const confirm = (ctx: SignedIn, app: Client, page: object, errors: Errors = {}): void =>
    render(
      ctx,
      'developer/confirm',
      {
        done: takeNotice(ctx),
        app: appView(app),
        action: ctx.path,
        cancel_href: pathOf(app, 'owners'),
        danger: false,
        ...page,
        errors,
      },
      Object.keys(errors).length > 0 ? 422 : 200,
    )
  const showTestUsers = async (ctx: SignedIn, app: Client, errors: Errors = {}): Promise<void> => {
    const emails = await listTestUsers(db, app.id)
    render(
      ctx,
      'developer/test-users',
      {
        ...frameOf(ctx, app),
        pending: app.state === 'pending' && !app.suspended_at,
        emails,
        most: MOST_TEST_USERS,
        values: { email: errors.email === undefined ? '' : sentText(ctx, 'email') },
        errors,
      },
      Object.keys(errors).length > 0 ? 422 : 200,
    )
  }
  const getOwner = async (app: Client, id: string): Promise<Owner> => {
    const owner = (await findOwners(db, app.id)).find((each) => each.id === id)
    if (!owner) throw new NotFound('That person does not look after this app.')
    return owner
  }

  return {
    testUsers: {
      show: async (ctx: SignedIn) => showTestUsers(ctx, await getOwnApp(db, ctx)),

      async send(ctx: SignedIn): Promise<void> {
        const app = await getOwnApp(db, ctx)
        try {
          const email = await addTestUser(db, app.id, sentText(ctx, 'email'), actingUser(ctx))
          if (email === undefined) throw new NotFound('There is no such app, or it is not yours.')
          seeOther(ctx, pathOf(app, 'test-users'), {
            heading: `${email} may try the app out.`,
            lines: ['Tell them yourself: they sign in with an account that has this address, confirmed.'],
          })
        } catch (error) {
          if (!(error instanceof InvalidMetadata)) throw error
          return showTestUsers(ctx, app, { email: `Email: ${error.problem}.` })
        }
      },

      async remove(ctx: SignedIn): Promise<void> {
        const app = await getOwnApp(db, ctx)
        const email = sentText(ctx, 'email')
        const removed = await removeTestUser(db, app.id, email, actingUser(ctx))
        seeOther(
          ctx,
          pathOf(app, 'test-users'),
          removed
            ? { heading: `${email} may no longer try the app out.` }
            : { heading: 'Nothing was changed: that address is not named.', tone: 'warning' },
        )
      },
    },

    owners: {
      async list(ctx: SignedIn): Promise<void> {
        const app = await getOwnApp(db, ctx)
        const [owners, invited] = await Promise.all([findOwners(db, app.id), listInvitations(db, app.id)])
        render(ctx, 'developer/owners', {
          ...frameOf(ctx, app),
          owners: owners.map((owner) => ({
            ...owner,
            is_me: owner.id === ctx.state.user.id,
            remove_href: pathOf(app, `owners/${owner.id}/remove`),
          })),
          invitations: invited.map(({ id, email, expires_at }) => ({
            email,
            ends: when(expires_at),
            withdraw_action: pathOf(app, `owners/invitations/${id}/withdraw`),
          })),
        })
      },

      invite: {
        async show(ctx: SignedIn): Promise<void> {
          const app = await getOwnApp(db, ctx)
          confirm(ctx, app, invitePage(app, mailIsOn))
        },
        async send(ctx: SignedIn): Promise<void> {
          const app = await getOwnApp(db, ctx)
          const typed = sentText(ctx, 'email')
          const by = actingUser(ctx)
          await invitations.count(by.id)
          try {
            const invitation = await createInvitation(db, app.id, typed, { mailed: mailIsOn }, by)
            if (!invitation) throw new NotFound('There is no such app, or it is not yours.')
            const { secret, email } = invitation
            if (secret === undefined) {
              return seeOther(ctx, pathOf(app, 'owners'), {
                heading: `${email} gets a mail with the invitation.`,
                lines: [
                  `It can be accepted once, within ${INVITATION_DAYS} days, by who signs in with that address.`,
                ],
              })
            }
            render(ctx, 'developer/invited', {
              app: appView(app),
              email,
              days: INVITATION_DAYS,
              link: `${issuer}/developer/invitations/${secret}`,
              next: { href: pathOf(app, 'owners'), label: `Go to the owners of ${app.name}` },
            })
          } catch (error) {
            if (!(error instanceof InvalidMetadata)) throw error
            confirm(ctx, app, invitePage(app, mailIsOn, typed), { email: `Email: ${error.problem}.` })
          }
        },
      },

      async withdraw(ctx: SignedIn): Promise<void> {
        const app = await getOwnApp(db, ctx)
        const id = String(ctx.params.invitation_id)
        const withdrawn = isUuid(id) && (await withdrawInvitation(db, app.id, id, actingUser(ctx)))
        if (!withdrawn) throw new NotFound('That invitation was accepted or withdrawn, or it is over.')
        seeOther(ctx, pathOf(app, 'owners'), { heading: 'The invitation is withdrawn. Its link is dead.' })
      },

      remove: {
        async show(ctx: SignedIn): Promise<void> {
          const app = await getOwnApp(db, ctx)
          const owner = await getOwner(app, String(ctx.params.user_id))
          confirm(ctx, app, removePage(app, owner, owner.id === ctx.state.user.id))
        },
        async send(ctx: SignedIn): Promise<void> {
          const app = await getOwnApp(db, ctx)
          const owner = await getOwner(app, String(ctx.params.user_id))
          const isMe = owner.id === ctx.state.user.id
          try {
            const removed = await removeOwner(db, app.id, owner.id, actingUser(ctx))
            if (!removed) throw new NotFound('That person does not look after this app.')
            const heading = isMe
              ? `You no longer look after ${app.name}.`
              : `${owner.email} no longer looks after ${app.name}.`
            seeOther(ctx, isMe ? '/developer' : pathOf(app, 'owners'), { heading })
          } catch (error) {
            if (!(error instanceof InvalidMetadata)) throw error
            confirm(ctx, app, removePage(app, owner, isMe), { form: sentence(error.problem) })
          }
        },
      },
    },
  }
}

function invitePage(app: Client, mailIsOn: boolean, typed = '') {
  return {
    heading: `Invite an owner of ${app.name}`,
    will: [
      mailIsOn
        ? 'They get a mail with a link.'
        : 'The next page shows a link, this once. Send it to them yourself.',
      `Who signs in with this address within ${INVITATION_DAYS} days and accepts can do everything that you can: edit the app, make secrets, delete it.`,
    ],
    will_not: ['The link serves nobody who has another address.'],
    confirm_label: mailIsOn ? 'Invite' : 'Make the link',
    field: {
      name: 'email',
      label: 'Email',
      hint: 'The address of their account here, e.g. sam@example.com.',
      kind: 'text',
      value: typed,
    },
  }
}

function removePage(app: Client, owner: Owner, isMe: boolean) {
  return {
    heading: isMe ? `Leave ${app.name}?` : `Remove ${owner.email} from ${app.name}?`,
    will: [
      isMe ? 'You no longer see or change this app.' : 'They no longer see or change this app.',
      ...(app.verified_at || app.first_party
        ? ['If nobody is left that an administrator vouched for, it is no longer verified, or first-party.']
        : []),
    ],
    will_not: [
      'The app goes on as it is. Its secrets stay valid: rotate them if they must not be known any more.',
    ],
    confirm_label: isMe ? 'Leave' : 'Remove',
    danger: true,
  }
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`
}
