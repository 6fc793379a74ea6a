// Registrations that stand in a document at the address which is the client's id: what is kept of the document, and whether
// it may be read (again). Reading it is document-reader.ts's; the rules stand in metadata.ts.
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
import { mayUpdateDynamicClient, type OpenDoor, putRegistration, type SelfRegistered } from './store.ts'

const CURSOR_AT = fragment`d.refused_at`
const CURSOR_ID = fragment`d.client_id`

/** What is known of a document. */
export interface StoredDocument {
  fetched_at: Date
  fresh_until: Date
  /** It could not be read, and is not tried again before. */
  retry_at: Date | null
  /** The app is deleted; it comes back when somebody uses it again. */
  is_gone: boolean
  /** An operator decided about the app: the document is not looked at. */
  is_closed: boolean
}

/** A document as it was read, by our rules. */
export interface ReadDocument extends Requested {
  /** SHA-256 of what it says. */
  digest: Buffer
  fresh_seconds: number
}

/** An app that was deleted and does not come back by itself. */
export interface BlockedDocument {
  client_id: string
  name: string
  refused_at: Date
}

/** What is known of the document of a client id, that of a deleted app too. */
export function findDocument(db: Db, client_id: string): Promise<StoredDocument | undefined> {
  return maybe<StoredDocument>(
    db,
    sql`select d.fetched_at, d.fresh_until, d.retry_at, c.deleted_at is not null as is_gone,
               case when c.deleted_at is null then c.suspended_at is not null or c.state = 'rejected' or c.first_party
                    else d.refused_at is not null
                      -- Allowed again, and what was allowed before is still being ended.
                      or exists (select from consents where client_id = c.id and revoked_at is null
                                 and (expires_at is null or expires_at > now()))
               end as is_closed
        from client_documents d join clients c on c.id = d.client_id
        where d.client_id = ${client_id}`,
  )
}

/**
 * Keeps what a document says: registers the app, changes it, or brings one back that was removed because nobody used it. One
 * that says the same as before changes nothing. @throws InvalidMetadata
 */
export function keepDocument(
  db: Db,
  client_id: string,
  document: ReadDocument,
  door: OpenDoor,
  by: Actor,
): Promise<void> {
  const m = validMetadata(document.input)
  const itself: Actor = { ...by, type: 'client', id: client_id }
  return tx(db, async (t) => {
    // Several nodes may have read it at once, while there is no row yet that one of them could hold.
    await run(t, sql`select pg_advisory_xact_lock(hashtextextended(${client_id}, 0))`)
    await checkScopes(t, m.scopes, 'itself', m.type)
    const stored = await findDocument(t, client_id)
    if (stored?.is_closed) return
    if (!stored) {
      const state = door.approval ? 'pending' : 'active'
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
      await recordArrival(t, client_id, client.type, state, itself)
      return
    }
    if (stored.is_gone) await bringBack(t, client_id, door)
    const before = await maybe<SelfRegistered & { digest: Buffer }>(
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
      await putRegistration(t, before, { ...document, metadata: m, approval: door.approval }, itself)
    }
    if (stored.is_gone) {
      await recordArrival(t, client_id, m.type, door.approval ? 'pending' : 'active', itself)
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

/** Apps that were deleted and do not come back by themselves, the last one first. @param page.after a cursor */
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

/** An app that was deleted and does not come back by itself. */
export function findBlockedDocument(db: Db, client_id: string): Promise<BlockedDocument | undefined> {
  return maybe<BlockedDocument>(
    db,
    sql`select d.client_id, c.name, d.refused_at
        from client_documents d join clients c on c.id = d.client_id
        where d.client_id = ${client_id} and d.refused_at is not null and c.deleted_at is not null`,
  )
}

/**
 * Lets a deleted app come back when somebody uses it: as one that nobody knows. What people allowed before it was deleted is
 * ended in the background; until that is done it stays away. @returns whether anything changed.
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

// As new: whatever an operator or a person decided was about the one that is gone.
async function bringBack(t: Db, client_id: string, { approval }: OpenDoor): Promise<void> {
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

function recordArrival(t: Db, client_id: string, client_type: string, state: string, itself: Actor) {
  const host = hostOf(client_id)
  return record(t, { type: 'client.registered', client_id, client_type, host, state }, itself)
}
