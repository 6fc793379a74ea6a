// Deleted apps whose id is the URL of their metadata document. They stay blocked until an administrator unblocks them.
import {
  findBlockedDocument,
  listBlockedDocuments,
  unblockDocument,
} from '../../../core/registration/metadata-documents.ts'
import { NotFound } from '../../../http/errors.ts'
import { seeOther, takeNotice } from '../../../http/notice.ts'
import { pageOf, queryText, withQuery } from '../../../http/query.ts'
import { when } from '../../../http/time.ts'
import { actingUser, type SignedIn } from '../../../protocol/guards.ts'
import { confirmPages, outcome } from '../../shared/confirm-page.ts'
import { appPath } from './path.ts'
import type { StepParts } from './steps.ts'

const PAGE = 25
const LIST = '/admin/clients/blocked'

/** The page of blocked apps, and the form that unblocks one. */
export function blockedClientAdmin({ db, render }: StepParts) {
  const confirm = confirmPages(render, 'admin')
  const getBlocked = async (ctx: SignedIn) => {
    const app = await findBlockedDocument(db, String(ctx.params.blocked_id))
    if (!app) throw new NotFound('There is no such app.')
    return app
  }
  return {
    async list(ctx: SignedIn): Promise<void> {
      // A client id that is a URL has up to 500 characters.
      const after = queryText(ctx, 'after', 520)
      const found = await listBlockedDocuments(db, { limit: PAGE + 1, after })
      const { rows, next_href } = pageOf(found, PAGE, ({ cursor }) => withQuery(LIST, { after: cursor }))
      const apps = rows.map(({ client_id, name, refused_at }) => ({
        id: client_id,
        name,
        deleted: when(refused_at),
        unblock_href: `${appPath(client_id)}/unblock`,
      }))
      render(ctx, 'admin/blocked-clients', { done: takeNotice(ctx), apps, next_href })
    },

    unblock: {
      async show(ctx: SignedIn): Promise<void> {
        const { client_id, name } = await getBlocked(ctx)
        confirm(ctx, {
          heading: `Let ${name} come back?`,
          cancel_href: LIST,
          subject: { name, detail: client_id },
          will: [
            'Its document is read again when somebody uses it, and it is registered as one that nobody knows.',
            'What people allowed before it was deleted is ended. Until that is done it stays away.',
          ],
          will_not: ['It is not verified, whatever it was before.'],
          confirm_label: 'Let it come back',
        })
      },
      async send(ctx: SignedIn): Promise<void> {
        const { client_id, name } = await getBlocked(ctx)
        const changed = await unblockDocument(db, client_id, actingUser(ctx))
        const { notice } = outcome(changed, `${name} may come back.`)
        seeOther(ctx, LIST, notice)
      },
    },
  }
}
