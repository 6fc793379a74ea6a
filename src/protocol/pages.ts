// The pages the provider shows itself: errors that it cannot take back to an app, signing out, and what device-pages.ts shows.
import type { Context } from 'koa'
import { errors } from 'oidc-provider'
import type { ClientDirectory } from '../core/clients/cache.ts'
import { hostOf } from '../core/clients/presentation.ts'
import { answer, HttpError } from '../http/errors.ts'
import { allowFormTo } from '../http/headers.ts'
import type { Logger } from '../http/log.ts'
import type { Render } from '../http/render.ts'
import { isLeftToPage } from './adapters/interactions.ts'
import { devicePages } from './device-pages.ts'
import { formStateOf } from './internals/library.ts'
import { OUR_FAULTS } from './our-faults.ts'
import type { ProviderPages } from './provider-parts.ts'
import { currentSession } from './rules/session.ts'

interface PagesParts {
  render: Render
  log: Logger
  clients: ClientDirectory
}

/** Makes the provider's pages. */
export function providerPages(parts: PagesParts): ProviderPages {
  const error = errorPage(parts)
  return { error, ...answerPages(parts), ...devicePages(parts, error) }
}

function errorPage({ render, log }: PagesParts): ProviderPages['error'] {
  const error: ProviderPages['error'] = async (ctx, out, cause) => {
    // Nobody is sent anywhere.
    ctx.state.refused = false
    if (isLeftToPage(ctx)) {
      ctx.status = 303
      return ctx.redirect(`/interaction/${ctx.path.split('/').pop()}`)
    }
    if (cause instanceof errors.SessionNotFound) {
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
    // The provider passes over it where it looks for the app that the error is to be sent to.
    const { unavailable } = ctx.state as { unavailable?: errors.OIDCProviderError }
    if (unavailable && cause !== unavailable) {
      ctx.status = unavailable.statusCode
      return error(ctx, { error: unavailable.error }, unavailable)
    }
    const status = Math.max(ctx.status, 400)
    if (ctx.path === '/session/end/confirm' && status === 400) return showStale(render, ctx)
    log.info(
      { request_id: ctx.state.requestId, error: out.error, detail: out.error_description },
      'request refused',
    )
    answer(ctx, render, new Stopped(status, out.error, out.error_description))
  }
  return error
}

function answerPages({ render }: PagesParts): Pick<ProviderPages, 'leaving' | 'logout' | 'loggedOut'> {
  return {
    leaving(ctx, client, way) {
      const host = hostOf(String(ctx.oidc.params?.redirect_uri ?? ''))
      render(
        ctx,
        'message',
        {
          tone: 'warning',
          heading: `${client.clientName ?? client.clientId} could not sign you in`,
          text: `Its request was not in order, and nothing was decided. This app registered itself: nobody here has checked who is behind it. Go on only if you know and trust ${host}.`,
          link: { href: '/account', label: 'Go to your account' },
          links: way ? [{ ...way, label: `Go on to ${host}` }] : [],
        },
        400,
      )
    },

    async logout(ctx) {
      const { oidc } = ctx
      allowFormTo(ctx, oidc.params?.post_logout_redirect_uri as string | undefined)
      render(ctx, 'protocol/logout', {
        action: '/session/end/confirm',
        xsrf: formStateOf(oidc.session)!.secret,
        app_name: oidc.client?.clientName,
      })
    },

    async loggedOut(ctx) {
      const { accountId } = await currentSession(ctx.oidc.provider, ctx)
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
}

// The form of an older tab, or of one from before signing out.
async function showStale(render: Render, ctx: Context): Promise<void> {
  const { accountId } = await currentSession(ctx.oidc.provider, ctx)
  const text = accountId ? 'You are still signed in.' : 'You are signed out already.'
  const link = accountId
    ? { href: '/session/end', label: 'Sign out' }
    : { href: '/account', label: 'Sign in again' }
  render(ctx, 'message', { tone: 'info', heading: 'This page has expired', text, link }, 400)
}

// Most often an app sent the person here with a request that is wrong, so there is no way back to it; who made the app reads
// the rest.
class Stopped extends HttpError {
  constructor(status: number, error: string, description: string | undefined) {
    const ours = OUR_FAULTS[error]
    super(
      400,
      'bad_request',
      ours ??
        'The app that brought you here asked for something that cannot be done. Nothing was shared with it.',
    )
    this.status = status
    this.code = error
    if (ours) return
    this.heading = 'This app cannot go on'
    this.technical = description ?? error
  }
}
