// What a sign-in compares and notes, and setting a password, which ends the other sign-ins.
import type { Actor } from '../../base/audit-events.ts'
import { type Db, maybe, run, sql, tx } from '../../db/pool.ts'
import { record } from '../audit/store.ts'
import { holdPerson } from '../escalation/users.ts'
import { rememberDevice } from './known-devices.ts'
import { tellOfChange } from './notices.ts'
import { hashPassword } from './password.ts'
import { normalEmail } from './store.ts'
import { endResets } from './undo.ts'

/** What sign-in compares a password with. */
export interface Credentials {
  id: string
  password_hash: string | null
  disabled_at: Date | null
  /** How the account knows the browser: the id of the device, or the uid of its session there; null: the device is unknown. */
  known_by: string | null
}

/**
 * Finds the account and its password hash, with one query whether the address has an account or not.
 * @param browser the device and the session of the browser
 */
export function findCredentials(
  db: Db,
  by: { email: string } | { id: string },
  browser: { device_id?: string; session_uid?: string } = {},
): Promise<Credentials | undefined> {
  const [email, id] = 'email' in by ? [normalEmail(by.email), null] : [null, by.id]
  return maybe<Credentials>(
    db,
    sql`select u.id, u.password_hash, u.disabled_at,
               coalesce(
                 (select k.device_id from known_devices k
                  where k.device_id = ${browser.device_id ?? null} and k.user_id = u.id
                    and k.sign_in_epoch = u.sign_in_epoch and k.expires_at > now()),
                 (select s.uid from sessions s
                  where s.uid = ${browser.session_uid ?? null} and s.user_id = u.id and s.expires_at > now())
               ) as known_by
        from users u
        where u.email = ${email}::text or u.id = ${id}::uuid`,
  )
}

/**
 * Sets a password and ends the other sessions of the account (ASVS 7.4.3). Afterwards only one browser is a known device.
 * @param context.keepSessionUid the session that stays
 * @param context.device_id the browser that becomes a known device, because its user has proved to own the account
 * @param context.verified the hash that the old password matched: if the account has another hash by now, nothing changes
 * @returns whether anything changed
 * @throws LesserPower, NotAdministrator
 */
export async function setPassword(
  db: Db,
  id: string,
  password: string,
  by: Actor,
  context: PasswordContext = {},
): Promise<boolean> {
  return storePassword(db, id, await hashPassword(password), by, context)
}

interface PasswordContext {
  keepSessionUid?: string
  device_id?: string
  verified?: string
}

/** As {@link setPassword}, with a hash made before, because hashing takes too long for a transaction that holds locks. */
export function storePassword(
  db: Db,
  id: string,
  password_hash: string,
  by: Actor,
  { keepSessionUid = '', device_id, verified }: PasswordContext = {},
): Promise<boolean> {
  return tx(db, async (t) => {
    const held = await holdPerson(t, id, by, { own: true })
    if (!held) return false
    const changed = await run(
      t,
      sql`update users set password_hash = ${password_hash}, sign_in_epoch = sign_in_epoch + 1
          where id = ${id} and (${verified ?? null}::text is null or password_hash = ${verified ?? null})`,
    )
    if (!changed) return false
    await run(t, sql`delete from sessions where user_id = ${id} and uid <> ${keepSessionUid}`)
    if (device_id !== undefined) await rememberDevice(t, id, device_id)
    await endResets(t, id)
    await record(t, { type: 'password.changed', user_id: id }, by)
    await tellOfChange(t, held.person, 'password', by)
    return true
  })
}

/**
 * Notes a successful sign-in, makes the browser a known device, and stores a new hash when the parameters of the old one are outdated.
 * @param context.verified the hash that the password matched. @returns the epoch of the sign-in, or undefined when the password was
 * changed or the account disabled meanwhile
 */
export function noteSignIn(
  db: Db,
  id: string,
  context: { client_id?: string; device_id: string; verified: string; rehashed?: string },
  by: Actor,
): Promise<number | undefined> {
  return tx(db, async (t) => {
    const user = await maybe<{ epoch: number }>(
      t,
      sql`update users
          set last_sign_in_at = now(), password_hash = coalesce(${context.rehashed ?? null}, password_hash)
          where id = ${id} and password_hash = ${context.verified} and disabled_at is null
          returning sign_in_epoch as epoch`,
    )
    if (!user) return undefined
    await rememberDevice(t, id, context.device_id)
    await record(t, { type: 'sign_in.succeeded', user_id: id, client_id: context.client_id }, by)
    return user.epoch
  })
}

/**
 * How often the sign-ins of an account were ended; undefined for a disabled account. A sign-in keeps this number, and is void once the
 * number has grown.
 */
export async function signInEpoch(db: Db, id: string): Promise<number | undefined> {
  const user = await maybe<{ epoch: number }>(
    db,
    sql`select sign_in_epoch as epoch from users where id = ${id} and disabled_at is null`,
  )
  return user?.epoch
}
