// How administrators end access: that of one app to one account, or all that a filter names.
import { isUuid } from '../../base/ids.ts'
import { endAccess, endAllAccess } from '../../core/grants/revoke.ts'
import { type Access, searchAccess } from '../../core/grants/search.ts'
import type { Pool } from '../../db/pool.ts'
import { NotFound } from '../../http/errors.ts'
import { sentText } from '../../http/form.ts'
import { seeOther, takeNotice } from '../../http/notice.ts'
import { queryText, withQuery } from '../../http/query.ts'
import type { Render } from '../../http/render.ts'
import { actingUser, type SignedIn } from '../../protocol/guards.ts'
import { type Confirmation, confirmPages } from '../shared/confirm-page.ts'
import { type ConsentFilter, readConsentFilter } from './consent-filter.ts'

const LIST = '/admin/consents'
const HAS_ENDED = 'That access has ended.'

/** Forms of /admin/consents/:consent_id/end and /admin/consents/end. */
export function consentEndings(parts: { db: Pool; render: Render }) {
  return { end: endForm(parts), endAll: endAllForm(parts) }
}

function endForm({ db, render }: { db: Pool; render: Render }) {
  const confirm = confirmPages(render, 'admin')
  const getAccess = async (ctx: SignedIn): Promise<Access> => {
    const id = String(ctx.params.consent_id)
    const [found] = isUuid(id) ? await searchAccess(db, { id }) : []
    if (!found) throw new NotFound(HAS_ENDED)
    return found
  }
  return {
    async show(ctx: SignedIn): Promise<void> {
      confirm(ctx, endPage(await getAccess(ctx)))
    },
    async send(ctx: SignedIn): Promise<void> {
      const access = await getAccess(ctx)
      if (!(await endAccess(db, access.id, actingUser(ctx)))) throw new NotFound(HAS_ENDED)
      seeOther(ctx, LIST, { heading: `${access.client_name} has no access to ${access.email} any more.` })
    },
  }
}

function endPage({ client_name, user_name, email, devices }: Access): Confirmation {
  return {
    subject: { name: user_name, detail: email },
    heading: `End the access of ${client_name}?`,
    will: [
      `${client_name} can no longer use this account, from the moment you press the button.`,
      ...(devices > 1 ? [`This ends it on all ${devices} devices.`] : []),
    ],
    will_not: ['They can allow it again.'],
    confirm_label: 'End access',
    danger: true,
    cancel_href: LIST,
  }
}

// The form holds the filter, because a new sign-in drops it from the address.
function endAllForm({ db, render }: { db: Pool; render: Render }) {
  const confirm = confirmPages(render, 'admin')
  return {
    async show(ctx: SignedIn): Promise<void> {
      const filter = await readConsentFilter(db, queryText(ctx, 'user', 320), queryText(ctx, 'app', 500))
      if (!namesSomething(filter)) return seeOther(ctx, LIST, takeNotice(ctx))
      confirm(ctx, endAllPage(filter))
    },
    async send(ctx: SignedIn): Promise<void> {
      const filter = await readConsentFilter(db, sentText(ctx, 'user'), sentText(ctx, 'app'))
      // A filter whose app or account no longer exists must not end all access there is.
      if (!namesSomething(filter)) throw new NotFound('There is no such app or account any more.')
      const { person, client } = filter
      const job = await endAllAccess(db, { user_id: person?.id, client_id: client?.id }, actingUser(ctx))
      seeOther(ctx, `/admin/jobs/${job.id}`, { heading: 'It has begun.' })
    },
  }
}

function namesSomething({ isUsable, person, client }: ConsentFilter): boolean {
  return isUsable && Boolean(person || client)
}

function endAllPage({ person, client }: ConsentFilter): Confirmation {
  const whose = person ? `to the account of ${person.email}` : 'to every account'
  return {
    heading: client ? `End the access of ${client.name} ${whose}?` : `End all access ${whose}?`,
    will: ['It begins at once. The next page shows how far it has come; you need not wait there.'],
    will_not: ['People can allow apps again.'],
    confirm_label: 'End all of it',
    danger: true,
    hidden: { user: person?.id, app: client?.id },
    cancel_href: withQuery(LIST, { user: person?.id, app: client?.id }),
  }
}
