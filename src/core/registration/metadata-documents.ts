// Clients whose id is the address of their metadata document: what is stored about the document, and when it may be read again.
// document-reader.ts reads documents; clients/metadata.ts has the rules.
import type { Actor } from '../../base/audit-events.ts'
import { cursorOf, isBehindCursor } from '../../db/cursor.ts'
import { type Db, fragment, many, maybe, run, sql, tx } from '../../db/pool.ts'
import { record } from '../audit/store.ts'
import { CLIENT_COLUMNS } from '../clients/columns.ts'
import { insertApp } from '../clients/create.ts'
import { validMetadata } from '../clients/metadata.ts'
import { hostOf } from '../clients/presentation.ts'
import { checkScopes } from '../clients/scopes.ts'
import { endAllAccess } from '../grants/revoke.ts'
import type { Requested } from './rfc7591.ts'
import {
  type DynamicClient,
  mayUpdateDynamicClient,
  type OpenRegistration,
  putRegistration,
} from './store.ts'

const CURSOR_AT = fragment`d.refused_at`
const CURSOR_ID = fragment`d.client_id`

/** What is stored about a document. */
export interface StoredDocument {
  fetched_at: Date
  fresh_until: Date
  /** Set when it could not be read: not tried again before this moment. */
  retry_at: Date | null
  /** The app is deleted; it comes back when somebody uses it again. */
  is_gone: boolean
  /** An operator decided about the app, so the document is not read. */
  is_closed: boolean
}

/** A document that was read and checked. */
export interface ReadDocument extends Requested {
  /** SHA-256 of its content. */
  digest: Buffer
  fresh_seconds: number
}

/** A deleted app that may not come back. */
export interface BlockedDocument {
  client_id: string
  name: string
  refused_at: Date
}

/** What is stored about the document of a client id, including deleted apps. */
export function findDocument(db: Db, client_id: string): Promise<StoredDocument | undefined> {
  return maybe<StoredDocument>(
    db,
    sql`select d.fetched_at, d.fresh_until, d.retry_at, c.deleted_at is not null as is_gone,
               case when c.deleted_at is null then c.suspended_at is not null or c.state = 'rejected' or c.first_party
                    else d.refused_at is not null
                      -- Unblocked, but the job that ends its earlier consents still runs.
                      or exists (select from consents where client_id = c.id and revoked_at is null
                                 and (expires_at is null or expires_at > now()))
               end as is_closed
        from client_documents d join clients c on c.id = d.client_id
        where d.client_id = ${client_id}`,
  )
}

/**
 * Stores a document: registers the app, changes it, or brings back an app that was deleted because nobody used it. An unchanged document
 * changes nothing. @throws InvalidMetadata
 */
export function keepDocument(
  db: Db,
  client_id: string,
  document: ReadDocument,
  open: OpenRegistration,
  by: Actor,
): Promise<void> {
  const m = validMetadata(document.input)
  const byClient: Actor = { ...by, type: 'client', id: client_id }
  return tx(db, async (t) => {
    // Several nodes may have read it at once, while there is no row yet to lock.
    await run(t, sql`select pg_advisory_xact_lock(hashtextextended(${client_id}, 0))`)
    await checkScopes(t, m.scopes, 'itself', m.type)
    const stored = await findDocument(t, client_id)
    if (stored?.is_closed) return
    if (!stored) {
      const state = open.approval ? 'pending' : 'active'
      const { client } = await insertApp(t, client_id, m, { registered_by: 'itself', state })
      const { grant_types, token_endpoint_auth_method } = document
      await run(
        t,
        sql`insert into client_registrations (client_id, grant_types, token_endpoint_auth_method)
            values (${client_id}, ${grant_types}, ${token_endpoint_auth_method})`,
      )
      await run(
        t,
        sql`insert into client_documents (client_id, digest, fresh_until)
            values (${client_id}, ${document.digest}, now() + make_interval(secs => ${document.fresh_seconds}))`,
      )
      await recordArrival(t, client_id, client.type, state, byClient)
      return
    }
    if (stored.is_gone) await bringBack(t, client_id, open)
    const before = await maybe<DynamicClient & { digest: Buffer }>(
      t,
      sql`select ${CLIENT_COLUMNS}, r.grant_types, r.token_endpoint_auth_method, r.allowed_scopes,
                 r.allowed_client_credentials, d.digest
          from clients c
          join client_registrations r on r.client_id = c.id
          join client_documents d on d.client_id = c.id
          where c.id = ${client_id} for update of c`,
    )
    if (!before || !mayUpdateDynamicClient(before)) return
    if (stored.is_gone || !before.digest.equals(document.digest)) {
      await putRegistration(t, before, { ...document, metadata: m, approval: open.approval }, byClient)
    }
    if (stored.is_gone) {
      await recordArrival(t, client_id, m.type, open.approval ? 'pending' : 'active', byClient)
    }
    await run(
      t,
      sql`update client_documents
          set digest = ${document.digest}, fetched_at = now(), retry_at = null,
              fresh_until = now() + make_interval(secs => ${document.fresh_seconds})
          where client_id = ${client_id}`,
    )
  })
}

