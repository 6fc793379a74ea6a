// The people who may try a developer's app while it waits for approval.
import { InvalidMetadata } from '../../core/clients/metadata.ts'
import type { Client } from '../../core/clients/store.ts'
import {
  addTestUser,
  listTestUsers,
  MOST_TEST_USERS,
  removeTestUser,
} from '../../core/ownership/test-users.ts'
import { NotFound } from '../../http/errors.ts'
import { type FormErrors, sentText, statusOf } from '../../http/form.ts'
import { seeOther } from '../../http/notice.ts'
import { actingUser, type SignedIn } from '../../protocol/guards.ts'
import { type DeveloperParts, getOwnApp, headOf, NO_SUCH_APP, ownAppPath } from './own-client.ts'

/** Handlers of /developer/apps/:client_id/test-users. */
export function developerTestUsers({ db, render }: DeveloperParts) {
  const show = async (ctx: SignedIn, app: Client, errors: FormErrors = {}): Promise<void> => {
    const emails = await listTestUsers(db, app.id)
    const locals = {
      ...headOf(ctx, app),
      pending: app.state === 'pending' && !app.suspended_at,
      emails,
      most: MOST_TEST_USERS,
      values: { email: errors.email === undefined ? '' : sentText(ctx, 'email') },
      errors,
    }
    render(ctx, 'developer/test-users', locals, statusOf(errors))
  }
  return {
    show: async (ctx: SignedIn) => show(ctx, await getOwnApp(db, ctx)),

    async send(ctx: SignedIn): Promise<void> {
      const app = await getOwnApp(db, ctx)
      try {
        const email = await addTestUser(db, app.id, sentText(ctx, 'email'), actingUser(ctx))
        if (email === undefined) throw new NotFound(NO_SUCH_APP)
        seeOther(ctx, ownAppPath(app.id, 'test-users'), {
          heading: `${email} may try the app out.`,
          lines: ['Tell them yourself: they sign in with an account that has this address, confirmed.'],
        })
      } catch (error) {
        if (!(error instanceof InvalidMetadata)) throw error
        return show(ctx, app, { email: `Email: ${error.problem}.` })
      }
    },

    async remove(ctx: SignedIn): Promise<void> {
      const app = await getOwnApp(db, ctx)
      const email = sentText(ctx, 'email')
      const removed = await removeTestUser(db, app.id, email, actingUser(ctx))
      seeOther(
        ctx,
        ownAppPath(app.id, 'test-users'),
        removed
          ? { heading: `${email} may no longer try the app out.` }
          : { heading: 'Nothing was changed: that address is not named.', tone: 'warning' },
      )
    },
  }
}
