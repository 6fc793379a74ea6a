// Searching people by any part of their name or e-mail address, and their sessions for administrators.
import type { Actor } from '../../base/audit-events.ts'
import { CURSOR, isBefore, type Listed } from '../../db/cursor.ts'
import { type Db, fragment, many, run, sql, tx } from '../../db/pool.ts'
import { record } from '../audit/store.ts'
import { holdPerson } from '../escalation/users.ts'
import { tellOfChange } from './notices.ts'
import type { User } from './store.ts'
import { endResets } from './undo.ts'

/** Which accounts to find; an absent member matches all. */
export interface UserFilter {
  /** Part of a name or e-mail address, at least three characters. */
  text?: string
  role?: User['role']
  disabled?: boolean
  limit?: number
  /** The cursor of the last one already seen, or its id while it is there. */
  after?: string
}

/** Accounts, newest first. */
export function searchUsers(db: Db, filter: UserFilter = {}): Promise<Listed<User>[]> {
  const { role = null, disabled = null } = filter
  const text = filter.text ? filter.text.toLowerCase() : null
  return many<Listed<User>>(
    db,
    sql`select id, email, email_verified, name, role, created_at, last_sign_in_at, disabled_at, ${CURSOR}
        from users
        where (${text}::text is null
               or (search_grams(lower(name || ' ' || email)) @> search_grams(${text})
                   and strpos(lower(name || ' ' || email), ${text}) > 0))
          and (${role}::text is null or role = ${role})
          and (${disabled}::boolean is null or (disabled_at is not null) = ${disabled})
          and ${isBefore(fragment`users`, filter.after)}
        order by created_at desc, id desc
        limit ${filter.limit ?? 50}`,
  )
}

/** A browser in which an account is signed in. */
export interface SessionSummary {
  uid: string
  created_at: Date
  expires_at: Date
}

/** Where an account is signed in now, newest first. */
export function listSessions(db: Db, user_id: string): Promise<SessionSummary[]> {
  return many<SessionSummary>(
    db,
    sql`select uid, created_at, expires_at from sessions
        where user_id = ${user_id} and expires_at > now()
        order by created_at desc
        limit 100`,
  )
}

/**
 * Signs an account out everywhere, and ends sign-ins that have begun and links for a new password. Apps keep their access.
 * @param keepSessionUid the session that stays. @returns how many ended, or undefined when there is no such account
 * @throws LesserPower, NotAdministrator
 */
export function endSessions(
  db: Db,
  user_id: string,
  by: Actor,
  keepSessionUid = '',
): Promise<number | undefined> {
  return tx(db, async (t) => {
    const held = await holdPerson(t, user_id, by)
    if (!held) return undefined
    await run(t, sql`update users set sign_in_epoch = sign_in_epoch + 1 where id = ${user_id}`)
    await endResets(t, user_id)
    const sessions = await run(
      t,
      sql`delete from sessions where user_id = ${user_id} and uid <> ${keepSessionUid}`,
    )
    await record(t, { type: 'user.signed_out_everywhere', user_id, sessions }, by)
    await tellOfChange(t, held.person, 'signed_out', by)
    return sessions
  })
}