/** Notes that a document could not be read: no node tries again before that many seconds have passed. */
export async function putOffDocument(db: Db, client_id: string, seconds: number): Promise<void> {
  await run(
    db,
    sql`update client_documents set retry_at = now() + make_interval(secs => ${seconds})
        where client_id = ${client_id}`,
  )
}

/** Deleted apps that may not come back, the last one first. @param page.after a cursor */
export function listBlockedDocuments(
  db: Db,
  page: { limit?: number; after?: string | undefined } = {},
): Promise<(BlockedDocument & { cursor: string })[]> {
  return many<BlockedDocument & { cursor: string }>(
    db,
    sql`select d.client_id, c.name, d.refused_at,
               ${cursorOf(CURSOR_AT, CURSOR_ID)}
        from client_documents d join clients c on c.id = d.client_id
        where d.refused_at is not null and c.deleted_at is not null
          and ${isBehindCursor({ at: CURSOR_AT, id: CURSOR_ID, isBeyond: fragment`<` }, page.after)}
        order by d.refused_at desc, d.client_id desc
        limit ${page.limit ?? 100}`,
  )
}

/** A deleted app that may not come back. */
export function findBlockedDocument(db: Db, client_id: string): Promise<BlockedDocument | undefined> {
  return maybe<BlockedDocument>(
    db,
    sql`select d.client_id, c.name, d.refused_at
        from client_documents d join clients c on c.id = d.client_id
        where d.client_id = ${client_id} and d.refused_at is not null and c.deleted_at is not null`,
  )
}

/**
 * Lets a deleted app come back, as a new one, when somebody uses it. A job ends what people allowed before it was deleted; until that is
 * done the app stays blocked. @returns whether anything changed.
 */
export function unblockDocument(db: Db, client_id: string, by: Actor): Promise<boolean> {
  return tx(db, async (t) => {
    const changed = await run(
      t,
      sql`update client_documents d set refused_at = null
          from clients c
          where d.client_id = ${client_id} and c.id = d.client_id and c.deleted_at is not null
            and d.refused_at is not null`,
    )
    if (!changed) return false
    await endAllAccess(t, { client_id }, by)
    await record(t, { type: 'client.unblocked', client_id }, by)
    return true
  })
}

// Reset everything that operators or people decided: it was about the deleted app.
async function bringBack(t: Db, client_id: string, { approval }: OpenRegistration): Promise<void> {
  await run(
    t,
    sql`update clients
        set deleted_at = null, suspended_at = null, verified_at = null, first_party = false, created_at = now(),
            last_used_at = null, state = ${approval ? 'pending' : 'active'}, state_reason = ''
        where id = ${client_id}`,
  )
  await run(
    t,
    sql`update client_registrations set looks_changed_at = now(), reviewed_at = now(), warned_at = null
        where client_id = ${client_id}`,
  )
}

function recordArrival(t: Db, client_id: string, client_type: string, state: string, byClient: Actor) {
  const host = hostOf(client_id)
  return record(t, { type: 'client.registered', client_id, client_type, host, state }, byClient)
}
