// People as administrators find them, and what administrators may do to an account. It shows what they use, not what they do.
import type { Actor } from '../../base/audit-events.ts'
import { appView } from '../../core/clients/presentation.ts'
import { listApps } from '../../core/grants/account-apps.ts'
import { endAllAccess } from '../../core/grants/revoke.ts'
import { hasReset, sendReset, withdrawReset } from '../../core/users/reset-links.ts'
import { LastAdministrator, ROLES, setRole } from '../../core/users/roles.ts'
import { endSessions, listSessions, searchUsers } from '../../core/users/search.ts'
import { disableUser, enableUser, findUser, type User } from '../../core/users/store.ts'
import type { Pool } from '../../db/pool.ts'
import { NotFound } from '../../http/errors.ts'
import { type Notice, seeOther, takeNotice } from '../../http/notice.ts'
import { isUuid, pageOf, queryChoice, queryPlace, queryText, withQuery } from '../../http/query.ts'
import type { Render } from '../../http/render.ts'
import { when } from '../../http/time.ts'
import { actingUser, type SignedIn } from '../../protocol/guards.ts'

const PAGE = 25
const SHORTEST = 3
const MOST_APPS = 100

/** Handlers of /admin/users and below. */
export function userAdmin(parts: { db: Pool; render: Render; issuer: string; mailIsOn: boolean }) {
  const { db, render, issuer, mailIsOn } = parts
  const getUser = async (ctx: SignedIn): Promise<User> => {
    const id = String(ctx.params.user_id)
    const user = isUuid(id) ? await findUser(db, id) : undefined
    if (!user) throw new NotFound('There is no such account.')
    return user
  }
  const confirm = (
    ctx: SignedIn,
    user: User,
    step: Omit<Step, 'run'>,
    form?: string,
    status?: number,
  ): void =>
    render(
      ctx,
      'admin/confirm',
      {
        done: takeNotice(ctx),
        subject: { name: user.name, detail: user.email },
        heading: step.heading(user),
        will: step.will(user),
        will_not: step.will_not ?? [],
        confirm_label: step.label,
        danger: step.danger ?? false,
        action: ctx.path,
        cancel_href: `/admin/users/${user.id}`,
        errors: form ? { form } : {},
      },
      status,
    )
  const form = (step: Step) => ({
    async show(ctx: SignedIn): Promise<void> {
      confirm(ctx, await getUser(ctx), step)
    },
    async send(ctx: SignedIn): Promise<void> {
      const user = await getUser(ctx)
      try {
        const { notice, to = `/admin/users/${user.id}` } = await step.run(user, actingUser(ctx), ctx)
        seeOther(ctx, to, notice)
      } catch (error) {
        if (!(error instanceof LastAdministrator)) throw error
        confirm(ctx, user, step, LAST, 409)
      }
    },
  })
  const told = (changed: boolean, heading: string): { notice: Notice } => ({
    notice: changed
      ? { heading }
      : { heading: 'Nothing was changed: it stood like that already.', tone: 'warning' },
  })

  return {
    async list(ctx: SignedIn): Promise<void> {
      const text = queryText(ctx, 'q')
      const role = queryChoice(ctx, 'role', ROLES)
      const state = queryChoice(ctx, 'state', ['disabled', 'enabled'])
      const asked = { q: text, role, state }
      const tooShort = text.length > 0 && [...text].length < SHORTEST
      const found = tooShort
        ? []
        : await searchUsers(db, {
            text,
            role,
            disabled: state && state === 'disabled',
            after: queryPlace(ctx, 'after'),
            limit: PAGE + 1,
          })
      const { rows, next_href } = pageOf(found, PAGE, ({ cursor }) =>
        withQuery('/admin/users', { ...asked, after: cursor }),
      )
      render(ctx, 'admin/users', {
        done: takeNotice(ctx),
        users: rows.map(userView),
        next_href,
        is_filtered: Object.values(asked).some(Boolean),
        values: asked,
        errors: tooShort ? { q: `Enter at least ${SHORTEST} characters.` } : {},
      })
    },

    async show(ctx: SignedIn): Promise<void> {
      const user = await getUser(ctx)
      const [apps, sessions, has_reset] = await Promise.all([
        listApps(db, user.id),
        listSessions(db, user.id),
        hasReset(db, user),
      ])
      render(ctx, 'admin/user', {
        done: takeNotice(ctx),
        person: userView(user),
        is_self: user.id === ctx.state.user.id,
        has_reset,
        apps: apps.slice(0, MOST_APPS).map((app) => ({
          view: appView({ ...app, id: app.client_id, name: app.client_name }),
          href: `/admin/clients/${encodeURIComponent(app.client_id)}`,
          scopes: app.scopes,
          allowed: when(app.allowed_at),
          last_used: app.last_used_at ? when(app.last_used_at) : undefined,
          devices: app.devices.map(({ name, last_used_at }) => ({ name, last_used: when(last_used_at) })),
        })),
        more_apps: Math.max(0, apps.length - MOST_APPS),
        sessions: sessions.map(({ uid, created_at, expires_at }) => ({
          since: when(created_at),
          until: when(expires_at),
          current: uid === ctx.state.sessionUid,
        })),
        path: `/admin/users/${user.id}`,
        access_href: withQuery('/admin/consents', { user: user.id }),
        audit_href: withQuery('/admin/audit', { user: user.id }),
      })
    },

    makeAdmin: form({
      heading: ({ name }) => `Make ${name} an administrator?`,
      will: () => [
        'They can do everything that you can do here, also to your account.',
        'If they were one before: sign-ins, links, and a password chosen with a link since then, end.',
      ],
      label: 'Make an administrator',
      danger: true,
      run: async (user, by) =>
        told(await setRole(db, user.id, 'admin', by), `${user.name} is an administrator.`),
    }),

    makeUser: form({
      heading: ({ name }) => `Take the administrator’s role from ${name}?`,
      will: () => ['They can no longer open these pages.'],
      will_not: ['Their account stays as it is.'],
      label: 'Take the role away',
      run: async (user, by) =>
        told(await setRole(db, user.id, 'user', by), `${user.name} is no administrator any more.`),
    }),

    disable: form({
      heading: ({ name }) => `Disable the account of ${name}?`,
      will: () => [
        'They are signed out everywhere, and cannot sign in.',
        'Every token of theirs is dead at once, whatever app holds it.',
      ],
      will_not: ['Nothing of theirs is deleted.'],
      label: 'Disable',
      danger: true,
      run: async (user, by) => told(await disableUser(db, user.id, by), `${user.name} is disabled.`),
    }),

    enable: form({
      heading: ({ name }) => `Enable the account of ${name}?`,
      will: () => ['They can sign in again.'],
      will_not: ['Tokens from before stay dead: each app signs in anew.'],
      label: 'Enable',
      run: async (user, by) => told(await enableUser(db, user.id, by), `${user.name} is enabled.`),
    }),

    endSessions: form({
      heading: ({ name }) => `Sign ${name} out everywhere?`,
      will: () => ['All sign-ins of this account end, but the one you are using now.'],
      will_not: ['Apps keep the access they were given.'],
      label: 'Sign out everywhere',
      async run(user, by, ctx) {
        const ended = (await endSessions(db, user.id, by, ctx.state.sessionUid)) ?? 0
        const where = ended === 1 ? '1 sign-in has' : `${ended.toLocaleString('en')} sign-ins have`
        return { notice: { heading: `${where} ended.` } }
      },
    }),

    sendReset: {
      async show(ctx: SignedIn): Promise<void> {
        const user = await getUser(ctx)
        if (user.disabled_at) throw new NotFound(IS_DISABLED)
        confirm(ctx, user, resetStep(mailIsOn))
      },
      async send(ctx: SignedIn): Promise<void> {
        const user = await getUser(ctx)
        const sent = await sendReset(db, user.id, mailIsOn ? 'mail' : 'hand', actingUser(ctx))
        if (!sent) throw new NotFound(IS_DISABLED)
        const href = `/admin/users/${user.id}`
        if (sent.path === undefined)
          return seeOther(ctx, href, { heading: `A mail to ${user.email} is on its way.` })
        render(ctx, 'admin/user-reset', {
          person: { name: user.name, email: user.email, href },
          link: issuer + sent.path,
        })
      },
    },

    withdrawReset: form({
      heading: ({ name }) => `Withdraw the link for a new password of ${name}?`,
      will: () => ['The link that they were sent last works no more, also if it is still to be mailed.'],
      will_not: ['Their password stays as it is.'],
      label: 'Withdraw the link',
      async run(user, by) {
        const withdrawn = (await withdrawReset(db, user.id, by)) ?? false
        if (withdrawn) return told(true, 'The link is withdrawn.')
        return { notice: { heading: 'Nothing was changed: the link was used, or is over.', tone: 'warning' } }
      },
    }),

    endAccess: form({
      heading: ({ name }) => `End the access of all apps to the account of ${name}?`,
      will: () => ['Each app has to ask again. It begins at once.'],
      will_not: ['They stay signed in here.'],
      label: 'End all access',
      danger: true,
      async run(user, by) {
        const job = await endAllAccess(db, { user_id: user.id }, by)
        return { to: `/admin/jobs/${job.id}`, notice: { heading: `Ending all access to ${user.name}.` } }
      },
    }),
  }
}

const LAST = 'This is the last administrator who can sign in. Make somebody else an administrator first.'

const IS_DISABLED = 'That account is disabled. Enable it first.'

function resetStep(mailIsOn: boolean): Omit<Step, 'run'> {
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

interface Step {
  heading(user: User): string
  will(user: User): string[]
  will_not?: string[]
  label: string
  danger?: boolean
  /** @throws LastAdministrator */
  run(user: User, by: Actor, ctx: SignedIn): Promise<{ notice: Notice; to?: string }>
}

function userView(user: User) {
  return {
    href: `/admin/users/${user.id}`,
    id: user.id,
    name: user.name,
    email: user.email,
    email_verified: user.email_verified,
    is_admin: user.role === 'admin',
    disabled: user.disabled_at ? when(user.disabled_at) : undefined,
    created: when(user.created_at),
    last_sign_in: user.last_sign_in_at ? when(user.last_sign_in_at) : undefined,
  }
}
