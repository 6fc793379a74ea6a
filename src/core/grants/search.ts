// Searching consents for administrators: a row for each person and app, whatever devices the app is used on.
import { CURSOR, isBefore, type Listed } from '../../db/cursor.ts'
import { type Db, fragment, many, sql } from '../../db/pool.ts'

/** A live consent, with the devices it is used on. */
export interface Access {
  id: string
  user_id: string
  user_name: string
  email: string
  client_id: string
  client_name: string
  registered_by: 'admin' | 'developer' | 'itself'
  redirect_uris: string[]
  scopes: string[]
  created_at: Date
  expires_at: Date | null
  devices: number
  last_used_at: Date | null
}

/** Which consents to find; an absent member matches all. */
export interface AccessFilter {
  id?: string
  user_id?: string
  client_id?: string
  limit?: number
  /** The cursor of the last one already seen, or its id while it is there. */
  after?: string
}

/** Live consents, newest first. */
export function searchAccess(db: Db, filter: AccessFilter = {}): Promise<Listed<Access>[]> {
  const { id = null, user_id = null, client_id = null } = filter
  return many<Listed<Access>>(
    db,
    sql`select s.id, s.user_id, u.name as user_name, u.email, s.client_id, c.name as client_name, c.registered_by,
               c.redirect_uris, s.scopes, s.created_at, s.expires_at, d.devices, d.last_used_at, s.cursor
        from (
          select *, ${CURSOR} from consents
          where revoked_at is null
            and (${id}::uuid is null or id = ${id})
            and (${user_id}::uuid is null or user_id = ${user_id})
            and (${client_id}::text is null or client_id = ${client_id})
            and ${isBefore(fragment`consents`, filter.after)}
          order by created_at desc, id desc
          limit ${filter.limit ?? 50}
        ) s
        join users u on u.id = s.user_id
        join clients c on c.id = s.client_id
        left join lateral (
          select count(distinct device_id)::int as devices, max(last_used_at) as last_used_at
          from grants where consent_id = s.id and revoked_at is null and expires_at > now()
        ) d on true
        order by s.created_at desc, s.id desc`,
  )
}
