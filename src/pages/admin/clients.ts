// The apps as administrators find and read them.

import { isDocumentId } from '../../core/clients/document-url.ts'
import { APP_TYPES, isConfidential } from '../../core/clients/kinds.ts'
import { findOwners } from '../../core/clients/owners.ts'
import { findChange } from '../../core/clients/pending-changes.ts'
import { appView, hostOf } from '../../core/clients/presentation.ts'
import {
  type ClientSummary,
  countUsers,
  MOST_COUNTED,
  SHORTEST,
  searchClients,
} from '../../core/clients/search.ts'
import { listSecrets } from '../../core/clients/secrets.ts'
import { type Client, findClient } from '../../core/clients/store.ts'
import { findDocument } from '../../core/registration/metadata-documents.ts'
import type { ResourceDirectory } from '../../core/resources/cache.ts'
import type { Pool } from '../../db/pool.ts'
import { NotFound } from '../../http/errors.ts'
import { takeNotice } from '../../http/notice.ts'
import { pageOf, queryChoice, queryText, withQuery } from '../../http/query.ts'
import type { Render } from '../../http/render.ts'
import { when } from '../../http/time.ts'
import type { SignedIn } from '../../protocol/guards.ts'
import { fieldFacts } from '../shared/client-facts.ts'
import { differenceView, KIND_WORDS, STATE_WORDS, secretView, stateOf } from '../shared/labels.ts'

// The address of a document, where that is the id of an app.
const LONGEST_CURSOR = 520
const PAGE = 25
const STATES = ['pending', 'changed', 'active', 'suspended', 'rejected'] as const
const DOORS = ['admin', 'developer', 'itself'] as const
const UNUSED_DAYS = ['30', '90', '180', '365'] as const
const MOST_USERS = 50_000

const DOOR_WORDS = {
  admin: 'by an administrator',
  developer: 'by a developer',
  itself: 'by itself',
} as const

/** Handlers of /admin/clients and /admin/clients/:client_id. @param mayRegister whether apps may register themselves now */
export function clientAdmin({
  db,
  documents,
  resources,
  mayRegister,
  render,
}: {
  db: Pool
  /** Whether an app's id may be the address of its document. */
  documents: boolean
  resources: ResourceDirectory
  mayRegister: boolean
  render: Render
}) {
  return {
    async list(ctx: SignedIn): Promise<void> {
      const text = queryText(ctx, 'q')
      const state = queryChoice(ctx, 'state', STATES)
      const type = queryChoice(ctx, 'type', APP_TYPES)
      const registered_by = queryChoice(ctx, 'by', DOORS)
      const unused = queryChoice(ctx, 'unused', UNUSED_DAYS)
      const asked = { q: text, state, type, by: registered_by, unused }
      const tooShort = text.length > 0 && [...text].length < SHORTEST
      const unused_since = unused ? new Date(Date.now() - Number(unused) * 86_400_000) : undefined
      const found = tooShort
        ? []
        : await searchClients(db, {
            text,
            state,
            type,
            registered_by,
            unused_since,
            after: queryText(ctx, 'after', LONGEST_CURSOR) || undefined,
            limit: PAGE + 1,
          })
      const { rows, next_href } = pageOf(found, PAGE, ({ cursor }) =>
        withQuery('/admin/clients', { ...asked, after: cursor }),
      )
      render(ctx, 'admin/clients', {
        done: takeNotice(ctx),
        may_register: mayRegister,
        apps: rows.map(summaryView),
        next_href,
        is_filtered: Object.values(asked).some(Boolean),
        values: asked,
        errors: tooShort ? { q: `Enter at least ${SHORTEST} characters.` } : {},
        states: options(STATES, { ...STATE_WORDS, changed: 'A change waits' }),
        kinds: options(APP_TYPES, KIND_WORDS),
        doors: options(DOORS, DOOR_WORDS),
        blocked_href: documents ? '/admin/clients/blocked' : undefined,
        unused_days: UNUSED_DAYS.map((days) => ({ value: days, label: `${days} days` })),
      })
    },

    async show(ctx: SignedIn): Promise<void> {
      const client = await getApp(db, ctx)
      const [owners, change, secrets, users, apis, document] = await Promise.all([
        findOwners(db, client.id),
        findChange(db, client.id),
        listSecrets(db, client.id),
        countUsers(db, client.id, MOST_USERS),
        resources.all(),
        isDocumentId(client.id) ? findDocument(db, client.id) : undefined,
      ])
      const path = `/admin/clients/${encodeURIComponent(client.id)}`
      render(ctx, 'admin/client', {
        done: takeNotice(ctx),
        app: appView(client),
        client: {
          ...client,
          kind: KIND_WORDS[client.type],
          door: DOOR_WORDS[client.registered_by],
        },
        facts: fieldFacts(client, apis),
        state: stateOf(client),
        document_read: document && when(document.fetched_at),
        created: when(client.created_at),
        last_used: client.last_used_at ? when(client.last_used_at) : undefined,
        verified: client.verified_at ? when(client.verified_at) : undefined,
        verification_fell: client.verification_fell_at ? when(client.verification_fell_at) : undefined,
        users: counted(users, MOST_USERS),
        owners,
        change:
          change && !change.rejected_at
            ? {
                differences: differenceView(change.changes),
                by: change.requested_by,
                since: when(change.created_at),
              }
            : undefined,
        keeps_secrets: isConfidential(client.type),
        secrets: secrets.map((secret) => secretView(secret, path)),
        path,
        access_href: withQuery('/admin/consents', { app: client.id }),
        audit_href: withQuery('/admin/audit', { app: client.id }),
      })
    },
  }
}

/** The app that an address names. @throws NotFound for an API's credentials, too. */
async function getApp(db: Pool, ctx: SignedIn): Promise<Client> {
  const client = await findClient(db, String(ctx.params.client_id))
  if (!client || client.type === 'resource_server') throw new NotFound('There is no such app.')
  return client
}

function summaryView(client: ClientSummary) {
  return {
    href: `/admin/clients/${encodeURIComponent(client.id)}`,
    id: client.id,
    name: client.name,
    // What an app says of itself nobody has checked; where it sends people is what it does.
    host: hostOf(
      isDocumentId(client.id)
        ? client.id
        : ((client.registered_by === 'itself' ? null : client.homepage_uri) ?? client.redirect_uris[0]),
    ),
    kind: KIND_WORDS[client.type],
    owners: client.owners,
    is_dynamic: client.registered_by === 'itself',
    state: stateOf(client),
    verified: client.verified_at !== null,
    first_party: client.first_party,
    users: counted(client.users, MOST_COUNTED),
    last_used: client.last_used_at ? when(client.last_used_at) : undefined,
  }
}

function counted(count: number, most: number): string {
  return count < most ? count.toLocaleString('en') : `${most.toLocaleString('en')} or more`
}

function options<T extends string>(values: readonly T[], words: Record<T, string>) {
  return values.map((value) => ({ value, label: words[value] }))
}
