// The owners of a developer's app: the people who look after it.
import { InvalidMetadata } from '../../core/clients/metadata.ts'
import { findOwners, type Owner, removeOwner } from '../../core/clients/owners.ts'
import { appView } from '../../core/clients/presentation.ts'
import type { Client } from '../../core/clients/store.ts'
import { listInvitations } from '../../core/ownership/invitations.ts'
import { NotFound } from '../../http/errors.ts'
import { seeOther } from '../../http/notice.ts'
import { when } from '../../http/time.ts'
import { actingUser, type SignedIn } from '../../protocol/guards.ts'
import { type Confirmation, confirmPages } from '../shared/confirm-page.ts'
import { type DeveloperParts, getOwnApp, headOf, ownAppPath } from './own-client.ts'
import { type InvitationParts, ownerInvitations } from './owner-invitations.ts'

/** Handlers of /developer/apps/:client_id/owners and below. */
export function developerOwners(parts: InvitationParts) {
  const { db, render } = parts
  return {
    async list(ctx: SignedIn): Promise<void> {
      const app = await getOwnApp(db, ctx)
      const [owners, invited] = await Promise.all([findOwners(db, app.id), listInvitations(db, app.id)])
      render(ctx, 'developer/owners', {
        ...headOf(ctx, app),
        owners: owners.map((owner) => ({
          ...owner,
          is_me: owner.id === ctx.state.user.id,
          remove_href: ownAppPath(app.id, `owners/${owner.id}/remove`),
        })),
        invitations: invited.map(({ id, email, expires_at }) => ({
          email,
          ends: when(expires_at),
          withdraw_action: ownAppPath(app.id, `owners/invitations/${id}/withdraw`),
        })),
      })
    },

    ...ownerInvitations(parts),
    remove: removeForm(parts),
  }
}

function removeForm({ db, render }: DeveloperParts) {
  const confirm = confirmPages(render, 'account')
  const getOwner = async (app: Client, id: string): Promise<Owner> => {
    const owner = (await findOwners(db, app.id)).find((each) => each.id === id)
    if (!owner) throw new NotFound(IS_NO_OWNER)
    return owner
  }
  return {
    async show(ctx: SignedIn): Promise<void> {
      const app = await getOwnApp(db, ctx)
      const owner = await getOwner(app, String(ctx.params.user_id))
      confirm(ctx, removePage(app, owner, owner.id === ctx.state.user.id))
    },
    async send(ctx: SignedIn): Promise<void> {
      const app = await getOwnApp(db, ctx)
      const owner = await getOwner(app, String(ctx.params.user_id))
      const isMe = owner.id === ctx.state.user.id
      try {
        const removed = await removeOwner(db, app.id, owner.id, actingUser(ctx))
        if (!removed) throw new NotFound(IS_NO_OWNER)
        const heading = isMe
          ? `You no longer look after ${app.name}.`
          : `${owner.email} no longer looks after ${app.name}.`
        seeOther(ctx, isMe ? '/developer' : ownAppPath(app.id, 'owners'), { heading })
      } catch (error) {
        if (!(error instanceof InvalidMetadata)) throw error
        confirm(ctx, removePage(app, owner, isMe), { form: sentence(error.problem) })
      }
    },
  }
}

const IS_NO_OWNER = 'That person does not look after this app.'

function removePage(app: Client, owner: Owner, isMe: boolean): Confirmation {
  return {
    app: appView(app),
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
    cancel_href: ownAppPath(app.id, 'owners'),
  }
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`
}
