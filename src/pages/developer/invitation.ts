// Accepting an invitation to look after an app. The secret of the link moves from the address into a cookie at once: browsers keep
// addresses in their history, and the server stores the address that a sign-in returns to.
import type { Context } from 'koa'
import { MOST_APPS, TooManyApps } from '../../core/clients/owners.ts'
import { appView } from '../../core/clients/presentation.ts'
import type { Client } from '../../core/clients/store.ts'
import { acceptInvitation, findInvitation } from '../../core/ownership/invitations.ts'
import { HttpError, NotFound } from '../../http/errors.ts'
import { seeOther } from '../../http/notice.ts'
import { actingUser, type SignedIn } from '../../protocol/guards.ts'
import { type Confirmation, confirmPages } from '../shared/confirm-page.ts'
import { type DeveloperParts, ownAppPath } from './own-client.ts'

const COOKIE = '_invitation'
const PATH = '/developer/invitation'
const MINUTES = 60

/** Handlers of /developer/invitations/:secret and /developer/invitation. */
export function developerInvitation({ db, render }: DeveloperParts) {
  const getInvitation = async (ctx: SignedIn) => {
    const secret = ctx.cookies.get(COOKIE, { signed: true })
    const found = secret && (await findInvitation(db, secret, ctx.state.user))
    if (!secret || !found) throw new NotFound(OVER)
    if (!found.is_theirs) throw notTheirs(ctx)
    return { ...found, secret }
  }
  const confirm = confirmPages(render, 'account')

  return {
    /** What the link opens, for everybody, signed in or not. */
    enter(ctx: Context): void {
      const secret = String(ctx.params.secret)
      if (!/^[\w-]{43}$/.test(secret)) throw new NotFound(OVER)
      ctx.cookies.set(COOKIE, secret, {
        httpOnly: true,
        sameSite: 'lax',
        signed: true,
        path: PATH,
        maxAge: MINUTES * 60_000,
      })
      ctx.set('Cache-Control', 'no-store')
      seeOther(ctx, PATH)
    },

    async show(ctx: SignedIn): Promise<void> {
      const { client, is_accepted } = await getInvitation(ctx)
      if (is_accepted) throw new NotFound(OVER)
      confirm(ctx, acceptPage(client))
    },

    async accept(ctx: SignedIn): Promise<void> {
      const { client, secret } = await getInvitation(ctx)
      try {
        if (!(await acceptInvitation(db, secret, actingUser(ctx)))) throw new NotFound(OVER)
      } catch (error) {
        if (!(error instanceof TooManyApps)) throw error
        return confirm(ctx, acceptPage(client), {
          form: `You look after ${MOST_APPS} apps already, and nobody may look after more.`,
        })
      }
      ctx.cookies.set(COOKIE, null, { path: PATH })
      seeOther(ctx, ownAppPath(client.id), { heading: `You look after ${client.name} now.` })
    },
  }
}

const OVER = 'This invitation was accepted or withdrawn, or it is too old. Ask for another one.'

function acceptPage(client: Client): Confirmation {
  return {
    app: appView(client),
    heading: `Look after ${client.name}?`,
    will: [
      'You see this app and everything about it, and can edit it, make secrets and delete it.',
      'Its other owners see your name and your email address.',
    ],
    will_not: ['Nothing changes for the people who use it.'],
    confirm_label: 'Accept',
    cancel_href: '/developer',
  }
}

function notTheirs(ctx: SignedIn): HttpError {
  const { email, email_verified } = ctx.state.user
  const why = email_verified
    ? `It is for another email address than ${email}. Sign out, open the link again, and sign in with the account that it is for.`
    : `It can be accepted only by an account whose email address is confirmed, and ${email} is not.`
  const refusal = new HttpError(403, 'not_invited', why)
  refusal.heading = 'This invitation is not for this account'
  return refusal
}
