// Steps that an administrator takes with an account. A page says what will happen, and its button does it.
import type { Actor } from '../../base/audit-events.ts'
import { endAllAccess } from '../../core/grants/revoke.ts'
import { LastAdministrator, setRole } from '../../core/users/roles.ts'
import { endSessions } from '../../core/users/search.ts'
import { disableUser, enableUser, type User } from '../../core/users/store.ts'
import type { Pool } from '../../db/pool.ts'
import { type Notice, seeOther } from '../../http/notice.ts'
import type { Render } from '../../http/render.ts'
import { actingUser, type SignedIn } from '../../protocol/guards.ts'
import { type Confirmation, confirmPages, outcome } from '../shared/confirm-page.ts'
import { getUser, userPath } from './user-path.ts'

/** What the page of a step says, what the step does, and what the next page says. */
export interface UserStep {
  heading(user: User): string
  will(user: User): string[]
  will_not?: string[]
  label: string
  danger?: boolean
  /** @returns the notice for the next page, which is the account's unless `to` names another. @throws LastAdministrator */
  run(user: User, by: Actor, ctx: SignedIn): Promise<{ notice: Notice; to?: string }>
}

/** What steps are made of. */
export interface UserStepParts {
  db: Pool
  render: Render
}

/** Forms of /admin/users/:user_id/…, but those for links to a new password. */
export function userSteps(parts: UserStepParts) {
  const steps = { ...roleSteps(parts.db), ...endingSteps(parts.db) }
  const form = (step: UserStep) => userStepForm(parts, step)
  return {
    makeAdmin: form(steps.makeAdmin),
    makeUser: form(steps.makeUser),
    disable: form(steps.disable),
    enable: form(steps.enable),
    endSessions: form(steps.endSessions),
    endAccess: form(steps.endAccess),
  }
}

/** The form of a step. */
export function userStepForm({ db, render }: UserStepParts, step: UserStep) {
  const confirm = confirmPages(render, 'admin')
  return {
    async show(ctx: SignedIn): Promise<void> {
      confirm(ctx, userStepPage(step, await getUser(db, ctx)))
    },
    async send(ctx: SignedIn): Promise<void> {
      const user = await getUser(db, ctx)
      try {
        const { notice, to = userPath(user.id) } = await step.run(user, actingUser(ctx), ctx)
        seeOther(ctx, to, notice)
      } catch (error) {
        if (!(error instanceof LastAdministrator)) throw error
        confirm(ctx, userStepPage(step, user), { form: LAST_ADMINISTRATOR }, 409)
      }
    },
  }
}

/** The page of a step. */
export function userStepPage(step: Omit<UserStep, 'run'>, user: User): Confirmation {
  return {
    subject: { name: user.name, detail: user.email },
    heading: step.heading(user),
    will: step.will(user),
    will_not: step.will_not,
    confirm_label: step.label,
    danger: step.danger,
    cancel_href: userPath(user.id),
  }
}

const LAST_ADMINISTRATOR =
  'This is the last administrator who can sign in. Make somebody else an administrator first.'

// Steps that change what an account may do.
function roleSteps(db: Pool) {
  return {
    makeAdmin: {
      heading: ({ name }) => `Make ${name} an administrator?`,
      will: () => [
        'They can do everything that you can do here, also to your account.',
        'If they were one before: sign-ins, links, and a password chosen with a link since then, end.',
      ],
      label: 'Make an administrator',
      danger: true,
      run: async (user, by) =>
        outcome(await setRole(db, user.id, 'admin', by), `${user.name} is an administrator.`),
    },

    makeUser: {
      heading: ({ name }) => `Take the administrator’s role from ${name}?`,
      will: () => ['They can no longer open these pages.'],
      will_not: ['Their account stays as it is.'],
      label: 'Take the role away',
      run: async (user, by) =>
        outcome(await setRole(db, user.id, 'user', by), `${user.name} is no administrator any more.`),
    },

    disable: {
      heading: ({ name }) => `Disable the account of ${name}?`,
      will: () => [
        'They are signed out everywhere, and cannot sign in.',
        'Every token of theirs is dead at once, whatever app holds it.',
      ],
      will_not: ['Nothing of theirs is deleted.'],
      label: 'Disable',
      danger: true,
      run: async (user, by) => outcome(await disableUser(db, user.id, by), `${user.name} is disabled.`),
    },

    enable: {
      heading: ({ name }) => `Enable the account of ${name}?`,
      will: () => ['They can sign in again.'],
      will_not: ['Tokens from before stay dead: each app signs in anew.'],
      label: 'Enable',
      run: async (user, by) => outcome(await enableUser(db, user.id, by), `${user.name} is enabled.`),
    },
  } satisfies Record<string, UserStep>
}

// Steps that end sign-ins and access.
function endingSteps(db: Pool) {
  return {
    endSessions: {
      heading: ({ name }) => `Sign ${name} out everywhere?`,
      will: () => ['All sign-ins of this account end, but the one you are using now.'],
      will_not: ['Apps keep the access they were given.'],
      label: 'Sign out everywhere',
      async run(user, by, ctx) {
        const ended = (await endSessions(db, user.id, by, ctx.state.sessionUid)) ?? 0
        const where = ended === 1 ? '1 sign-in has' : `${ended.toLocaleString('en')} sign-ins have`
        return { notice: { heading: `${where} ended.` } }
      },
    },

    endAccess: {
      heading: ({ name }) => `End the access of all apps to the account of ${name}?`,
      will: () => ['Each app has to ask again. It begins at once.'],
      will_not: ['They stay signed in here.'],
      label: 'End all access',
      danger: true,
      async run(user, by) {
        const job = await endAllAccess(db, { user_id: user.id }, by)
        return { to: `/admin/jobs/${job.id}`, notice: { heading: `Ending all access to ${user.name}.` } }
      },
    },
  } satisfies Record<string, UserStep>
}
