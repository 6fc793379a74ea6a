// The one-time link with which the first administrator is created: one link, one administrator.
import { randomBytes } from 'node:crypto'
import type { Actor } from '../../base/audit-events.ts'
import { digest } from '../../base/credentials.ts'
import { type Db, maybe, run, sql, tx } from '../../db/pool.ts'
import { rememberDevice } from './known-devices.ts'
import { SENT_AGAIN } from './one-time-links.ts'
import { hashPassword, verifyPassword } from './password.ts'
import { insertUser, type NewUser, normalEmail } from './store.ts'

const SETUP_LINK_HOURS = 24

/** Makes the secret of a link that is valid for a day; earlier links end. */
export function createSetupLink(db: Db): Promise<string> {
  const secret = randomBytes(32).toString('base64url')
  return tx(db, async (t) => {
    await lockSetup(t)
    await run(t, sql`delete from user_links where purpose = 'setup'`)
    await run(
      t,
      sql`insert into user_links (hash, purpose, expires_at)
          values (${digest(secret)}, 'setup', now() + make_interval(hours => ${SETUP_LINK_HOURS}))`,
    )
    return secret
  })
}

/** Whether a link can be used or was used a moment ago; undefined: neither, or an administrator was made in another way. */
export async function findSetupLink(db: Db, secret: string): Promise<'open' | 'used' | undefined> {
  const link = await maybe<{ state: 'open' | 'used' }>(
    db,
    sql`select case when consumed_at is null then 'open' else 'used' end as state
        from user_links
        where hash = ${digest(secret)} and purpose = 'setup' and expires_at > now()
          and (consumed_at > now() - ${SENT_AGAIN}
               or (consumed_at is null and not exists (select from users where role = 'admin')))`,
  )
  return link?.state
}

/**
 * Uses a link up and makes the administrator in one transaction. If the same form is sent again, nothing happens.
 * @param context.device_id the browser that did it, which becomes a known device
 * @returns false when the link is used up or expired. @throws EmailTaken, Busy
 */
export async function redeemSetupLink(
  db: Db,
  secret: string,
  input: NewUser & { password: string },
  by: Actor,
  { device_id }: { device_id: string },
): Promise<boolean> {
  if ((await findSetupLink(db, secret)) !== 'open') return wasSetUpWith(db, secret, input)
  const password_hash = await hashPassword(input.password)
  const isMade = await tx(db, async (t) => {
    await lockSetup(t)
    const consumed = await run(
      t,
      sql`update user_links set consumed_at = now()
          where hash = ${digest(secret)} and purpose = 'setup' and consumed_at is null and expires_at > now()
            and not exists (select from users where role = 'admin')`,
    )
    if (!consumed) return false
    const user = await insertUser(t, { ...input, role: 'admin' }, password_hash, by)
    await rememberDevice(t, user.id, device_id)
    return true
  })
  return isMade || wasSetUpWith(db, secret, input)
}

async function wasSetUpWith(
  db: Db,
  secret: string,
  { email, password }: { email: string; password: string },
): Promise<boolean> {
  const made = await maybe<{ password_hash: string | null }>(
    db,
    // The account was made in the transaction that used the link, so `now()` was the same.
    sql`select u.password_hash
        from user_links l
        join users u on u.email = ${normalEmail(email)} and u.created_at = l.consumed_at
        where l.hash = ${digest(secret)} and l.purpose = 'setup' and l.consumed_at > now() - ${SENT_AGAIN}
          and u.disabled_at is null`,
  )
  return made !== undefined && verifyPassword(made.password_hash, password)
}

// Nodes that start together, and forms that are sent together, wait for each other: one link, one administrator.
async function lockSetup(db: Db): Promise<void> {
  await run(db, sql`select pg_advisory_xact_lock(hashtext('valetkey set-up'))`)
}
