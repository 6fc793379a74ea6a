// The pages at which a person enters the code that a device shows (RFC 8628 §3.3), and confirms it.
import { errors } from 'oidc-provider'
import type { ClientDirectory } from '../core/clients/cache.ts'
import { appView } from '../core/clients/presentation.ts'
import type { Render } from '../http/render.ts'
import { formStateOf, isSessionStored, leaveSession, userCodeError } from './internals/library.ts'
import { OUR_FAULTS } from './our-faults.ts'
import type { ProviderPages } from './provider-parts.ts'

/** Makes these pages. @param showError shows an error as other pages of the provider do */
export function devicePages(
  { render, clients }: { render: Render; clients: ClientDirectory },
  showError: ProviderPages['error'],
): Pick<ProviderPages, 'deviceCode' | 'deviceConfirm' | 'deviceDone'> {
  return {
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
      if (error instanceof errors.SessionNotFound) return void showError(ctx, { error: error.error }, error)
      // Whoever sends the same form again must find it as good as before, so the provider may not store another secret for it.
      if (error instanceof errors.OIDCProviderError && error.statusCode === 503) {
        leaveSession(ctx)
        ctx.status = error.statusCode
        return void showError(ctx, { error: error.error }, error)
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
  if (!(error instanceof errors.OIDCProviderError)) return { text: OUR_FAULTS.server_error }
  if (error.statusCode === 429) return { text: error.error_description, status: 429 }
  if (OUR_FAULTS[error.error]) return { text: OUR_FAULTS[error.error] }
  // The form of an older tab, mostly.
  if (error.error === 'invalid_request')
    return { text: 'This page was out of date. Send the code once more.', status: 400 }
  return {
    text: 'The app on your device asked for something that cannot be done. Nothing was shared with it.',
  }
}
