// The login session of oidc-provider, which our own pages use, too. Its id is stored as SHA-256 only.
import type { Actor } from '../../base/audit-events.ts'
import { digest } from '../../base/credentials.ts'
import { DatabaseUnavailable } from '../../db/errors.ts'
import { type Db, fragment, maybe, named, run, sql, tx } from '../../db/pool.ts'
import { SWEEP_BATCH, type Sweep } from '../../db/sweep.ts'
import { undoList } from '../../db/undo.ts'
import { record } from '../audit/store.ts'
import type { User } from './store.ts'

/** A live session, with its user when somebody is signed in. */
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

/** What is stored of a session beside its id. */
export interface SessionState {
  uid: string
  user_id: string | null
  payload: string
  /** Seconds. */
  expiresIn: number
  /** The epoch of the sign-in that makes this session; undefined when nobody signs in with it. */
  epoch?: number
}

// The id is new and random: if a row has it already, this request stored it and lost the answer.
const STORED_ALREADY = fragment`
  on conflict (hash) do update
  set user_id = excluded.user_id, payload = excluded.payload, expires_at = excluded.expires_at`

/** Stores a new session, unless its sign-in was ended meanwhile. */
export async function createSession(db: Db, id: string, session: SessionState): Promise<void> {
  if (session.epoch !== undefined) return createSignedInSession(db, id, session)
  await run(
    db,
    named(
      'create session',
      sql`insert into sessions (hash, uid, user_id, payload, expires_at)
          values (${digest(id)}, ${session.uid}, ${session.user_id}, ${session.payload},
                  now() + make_interval(secs => ${session.expiresIn}))
          ${STORED_ALREADY}`,
    ),
  )
}

// Lock the account: a change of the password either waits and then ends this session, or was first and prevents it.
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
          for share
          ${STORED_ALREADY}`,
    ),
  )
}

/** Gives sessions new ids after a sign-in. */
export interface Rotations {
  /**
   * Gives a session another id and new content, unless the session or its sign-in was ended meanwhile. @returns whether it lives
   * @throws DatabaseUnavailable; the change, if it happened, is undone then. Also when another request was faster: the browser has the
   * new id already, or gets it with the answer to that request
   */
  rotate(from: string, to: string, session: SessionState): Promise<boolean>
  /** Undoes a change of a session with this id that is left to undo. Call it before finding the session. @throws DatabaseUnavailable */
  settle(id: string): Promise<void>
  close(): Promise<void>
}

/** See {@link Rotations}. */
export function sessionRotations(db: Db): Rotations {
  // The browser that got no answer still has the old id.
  const left = undoList((rotation: Rotation) => undoRotation(db, rotation))
  const keyOf = (id: string) => digest(id).toString('latin1')
  return {
    async rotate(from, to, session) {
      const done: { before?: FormerSession } = {}
      try {
        return await tx(db, async (t) => {
          // Lock the account first, as everything does that ends its sessions.
          if (!(await isSignInLive(t, session))) {
            await destroySession(t, from)
            return false
          }
          done.before = await giveId(t, from, to, session)
          if (!done.before) await mustNotHaveRotated(t, from)
          return done.before !== undefined
        })
      } catch (error) {
        const { before } = done
        if (before && error instanceof DatabaseUnavailable) left.add(keyOf(from), { from, to, before })
        throw error
      }
    },
    settle: (id) => left.settle(keyOf(id)),
    close: left.close,
  }
}

interface Rotation {
  from: string
  to: string
  before: FormerSession
}

interface FormerSession {
  user_id: string | null
  payload: string
  created_at: string
  expires_at: string
  /** The epoch of its user. */
  epoch: number | null
}

async function isSignInLive(
  t: Db,
  { user_id, epoch }: { user_id: string | null; epoch?: number | null },
): Promise<boolean> {
  if (epoch === undefined || epoch === null) return true
  const live = await maybe(
    t,
    sql`select from users
        where id = ${user_id} and sign_in_epoch = ${epoch} and disabled_at is null
        for share`,
  )
  return live !== undefined
}

// Longer than a node needs to undo a change, and than an answer needs to reach its browser.
const LATELY = fragment`interval '20 seconds'`

/**
 * Checks a session that was not found. @throws DatabaseUnavailable when it got another id a moment ago: either the browser gets the new
 * id with the answer to another request, or that change is undone. Setting a cookie now would sign the browser out
 */
export async function mustNotHaveRotated(db: Db, id: string): Promise<void> {
  const rotated = await maybe(
    db,
    sql`select from sessions where former_hash = ${digest(id)} and created_at > now() - ${LATELY}`,
  )
  if (rotated) throw new DatabaseUnavailable('the session got another id a moment ago')
}

function giveId(
  t: Db,
  from: string,
  to: string,
  { user_id, payload, expiresIn }: SessionState,
): Promise<FormerSession | undefined> {
  return maybe<FormerSession>(
    t,
    sql`update sessions s
        set hash = ${digest(to)}, former_hash = b.hash, user_id = ${user_id}, payload = ${payload}, created_at = now(),
            expires_at = now() + make_interval(secs => ${expiresIn})
        from (select * from sessions where hash = ${digest(from)} for update) b
        where s.hash = b.hash
        returning b.user_id, b.payload::text as payload, b.created_at::text as created_at, b.expires_at::text as expires_at,
                  (select sign_in_epoch from users where id = b.user_id) as epoch`,
  )
}

// The former user may have been signed out everywhere since, while the session belonged to somebody else and stayed.
async function undoRotation(db: Db, { from, to, before }: Rotation): Promise<void> {
  await tx(db, async (t) => {
    if (!(await isSignInLive(t, before))) return destroySession(t, to)
    return run(
      t,
      sql`update sessions
          set hash = ${digest(from)}, former_hash = null, user_id = ${before.user_id}, payload = ${before.payload},
              created_at = ${before.created_at}, expires_at = ${before.expires_at}
          where hash = ${digest(to)}`,
    )
  })
}

/** Renews a stored session. One that was ended meanwhile stays ended. @returns whether it is still stored under this id. */
export async function renewSession(db: Db, id: string, session: SessionState): Promise<boolean> {
  const renewed = await run(
    db,
    named(
      'renew session',
      sql`update sessions
          set user_id = ${session.user_id}, payload = ${session.payload},
              expires_at = now() + make_interval(secs => ${session.expiresIn})
          where hash = ${digest(id)}`,
    ),
  )
  return renewed === 1
}

/**
 * Deletes a session. @param signOut set when its user signs out, which is recorded. @returns false when it did not exist
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

/** Deletes expired sessions. */
export const sweepSessions: Sweep = (db) =>
  run(
    db,
    sql`delete from sessions where hash = any(array(
          select hash from sessions where expires_at < now() limit ${SWEEP_BATCH} for update skip locked))`,
  )
