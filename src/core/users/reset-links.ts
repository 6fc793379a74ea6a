// Links with which people choose a new password. Administrators ask for them, and they are mailed or handed over. Only SHA-256 of
// the secret of a link is stored. It knows no page.
import { randomBytes } from 'node:crypto'
import type { Actor } from '../../base/audit-events.ts'
import { digest } from '../../base/credentials.ts'
import { isToBeMade } from '../../db/deliveries.ts'
import { type Db, maybe, one, run, sql, tx } from '../../db/pool.ts'
import { record } from '../audit/store.ts'
import { holdPerson } from '../escalation/users.ts'
import { isMailWaiting, queueMail } from '../mail/outbox.ts'
import { SENT_AGAIN } from './one-time-links.ts'
import { hashPassword, verifyPassword } from './password.ts'
import { storePassword } from './sign-in.ts'
import { endResets } from './undo.ts'

/** How a person gets the link: by mail, or from an administrator where no mail is sent. */
export type ResetBy = 'mail' | 'hand'

const LINK_MINUTES = 60

/**
 * Lets a person choose a new password; an earlier link ends. @param how the link of a mail is made when the mail is sent
 * @returns the path to hand over, shown only now, or none for a mail; undefined: there is no such account, or it is disabled
 * @throws LesserPower, NotAdministrator
 */
export function sendReset(
  db: Db,
  user_id: string,
  how: ResetBy,
  by: Actor,
): Promise<{ path?: string } | undefined> {
  return tx(db, async (t) => {
    const held = await holdPerson(t, user_id, by)
    if (!held || held.person.disabled) return undefined
    const { name, email } = held.person
    await endResets(t, user_id)
    await record(t, { type: 'user.reset_sent', user_id, how }, by)
    if (how === 'hand') return { path: await makeLink(t, user_id) }
    await queueMail(t, { to: email, kind: 'password_reset', params: { name, user_id } })
    return {}
  })
}

/**
 * Withdraws the link for a new password of a person, mailed or about to be mailed. @returns false when there is no usable one; undefined:
 * there is no such account. @throws LesserPower, NotAdministrator
 */
export function withdrawReset(db: Db, user_id: string, by: Actor): Promise<boolean | undefined> {
  return tx(db, async (t) => {
    if (!(await holdPerson(t, user_id, by))) return undefined
    if (!(await endResets(t, user_id))) return false
    await record(t, { type: 'user.reset_withdrawn', user_id }, by)
    return true
  })
}

/** Whether a link for a new password of this person can be used, or is about to be mailed. */
export async function hasReset(
  db: Db,
  { id: user_id, email }: { id: string; email: string },
): Promise<boolean> {
  const link = await maybe(
    db,
    sql`select from user_links
        where user_id = ${user_id} and purpose = 'reset' and consumed_at is null and expires_at > now()`,
  )
  return link !== undefined || isMailWaiting(db, 'password_reset', email)
}

/**
 * Makes the link of a mail that is being sent. @returns its path; undefined when it was withdrawn, the account was disabled, or an
 * earlier attempt at this mail arrived unnoticed and its link was used
 */
export function resetLinkForMail(
  db: Db,
  { user_id }: { user_id: string },
  mail: { id: string; created_at: Date },
): Promise<string | undefined> {
  return tx(db, async (t) => {
    if (!(await lockEnabled(t, user_id))) return undefined
    // Withdrawn since this delivery was taken.
    if (!(await isToBeMade(t, mail.id))) return undefined
    const used = await maybe(
      t,
      sql`select from user_links
          where user_id = ${user_id} and purpose = 'reset' and consumed_at >= ${mail.created_at} limit 1`,
    )
    if (used) return undefined
    await endLink(t, user_id)
    return makeLink(t, user_id)
  })
}

/** Whose link it is, if it can be used or was used a moment ago. */
export function findResetLink(
  db: Db,
  secret: string,
): Promise<{ user_id: string; email: string; is_used: boolean } | undefined> {
  return maybe(
    db,
    sql`select u.id as user_id, u.email, l.consumed_at is not null as is_used
        from user_links l
        join users u on u.id = l.user_id
        where l.hash = ${digest(secret)} and l.purpose = 'reset' and l.expires_at > now()
          and (l.consumed_at is null or l.consumed_at > now() - ${SENT_AGAIN})
          and u.disabled_at is null`,
  )
}

/**
 * Uses a link up and sets the password in one transaction, and ends every session of the person. If the same form is sent again while
 * the account has this password, nothing happens.
 * @param context.device_id the browser that did it, which becomes a known device
 * @returns false when the link is over. @throws Busy
 */
export async function redeemResetLink(
  db: Db,
  secret: string,
  password: string,
  by: Actor,
  { device_id }: { device_id?: string } = {},
): Promise<boolean> {
  const link = await findResetLink(db, secret)
  if (!link) return false
  if (!link.is_used && (await useLink(db, secret, password, by, device_id))) return true
  return wasUsedWith(db, secret, password)
}

async function useLink(
  db: Db,
  secret: string,
  password: string,
  by: Actor,
  device_id: string | undefined,
): Promise<boolean> {
  const password_hash = await hashPassword(password)
  return tx(db, async (t) => {
    const found = await findResetLink(t, secret)
    // The account first, as everybody does who changes both.
    if (!found || !(await lockEnabled(t, found.user_id))) return false
    const { user_id } = found
    const consumed = await run(
      t,
      sql`update user_links set consumed_at = now()
          where hash = ${digest(secret)} and purpose = 'reset' and consumed_at is null and expires_at > now()`,
    )
    if (!consumed) return false
    const actor = { ...by, id: user_id }
    const { sessions } = await one<{ sessions: number }>(
      t,
      sql`select count(*)::int as sessions from sessions where user_id = ${user_id} and expires_at > now()`,
    )
    await storePassword(t, user_id, password_hash, actor, { device_id })
    await run(t, sql`update users set password_from_link_at = now() where id = ${user_id}`)
    await record(t, { type: 'user.password_reset', user_id, sessions }, actor)
    return true
  })
}

async function wasUsedWith(db: Db, secret: string, password: string): Promise<boolean> {
  const used = await maybe<{ password_hash: string | null }>(
    db,
    sql`select u.password_hash
        from user_links l
        join users u on u.id = l.user_id
        where l.hash = ${digest(secret)} and l.purpose = 'reset' and l.consumed_at > now() - ${SENT_AGAIN}
          and u.disabled_at is null`,
  )
  return used !== undefined && verifyPassword(used.password_hash, password)
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
