// Links with which people choose a new password: asked for by administrators, mailed or handed over. Only SHA-256 of a link's
// secret is kept. It knows no page.
import { randomBytes } from 'node:crypto'
import type { Actor } from '../audit/events.ts'
import { record } from '../audit/store.ts'
import { digest } from '../credentials.ts'
import { type Db, maybe, one, run, sql, tx } from '../db/pool.ts'
import { queueMail } from '../mail/outbox.ts'
import { endResets, setPassword } from './store.ts'

/** How a person gets the link: by mail, or from the hands of an administrator because no mail is sent. */
export type ResetBy = 'mail' | 'hand'

const LINK_MINUTES = 60

/**
 * Lets a person choose a new password; a link of before ends. @param how by mail it is made when the mail is sent.
 * @returns the path to hand over, this once, or none for a mail; undefined: there is no such account, or it is disabled.
 */
export function sendReset(
  db: Db,
  user_id: string,
  how: ResetBy,
  by: Actor,
): Promise<{ path?: string } | undefined> {
  return tx(db, async (t) => {
    const user = await lockEnabled(t, user_id)
    if (!user) return undefined
    await endResets(t, user_id)
    await record(t, { type: 'user.reset_sent', user_id, how }, by)
    if (how === 'hand') return { path: await makeLink(t, user_id) }
    await queueMail(t, { to: user.email, kind: 'password_reset', params: { name: user.name, user_id } })
    return {}
  })
}

/**
 * The link of a mail that is being sent. @returns its path; undefined when the account was disabled meanwhile, or its
 * password was chosen already with a link of this mail that arrived although we did not hear of it.
 */
export function resetLinkForMail(
  db: Db,
  { user_id }: { user_id: string },
  queued_at: Date,
): Promise<string | undefined> {
  return tx(db, async (t) => {
    if (!(await lockEnabled(t, user_id))) return undefined
    const used = await maybe(
      t,
      sql`select from user_links
          where user_id = ${user_id} and purpose = 'reset' and consumed_at >= ${queued_at} limit 1`,
    )
    if (used) return undefined
    await endLink(t, user_id)
    return makeLink(t, user_id)
  })
}

/** Whose link it is, if it can still be used. */
export function findResetLink(
  db: Db,
  secret: string,
): Promise<{ user_id: string; email: string } | undefined> {
  return maybe(
    db,
    sql`select u.id as user_id, u.email
        from user_links l
        join users u on u.id = l.user_id
        where l.hash = ${digest(secret)} and l.purpose = 'reset' and l.consumed_at is null and l.expires_at > now()
          and u.disabled_at is null`,
  )
}

/**
 * Uses a link up and sets the password, both or neither; every session of the person ends.
 * @returns how many sessions ended; undefined when the link is over.
 */
export function redeemResetLink(
  db: Db,
  secret: string,
  password: string,
  by: Actor,
): Promise<{ user_id: string; sessions: number } | undefined> {
  return tx(db, async (t) => {
    const found = await findResetLink(t, secret)
    // The account first, as everybody does who changes both.
    if (!found || !(await lockEnabled(t, found.user_id))) return undefined
    const { user_id } = found
    const consumed = await run(
      t,
      sql`update user_links set consumed_at = now()
          where hash = ${digest(secret)} and purpose = 'reset' and consumed_at is null and expires_at > now()`,
    )
    if (!consumed) return undefined
    const actor = { ...by, id: user_id }
    const { sessions } = await one<{ sessions: number }>(
      t,
      sql`select count(*)::int as sessions from sessions where user_id = ${user_id} and expires_at > now()`,
    )
    await setPassword(t, user_id, password, actor)
    await record(t, { type: 'user.password_reset', user_id, sessions }, actor)
    return { user_id, sessions }
  })
}

async function lockEnabled(t: Db, id: string): Promise<{ name: string; email: string } | undefined> {
  return maybe(t, sql`select name, email from users where id = ${id} and disabled_at is null for update`)
}

async function endLink(t: Db, user_id: string): Promise<void> {
  await run(
    t,
    sql`delete from user_links where user_id = ${user_id} and purpose = 'reset' and consumed_at is null`,
  )
}

async function makeLink(t: Db, user_id: string): Promise<string> {
  const secret = randomBytes(32).toString('base64url')
  await run(
    t,
    sql`insert into user_links (hash, purpose, user_id, expires_at)
        values (${digest(secret)}, 'reset', ${user_id}, now() + make_interval(mins => ${LINK_MINUTES}))`,
  )
  return `/reset/${secret}`
}
