// What happened to an account, in words for its owner.

import { type AuditRow, listEvents } from '../../core/audit/store.ts'
import { clientNames } from '../../core/clients/store.ts'
import type { Db } from '../../db/pool.ts'
import type { Render } from '../../http/render.ts'
import { when } from '../../http/time.ts'
import type { SignedIn } from '../../protocol/guards.ts'
import { deviceName } from '../../protocol/rules/device.ts'

type Tone = 'good' | 'info' | 'warning' | 'danger'

const PAGE = 30

/** Handlers of /account/activity. */
export function activityPages({ db, render }: { db: Db; render: Render }) {
  return {
    async list(ctx: SignedIn): Promise<void> {
      const before = /^\d{1,18}$/.test(String(ctx.query.before)) ? String(ctx.query.before) : undefined
      const rows = await listEvents(db, { user_id: ctx.state.user.id, before, limit: PAGE + 1 })
      const shown = rows.slice(0, PAGE)
      const names = await clientNames(
        db,
        shown.flatMap(({ client_id }) => client_id ?? []),
      )
      const events = shown.map((row) => ({
        ...words(row, names.get(row.client_id ?? '') ?? 'an app that is gone'),
        ...circumstances(row),
      }))
      const older = rows.length > PAGE ? `/account/activity?before=${shown.at(-1)!.id}` : undefined
      render(ctx, 'account/activity', { events, older_href: older })
    },
  }
}

function words(row: AuditRow, app: string): { text: string; detail?: string; tone: Tone } {
  switch (row.type) {
    case 'user.created':
      return { text: 'Your account was created', tone: 'info' }
    case 'user.disabled':
      return { text: 'Your account was disabled', tone: 'danger' }
    case 'user.enabled':
      return { text: 'Your account was enabled again', tone: 'info' }
    case 'user.renamed':
      return { text: 'Your name was changed', tone: 'info' }
    case 'password.changed':
      return {
        text: 'Your password was changed',
        detail: 'All other devices were signed out.',
        tone: 'warning',
      }
    case 'user.reset_sent':
      return { text: 'An administrator sent you a link to choose a new password', tone: 'info' }
    case 'user.reset_withdrawn':
      return { text: 'The link to choose a new password was withdrawn', tone: 'info' }
    case 'user.password_reset':
      return {
        text: 'A new password was chosen with that link',
        detail: 'All devices were signed out.',
        tone: 'warning',
      }
    case 'password.change_failed':
      return { text: 'Somebody tried to change your password with a wrong one', tone: 'warning' }
    case 'sign_in.succeeded':
      return { text: row.client_id ? `You signed in to use ${app}` : 'You signed in', tone: 'good' }
    case 'sign_in.failed':
      if (row.data.reason === 'other_account')
        return { text: `Somebody gave your password where ${app} asked for another account`, tone: 'warning' }
      return { text: 'Somebody tried to sign in with a wrong password', tone: 'warning' }
    case 'sign_in.limited':
      return { text: 'Signing in was blocked for a while after too many attempts', tone: 'warning' }
    case 'sign_out':
      return { text: 'You signed out', tone: 'info' }
    case 'consent.given':
      return { text: `You allowed ${app} to use your account`, tone: 'good' }
    case 'consent.refused':
      return { text: `You did not allow ${app}`, tone: 'info' }
    case 'app.removed':
      return { text: `You removed ${app}`, detail: 'Its access ended at once.', tone: 'good' }
    case 'access.ended':
      return {
        text: `The access of ${app} was ended`,
        detail: 'To use it again, allow it again.',
        tone: 'info',
      }
    case 'client.owner_added':
      return { text: `You look after ${app} now`, detail: 'You accepted an invitation.', tone: 'good' }
    case 'client.owner_removed':
      return { text: `You no longer look after ${app}`, tone: 'info' }
    case 'user.role_changed':
      return { text: 'An administrator changed what your account may do', tone: 'info' }
    case 'user.signed_out_everywhere':
      return { text: 'Your account was signed out on all devices', tone: 'warning' }
    case 'grant.revoked':
      return grantEnded(app, row.data.reason)
    case 'token.reuse_detected':
      return {
        text: `We ended a connection of ${app} to protect you`,
        detail: 'Something was used a second time that may be used only once; it may have been stolen.',
        tone: 'danger',
      }
    case 'mail.given_up':
      return { text: 'A mail to you could not be delivered', tone: 'info' }
    default:
      return { text: 'Your account was looked after', tone: 'info' }
  }
}

function grantEnded(app: string, reason: unknown): { text: string; detail?: string; tone: Tone } {
  if (reason === 'removed_by_user') return { text: `You removed ${app} from a device`, tone: 'good' }
  if (reason === 'revoked_by_client') return { text: `${app} gave its access back`, tone: 'info' }
  if (reason === 'narrowed') {
    return {
      text: `${app} has to ask again on another device`,
      detail: 'You allowed it less than before.',
      tone: 'info',
    }
  }
  if (reason === 'revoked_by_admin')
    return { text: `An administrator ended the access of ${app}`, tone: 'info' }
  return { text: `The access of ${app} ended on one device`, tone: 'info' }
}

function circumstances(row: AuditRow) {
  return {
    at: when(row.at),
    from: row.ip ?? undefined,
    device: row.actor_type === 'user' && row.user_agent ? deviceName(row.user_agent) : undefined,
  }
}
