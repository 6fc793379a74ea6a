// The pages the provider shows itself: errors it cannot take back to an app, and signing out.
import type { Context } from 'koa'
import { errors } from 'oidc-provider'
import type { ClientDirectory } from '../core/clients/cache.ts'
import { appView, hostOf } from '../core/clients/presentation.ts'
import { answer, HttpError } from '../http/errors.ts'
import { allowFormTo } from '../http/headers.ts'
import type { Logger } from '../http/log.ts'
import type { Render } from '../http/render.ts'
import { isLeftToPage } from './adapters/interactions.ts'
import { formStateOf, isSessionStored, leaveSession, userCodeError } from './internals/library.ts'
import type { ProviderPages } from './provider.ts'
import { currentSession } from './rules/session.ts'

/** Makes the provider's pages. */
export function providerPages({
  render,
  log,
  clients,
}: {
  render: Render
  log: Logger
  clients: ClientDirectory
}): ProviderPages {
  return {
    async error(ctx, out, error) {
      // Nobody is sent anywhere.
      ctx.state.refused = false
      if (isLeftToPage(ctx)) {
        ctx.status = 303
        return ctx.redirect(`/interaction/${ctx.path.split('/').pop()}`)
      }
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
      // The provider passes over it where it looks for the app that the error is to be sent to.
      const { unavailable } = ctx.state as { unavailable?: errors.OIDCProviderError }
      if (unavailable && error !== unavailable) {
        ctx.status = unavailable.statusCode
        return this.error(ctx, { error: unavailable.error }, unavailable)
      }
      const status = Math.max(ctx.status, 400)
      if (ctx.path === '/session/end/confirm' && status === 400) return showStale(ctx)
      log.info(
        { request_id: ctx.state.requestId, error: out.error, detail: out.error_description },
        'request refused',
      )
      answer(ctx, render, new Stopped(status, out.error, out.error_description))
    },

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

    deviceCode(ctx, error) {
      if (userCodeError(error) === 'aborted') {
        return render(ctx, 'message', {
          tone: 'info',
          heading: 'Nothing was allowed',
          text: 'The device gets no access to your account. You can close this page.',
          links: [{ href: '/account', label: 'Go to your account' }],
        })
      }
      if (error instanceof errors.LoginRequired) {
        return render(ctx, 'message', {
          tone: 'info',
          heading: 'Nothing was allowed',
          text: 'The device asked for another account. Start again on the device, and sign in with the account that it is used with.',
          links: [{ href: '/account', label: 'Go to your account' }],
        })
      }
      const { oidc } = ctx
      const isStored = isSessionStored(ctx)
      // A browser without a session has nothing that a form could be bound to; the provider would keep one that was never stored.
      if (error && !isStored) leaveSession(ctx)
      if (error instanceof errors.SessionNotFound) return void this.error(ctx, { error: error.error }, error)
      // Whoever sends the same form again must find it as good as before, so the provider may not store another secret for it.
      if (error instanceof errors.OIDCProviderError && error.statusCode === 503) {
        leaveSession(ctx)
        ctx.status = error.statusCode
        return void this.error(ctx, { error: error.error }, error)
      }
      if (error && !isStored) {
        const text = 'Nothing was sent. Enter the code that your device shows once more.'
        const link = { href: '/device', label: 'Enter the code' }
        return render(ctx, 'message', { tone: 'info', heading: 'This page has expired', text, link }, 400)
      }
      const { status = 422, text } = whatWasWrong(error)
      const params = (oidc.params ?? {}) as { user_code?: unknown }
      const typed = ctx.state.userCode ?? (typeof params.user_code === 'string' ? params.user_code : '')
      render(
        ctx,
        'protocol/device',
        {
          action: '/device',
          xsrf: formStateOf(oidc.session)!.secret,
          values: { user_code: String(typed).slice(0, 40) },
          errors: text ? { user_code: text } : {},
        },
        text ? status : 200,
      )
    },

    async deviceConfirm(ctx, client, userCode) {
      const app = await clients.find(client.clientId)
      render(ctx, 'protocol/device-confirm', {
        action: '/device',
        xsrf: formStateOf(ctx.oidc.session)!.secret,
        user_code: userCode,
        app: app && appView(app),
      })
    },

    deviceDone(ctx) {
      const name = ctx.oidc.client?.clientName ?? 'The app'
      render(ctx, 'message', {
        tone: 'good',
        heading: 'Your device is connected',
        text: `${name} goes on by itself within a few seconds. You can close this page.`,
        links: [{ href: '/account/apps', label: 'See what you allowed' }],
      })
    },
  }

  // The form of an older tab, or of one from before signing out.
  async function showStale(ctx: Context): Promise<void> {
    const { accountId } = await currentSession(ctx.oidc.provider, ctx)
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

const WRONG_CODES = {
  missing: 'Enter the code that your device shows.',
  unknown: 'There is no such code. Compare it with the one that your device shows.',
  expired: 'This code has expired. Start again on your device, and enter the new code.',
  used: 'This code has been used already. Start again on your device, and enter the new code.',
}

function whatWasWrong(error: Error | undefined): { text?: string; status?: number } {
  if (!error) return {}
  const wrong = userCodeError(error)
  if (wrong && wrong !== 'aborted') return { text: WRONG_CODES[wrong] }
  if (!(error instanceof errors.OIDCProviderError)) return { text: OURS.server_error }
  if (error.statusCode === 429) return { text: error.error_description, status: 429 }
  if (OURS[error.error]) return { text: OURS[error.error] }
  // The form of an older tab, mostly.
  if (error.error === 'invalid_request')
    return { text: 'This page was out of date. Send the code once more.', status: 400 }
  return {
    text: 'The app on your device asked for something that cannot be done. Nothing was shared with it.',
  }
}

const OURS: Record<string, string> = {
  temporarily_unavailable: 'Nothing was lost. Please try again in a few seconds.',
  too_many_requests:
    'Too many apps that are new here were named from your address. Please try again in an hour.',
  server_error: 'It is not your doing. Please try again; if it stays, ask for help.',
}
