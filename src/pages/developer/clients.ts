// A developer's own apps: the list, the page of one with its state, asking for approval again, and deleting it.
import { isConfidential } from '../../core/clients/kinds.ts'
import { deleteClient } from '../../core/clients/lifecycle.ts'
import { findOwners, listOwnApps, MOST_APPS } from '../../core/clients/owners.ts'
import { findChange, withdrawChange } from '../../core/clients/pending-changes.ts'
import { appView, hostOf } from '../../core/clients/presentation.ts'
import type { Client } from '../../core/clients/store.ts'
import { askAgain } from '../../core/ownership/developer-clients.ts'
import { NotFound } from '../../http/errors.ts'
import { sentText } from '../../http/form.ts'
import { seeOther, takeNotice } from '../../http/notice.ts'
import { when } from '../../http/time.ts'
import { actingUser, type SignedIn } from '../../protocol/guards.ts'
import { fieldFacts } from '../shared/client-facts.ts'
import { type Confirmation, confirmPages } from '../shared/confirm-page.ts'
import { differenceView, KIND_LABELS, stateOf } from '../shared/labels.ts'
import { type DeveloperParts, getOwnApp, ownAppPath } from './own-client.ts'

/** Handlers of /developer and /developer/apps/:client_id. */
export function developerPages({ db, resources, render, mode }: DeveloperParts) {
  return {
    async list(ctx: SignedIn): Promise<void> {
      const apps = await listOwnApps(db, ctx.state.user.id)
      render(ctx, 'developer/clients', {
        done: takeNotice(ctx),
        apps: apps.map((app) => ({
          app: appView(app),
          href: ownAppPath(app.id),
          kind: KIND_LABELS[app.type],
          host: hostOf(app.homepage_uri ?? app.redirect_uris[0]),
          state: stateOf(app),
          change_waits: app.change_waits,
          last_used: when(app.last_used_at),
        })),
        may_add: apps.length < MOST_APPS,
        most: MOST_APPS,
        waits: mode === 'approval',
      })
    },

    async show(ctx: SignedIn): Promise<void> {
      const client = await getOwnApp(db, ctx)
      const [owners, change, apis] = await Promise.all([
        findOwners(db, client.id),
        findChange(db, client.id),
        resources.all(),
      ])
      render(ctx, 'developer/client', {
        done: takeNotice(ctx),
        app: appView(client),
        client: {
          ...client,
          kind: KIND_LABELS[client.type],
        },
        facts: fieldFacts(client, apis),
        state: stateOf(client),
        meaning: meaningOf(client),
        change: change && {
          differences: differenceView(change.changes),
          by: change.requested_by,
          since: when(change.created_at),
          rejected: change.rejected_at !== null,
          reason: change.reason,
        },
        verification_fell: when(client.verification_fell_at),
        created: when(client.created_at),
        last_used: when(client.last_used_at),
        owners: owners.length,
        keeps_secrets: isConfidential(client.type),
        base: ownAppPath(client.id),
      })
    },

    async withdrawChange(ctx: SignedIn): Promise<void> {
      const { id, name } = await getOwnApp(db, ctx)
      const withdrawn = await withdrawChange(db, id, actingUser(ctx))
      if (!withdrawn) throw new NotFound('No change waits any more: it was decided about, or withdrawn.')
      seeOther(ctx, ownAppPath(id), {
        heading: 'The change is withdrawn.',
        lines: [`${name} stays as it is.`],
      })
    },

    async askAgain(ctx: SignedIn): Promise<void> {
      const { id } = await getOwnApp(db, ctx)
      const asked = await askAgain(db, id, actingUser(ctx))
      seeOther(
        ctx,
        ownAppPath(id),
        asked
          ? { heading: 'You asked again.', lines: ['An administrator will look at it.'] }
          : { heading: 'Nothing was changed: the app is not rejected any more.', tone: 'warning' },
      )
    },

    remove: removeForm({ db, render }),
  }
}

function removeForm({ db, render }: Pick<DeveloperParts, 'db' | 'render'>) {
  const confirm = confirmPages(render, 'account')
  return {
    async show(ctx: SignedIn): Promise<void> {
      confirm(ctx, removePage(await getOwnApp(db, ctx)))
    },
    async send(ctx: SignedIn): Promise<void> {
      const app = await getOwnApp(db, ctx)
      const typed = sentText(ctx, 'confirm', 400)
      if (typed.trim().normalize('NFC') !== app.name.normalize('NFC')) {
        return confirm(ctx, removePage(app, typed), { confirm: `Name of the app: type ${app.name}.` })
      }
      if (!(await deleteClient(db, app.id, actingUser(ctx)))) throw new NotFound('There is no such app.')
      seeOther(ctx, '/developer', {
        heading: `${app.name} is deleted.`,
        lines: ['Its tokens are dead. Nobody can sign in to it any more.'],
      })
    },
  }
}

function removePage(app: Client, typed = ''): Confirmation {
  return {
    app: appView(app),
    heading: `Delete ${app.name}?`,
    will: [
      'Everybody who uses it is signed out of it: its tokens are dead at once.',
      'Its secrets and its client id are gone. Nothing brings them back.',
    ],
    will_not: ['What happened stays in the record of the administrators.'],
    confirm_label: 'Delete for good',
    danger: true,
    cancel_href: ownAppPath(app.id),
    field: {
      name: 'confirm',
      label: 'Name of the app',
      hint: `Type ${app.name} to confirm.`,
      kind: 'text',
      value: typed,
    },
  }
}

/** What the state of an app means for its owners, and what they can do. */
function meaningOf(client: Client): { heading: string; lines: string[]; tone: string } | undefined {
  if (client.suspended_at) {
    return {
      tone: 'danger',
      heading: 'An administrator suspended this app',
      lines: [
        'Nobody can sign in to it, and its tokens are dead.',
        'Ask the administrators what has to change. You can edit it meanwhile.',
      ],
    }
  }
  if (client.state === 'pending') {
    const earlier = client.state_reason ? [`It was rejected before: ${client.state_reason}`] : []
    const serves =
      client.type === 'service'
        ? 'It gets no tokens until an administrator has approved it.'
        : 'Until an administrator has approved it, its owners and its test users can sign in to it. Everybody else sees a page that says so.'
    return {
      tone: 'info',
      heading: 'This app waits for approval',
      lines: [serves, 'You need not do anything. You can go on editing it.', ...earlier],
    }
  }
  if (client.state === 'rejected') {
    return {
      tone: 'danger',
      heading: 'An administrator rejected this app',
      lines: [client.state_reason, 'Nobody can sign in to it. Edit what is wrong, then ask again.'],
    }
  }
  return undefined
}
