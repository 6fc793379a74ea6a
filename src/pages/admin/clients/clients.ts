// Apps as administrators search for them, and the page of one app.
import { isDocumentId } from '../../../core/clients/document-url.ts'
import { REGISTRARS } from '../../../core/clients/fields.ts'
import { APP_TYPES, isConfidential } from '../../../core/clients/kinds.ts'
import { findOwners } from '../../../core/clients/owners.ts'
import { findChange } from '../../../core/clients/pending-changes.ts'
import { appView, hostOf } from '../../../core/clients/presentation.ts'
import {
  type ClientSummary,
  countUsers,
  MOST_COUNTED,
  SHORTEST,
  searchClients,
} from '../../../core/clients/search.ts'
import { listSecrets } from '../../../core/clients/secrets.ts'
import { findDocument } from '../../../core/registration/metadata-documents.ts'
import type { ResourceDirectory } from '../../../core/resources/cache.ts'
import type { Pool } from '../../../db/pool.ts'
import { takeNotice } from '../../../http/notice.ts'
import { pageOf, queryChoice, queryText, withQuery } from '../../../http/query.ts'
import type { Render } from '../../../http/render.ts'
import { when } from '../../../http/time.ts'
import type { SignedIn } from '../../../protocol/guards.ts'
import { fieldFacts } from '../../shared/client-facts.ts'
import {
  CLIENT_STATE_LABELS,
  countText,
  differenceView,
  KIND_LABELS,
  secretView,
  stateOf,
} from '../../shared/labels.ts'
import { appPath, getApp } from './path.ts'

// A client id that is a URL is long, and the cursor holds it.
const LONGEST_CURSOR = 520
const PAGE = 25
const STATES = ['pending', 'changed', 'active', 'suspended', 'rejected'] as const
const UNUSED_DAYS = ['30', '90', '180', '365'] as const
const MOST_USERS = 50_000

const REGISTRAR_LABELS = {
  admin: 'by an administrator',
  developer: 'by a developer',
  itself: 'by itself',
} as const

interface ClientParts {
  db: Pool
  /** Whether the id of an app may be the URL of its metadata document. */
  documents: boolean
  resources: ResourceDirectory
  /** Whether apps may register themselves now. */
  mayRegister: boolean
  render: Render
}

type Page = (ctx: SignedIn) => Promise<void>

/** Handlers of /admin/clients and /admin/clients/:client_id. */
export function clientAdmin(parts: ClientParts): { list: Page; show: Page } {
  return { list: listPage(parts), show: clientPage(parts) }
}

function listPage({ db, documents, mayRegister, render }: ClientParts): Page {
  return async (ctx) => {
    const text = queryText(ctx, 'q')
    const state = queryChoice(ctx, 'state', STATES)
    const type = queryChoice(ctx, 'type', APP_TYPES)
    const registered_by = queryChoice(ctx, 'by', REGISTRARS)
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
      states: options(STATES, { ...CLIENT_STATE_LABELS, changed: 'A change waits' }),
      kinds: options(APP_TYPES, KIND_LABELS),
      registrars: options(REGISTRARS, REGISTRAR_LABELS),
      blocked_href: documents ? '/admin/clients/blocked' : undefined,
      unused_days: UNUSED_DAYS.map((days) => ({ value: days, label: `${days} days` })),
    })
  }
}

function clientPage({ db, resources, render }: ClientParts): Page {
  return async (ctx) => {
    const client = await getApp(db, ctx)
    const [owners, change, secrets, users, apis, document] = await Promise.all([
      findOwners(db, client.id),
      findChange(db, client.id),
      listSecrets(db, client.id),
      countUsers(db, client.id, MOST_USERS),
      resources.all(),
      isDocumentId(client.id) ? findDocument(db, client.id) : undefined,
    ])
    const path = appPath(client.id)
    render(ctx, 'admin/client', {
      done: takeNotice(ctx),
      app: appView(client),
      client: {
        ...client,
        kind: KIND_LABELS[client.type],
        registrar: REGISTRAR_LABELS[client.registered_by],
      },
      facts: fieldFacts(client, apis),
      state: stateOf(client),
      document_read: document && when(document.fetched_at),
      created: when(client.created_at),
      last_used: when(client.last_used_at),
      verified: when(client.verified_at),
      verification_fell: when(client.verification_fell_at),
      users: countText(users, MOST_USERS),
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
  }
}

function summaryView(client: ClientSummary) {
  return {
    href: appPath(client.id),
    id: client.id,
    name: client.name,
    // Nobody has checked what a dynamic client says of itself. Its redirect URI is where it really sends people.
    host: hostOf(
      isDocumentId(client.id)
        ? client.id
        : ((client.registered_by === 'itself' ? null : client.homepage_uri) ?? client.redirect_uris[0]),
    ),
    kind: KIND_LABELS[client.type],
    owners: client.owners,
    is_dynamic: client.registered_by === 'itself',
    state: stateOf(client),
    verified: client.verified_at !== null,
    first_party: client.first_party,
    users: countText(client.users, MOST_COUNTED),
    last_used: when(client.last_used_at),
  }
}

function options<T extends string>(values: readonly T[], labels: Record<T, string>) {
  return values.map((value) => ({ value, label: labels[value] }))
}
