// The pages the provider shows itself: errors it cannot take back to an app, and signing out.
import type { Context } from 'koa'
import { errors, type Provider } from 'oidc-provider'
import { hostOf } from '../clients/view.ts'
import { answer, HttpError } from '../web/errors.ts'
import { allowFormTo } from '../web/headers.ts'
import type { Logger } from '../web/log.ts'
import type { Render } from '../web/render.ts'
import type { ProviderPages } from './provider.ts'
import { currentSession } from './session.ts'

/** Makes the provider's pages. */
export function providerPages({ render, log }: { render: Render; log: Logger }): ProviderPages {
  return {
    async error(ctx, out, error) {
      // Nobody is sent anywhere.
      ctx.state.refused = false
      if (error instanceof errors.SessionNotFound) {
        return render(
          ctx,
          'message',
          {
            tone: 'info',
            heading: 'This page has expired',
            text: 'You may have finished in another tab already. Go back to the app you came from; if it does not know you, start again from there.',
            links: [{ href: '/account', label: 'Go to your account' }],
          },
          410,
        )
      }
      const status = Math.max(ctx.status, 400)
      if (ctx.path === '/session/end/confirm' && status === 400) return showStale(ctx)
      log.info(
        { request_id: ctx.state.requestId, error: out.error, detail: out.error_description },
        'request refused',
      )
      answer(ctx, render, new Stopped(status, out.error, out.error_description))
    },

    leaving(ctx, client, address) {
      const host = hostOf(String(ctx.oidc.params?.redirect_uri ?? ''))
      render(
        ctx,
        'message',
        {
          tone: 'warning',
          heading: `${client.clientName ?? client.clientId} could not sign you in`,
          text: `Its request was not in order, and nothing was decided. This app registered itself: nobody here has checked who is behind it. Go on only if you know and trust ${host}.`,
          link: { href: '/account', label: 'Go to your account' },
          links: address ? [{ href: address, label: `Go on to ${host}` }] : [],
        },
        400,
      )
    },

    async logout(ctx) {
      const { oidc } = ctx
      allowFormTo(ctx, oidc.params?.post_logout_redirect_uri as string | undefined)
      render(ctx, 'interaction/logout', {
        action: '/session/end/confirm',
        xsrf: (oidc.session!.state as { secret: string }).secret,
        app_name: oidc.client?.clientName,
      })
    },

    async loggedOut(ctx) {
      const { accountId } = await currentSession(ctx.oidc.provider as Provider, ctx)
      render(ctx, 'message', {
        tone: accountId ? 'info' : 'good',
        heading: accountId ? 'You are still signed in' : 'You are signed out',
        text: accountId
          ? 'Nothing has changed.'
          : 'Apps that you allowed keep their access until you remove it in your account.',
        link: { href: '/account', label: accountId ? 'Go to your account' : 'Sign in again' },
      })
    },
  }

  // The form of an older tab, or of one from before signing out.
  async function showStale(ctx: Context): Promise<void> {
    const { accountId } = await currentSession(ctx.oidc.provider as Provider, ctx)
    const text = accountId ? 'You are still signed in.' : 'You are signed out already.'
    const link = accountId
      ? { href: '/session/end', label: 'Sign out' }
      : { href: '/account', label: 'Sign in again' }
    render(ctx, 'message', { tone: 'info', heading: 'This page has expired', text, link }, 400)
  }
}

// Most often an app sent the person here with a request that is wrong, so there is no way back to it; who made the app reads
// the rest.
class Stopped extends HttpError {
  constructor(status: number, error: string, description: string | undefined) {
    const ours = OURS[error]
    super(
      status,
      error,
      ours ??
        'The app that brought you here asked for something that cannot be done. Nothing was shared with it.',
    )
    if (ours) return
    this.heading = 'This app cannot go on'
    this.technical = description ?? error
  }
}

const OURS: Record<string, string> = {
  temporarily_unavailable: 'Nothing was lost. Please try again in a few seconds.',
  too_many_requests:
    'Too many apps that are new here were named from your address. Please try again in an hour.',
  server_error: 'It is not your doing. Please try again; if it stays, ask for help.',
}
