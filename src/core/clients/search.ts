// Searching a hundred thousand apps: by any part of their name, id or redirect URIs, or by their owners.
import { CURSOR, isBefore, type Listed } from '../../db/cursor.ts'
import { type Db, fragment, many, sql } from '../../db/pool.ts'
import { CLIENT_STATES } from './kinds.ts'
import type { Client } from './store.ts'

/** The states to search for; `changed`: a change of the app waits for a decision. */
export const SEARCHED_STATES = [...CLIENT_STATES, 'suspended', 'changed'] as const

/** Which apps to find; an absent member matches all. */
export interface ClientFilter {
  /** Part of a name, id or redirect URI, or the beginning of an owner's e-mail address; at least {@link SHORTEST} characters. */
  text?: string
  /** `changed`: a change of it waits for a decision. */
  state?: (typeof SEARCHED_STATES)[number]
  type?: Client['type']
  registered_by?: Client['registered_by']
  /** Apps that were registered, and last got a token, before this moment. */
  unused_since?: Date
  limit?: number
  /** The cursor of the last one already seen, or its id while it is there. */
  after?: string
}

/** An app in a list. */
export interface ClientSummary
  extends Pick<
    Client,
    | 'id'
    | 'name'
    | 'type'
    | 'state'
    | 'registered_by'
    | 'first_party'
    | 'verified_at'
    | 'suspended_at'
    | 'created_at'
    | 'last_used_at'
    | 'redirect_uris'
    | 'homepage_uri'
  > {
  /** E-mail addresses. */
  owners: string[]
  /** People who allow it now; at most {@link MOST_COUNTED}. */
  users: number
}

/** Shorter texts cannot use the index. */
export const SHORTEST = 3

/** The most people that a list counts, so that it does not take longer for apps with many users. */
export const MOST_COUNTED = 2_000

const MOST_FOUND = 2_000

/** Apps, newest first. The credentials of APIs are not among them. */
export async function searchClients(db: Db, filter: ClientFilter = {}): Promise<Listed<ClientSummary>[]> {
  const text = filter.text ? filter.text.toLowerCase() : null
  const found = text ? await matching(db, text) : null
  const changed = filter.state === 'changed' ? await withChange(db) : null
  const { state = null, type = null, registered_by = null, unused_since = null } = filter
  return many<Listed<ClientSummary>>(
    db,
    sql`select c.id, c.name, c.type, c.state, c.registered_by, c.first_party, c.verified_at, c.suspended_at, c.created_at,
               c.last_used_at, c.redirect_uris, c.homepage_uri, c.cursor,
               array(select u.email from client_owners o join users u on u.id = o.user_id
                     where o.client_id = c.id order by o.created_at limit 5) as owners,
               (select count(*)::int from (select from consents s
                                           where s.client_id = c.id and s.revoked_at is null limit ${MOST_COUNTED}) counted) as users
        from (
          select *, ${CURSOR} from clients
          where deleted_at is null and type <> 'resource_server'
            and (${text}::text is null or id = any(${found}::text[])
                 -- So many apps match that reading the newest first soon finds a page of them.
                 or (${found === null} and strpos(words, ${text}) > 0))
            and (${changed}::text[] is null or id = any(${changed}))
            and (${state}::text is null
                 or (${state} = 'suspended' and suspended_at is not null)
                 or ${state} = 'changed'
                 or (state = ${state} and (${state} <> 'active' or suspended_at is null)))
            and (${type}::text is null or type = ${type})
            and (${registered_by}::text is null or registered_by = ${registered_by})
            and (${unused_since}::timestamptz is null or coalesce(last_used_at, created_at) < ${unused_since})
            and ${isBefore(fragment`clients`, filter.after)}
          order by created_at desc, id desc
          limit ${filter.limit ?? 50}
        ) c
        order by c.created_at desc, c.id desc`,
  )
}

/** How many people allow an app now, at most `most`. */
export async function countUsers(db: Db, client_id: string, most: number): Promise<number> {
  const [row] = await many<{ users: number }>(
    db,
    sql`select count(*)::int as users
        from (select from consents where client_id = ${client_id} and revoked_at is null limit ${most}) counted`,
  )
  return row!.users
}

async function withChange(db: Db): Promise<string[]> {
  const rows = await many<{ client_id: string }>(
    db,
    sql`select client_id from client_changes where rejected_at is null order by created_at limit ${MOST_FOUND}`,
  )
  return rows.map(({ client_id }) => client_id)
}

// The ids of the apps that match a text, by themselves or by their owners; null when there are too many. A statement of its own, so that
// Postgres uses the index and never computes the trigrams of a row.
async function matching(db: Db, text: string): Promise<string[] | null> {
  const named = await many<{ id: string }>(
    db,
    sql`select id from clients
        where deleted_at is null and search_grams(words) @> search_grams(${text}) and strpos(words, ${text}) > 0
        limit ${MOST_FOUND}`,
  )
  if (named.length === MOST_FOUND) return null
  const owned = await many<{ id: string }>(
    db,
    sql`with people as materialized (
          select id from users
          where email collate "C" >= ${text} and email collate "C" < ${`${text}\u{10ffff}`}
          limit ${MOST_FOUND}
        )
        select o.client_id as id from people join client_owners o on o.user_id = people.id
        limit ${MOST_FOUND}`,
  )
  return [...named, ...owned].map(({ id }) => id)
}
