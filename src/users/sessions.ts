// The login session of the provider, one for the protocol and for our own pages. Its id is kept as SHA-256 only.
import type { Actor } from '../audit/events.ts'
import { record } from '../audit/store.ts'
import { digest } from '../credentials.ts'
import { type Db, fragment, maybe, named, run, sql, tx } from '../db/pool.ts'
import { SWEEP_BATCH, type Sweep } from '../db/sweep.ts'
import type { User } from './store.ts'

/** A session that lives, with its user when somebody is signed in. */
export interface SessionRow {
  payload: Record<string, unknown>
  user: User | null
}

const SESSION_AND_USER = fragment`
  select s.payload, s.user_id, u.id, u.email, u.email_verified, u.name, u.role, u.created_at, u.last_sign_in_at, u.disabled_at
  from sessions s left join users u on u.id = s.user_id`

/** Finds a session by its id or its uid; a disabled user has none. */
export async function findSession(
  db: Db,
  by: { id: string } | { uid: string },
): Promise<SessionRow | undefined> {
  const row = await maybe<{ payload: Record<string, unknown>; user_id: string | null } & User>(
    db,
    'id' in by
      ? named(
          'session by id',
          sql`${SESSION_AND_USER}
              where s.hash = ${digest(by.id)} and s.expires_at > now() and u.disabled_at is null`,
        )
      : named(
          'session by uid',
          sql`${SESSION_AND_USER}
              where s.uid = ${by.uid} and s.expires_at > now() and u.disabled_at is null`,
        ),
  )
  if (!row) return undefined
  const { payload, user_id, ...user } = row
  return { payload, user: user_id === null ? null : user }
}

/** What is stored of a session besides its id. */
export interface SessionState {
  uid: string
  user_id: string | null
  payload: string
  /** Seconds. */
  expiresIn: number
  /** The epoch of the sign-in that makes this session; undefined when nobody signs in with it. */
  epoch?: number
}

/** Stores a new session; not one of a sign-in that was ended before it came to a session. */
export async function createSession(db: Db, id: string, session: SessionState): Promise<void> {
  if (session.epoch !== undefined) return createSignedInSession(db, id, session)
  await run(
    db,
    named(
      'create session',
      sql`insert into sessions (hash, uid, user_id, payload, expires_at)
          values (${digest(id)}, ${session.uid}, ${session.user_id}, ${session.payload},
                  now() + make_interval(secs => ${session.expiresIn}))`,
    ),
  )
}

// The account is locked: a new password either waits and then ends this session, or was first and prevents it.
async function createSignedInSession(db: Db, id: string, session: SessionState): Promise<void> {
  await run(
    db,
    named(
      'create signed-in session',
      sql`insert into sessions (hash, uid, user_id, payload, expires_at)
          select ${digest(id)}, ${session.uid}, u.id, ${session.payload}::json,
                 now() + make_interval(secs => ${session.expiresIn})
          from users u
          where u.id = ${session.user_id} and u.sign_in_epoch = ${session.epoch} and u.disabled_at is null
          for share`,
    ),
  )
}

/** Renews a stored session. One that was ended meanwhile stays ended. */
export async function renewSession(db: Db, id: string, session: SessionState): Promise<void> {
  await run(
    db,
    named(
      'renew session',
      sql`update sessions
          set user_id = ${session.user_id}, payload = ${session.payload},
              expires_at = now() + make_interval(secs => ${session.expiresIn})
          where hash = ${digest(id)}`,
    ),
  )
}

/**
 * Forgets a session. @param signOut set when its user signs out, which is recorded.
 * @returns false when it was gone already.
 */
export function destroySession(db: Db, id: string, signOut?: Actor): Promise<boolean> {
  return tx(db, async (t) => {
    const ended = await maybe<{ user_id: string | null }>(
      t,
      sql`delete from sessions where hash = ${digest(id)} returning user_id`,
    )
    if (signOut && ended?.user_id) {
      await record(
        t,
        { type: 'sign_out', user_id: ended.user_id },
        { ...signOut, type: 'user', id: ended.user_id },
      )
    }
    return ended !== undefined
  })
}

/** Expired sessions. */
export const sweepSessions: Sweep = (db) =>
  run(
    db,
    sql`delete from sessions where hash = any(array(
          select hash from sessions where expires_at < now() limit ${SWEEP_BATCH} for update skip locked))`,
  )
