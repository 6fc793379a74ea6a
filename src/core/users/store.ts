// The people who sign in: accounts, passwords, one-time links, and the durable mark that disables an account.
import { randomBytes } from 'node:crypto'
import type { Actor } from '../../base/audit-events.ts'
import { digest } from '../../base/credentials.ts'
import { CURSOR, type Listed, placeBehind } from '../../db/cursor.ts'
import { type Db, fragment, isUniqueViolation, many, maybe, one, run, sql, tx } from '../../db/pool.ts'
import { SWEEP_BATCH, type Sweep } from '../../db/sweep.ts'
import { record } from '../audit/store.ts'
import { holdPerson } from '../escalation/users.ts'
import { rememberDevice } from './known-devices.ts'
import { tellAdministrators, tellOfChange } from './notices.ts'
import { hashPassword, verifyPassword } from './password.ts'
import { mustKeepOne } from './roles.ts'
import { endMadeSince, endResets } from './undo.ts'
import { afterDisabling } from './vouching.ts'

/** An account, without its password hash. */
export interface User {
  id: string
  email: string
  email_verified: boolean
  name: string
  role: 'user' | 'admin'
  created_at: Date
  last_sign_in_at: Date | null
  disabled_at: Date | null
}

/** What a new account is made of. Without a password nobody can sign in to it yet. */
export interface NewUser {
  email: string
  name: string
  password?: string
  role?: User['role']
  email_verified?: boolean
}

/** An account with that e-mail address exists already. */
export class EmailTaken extends Error {
  override name = 'EmailTaken'
}

const COLUMNS = fragment`id, email, email_verified, name, role, created_at, last_sign_in_at, disabled_at`

/** The form in which an address is stored and compared: trimmed, lower case. */
export function normalEmail(email: string): string {
  return email.trim().toLowerCase()
}

/** Makes an account. @throws EmailTaken */
export async function createUser(db: Db, input: NewUser, by: Actor): Promise<User> {
  return insertUser(db, input, input.password === undefined ? null : await hashPassword(input.password), by)
}

async function insertUser(db: Db, input: NewUser, password_hash: string | null, by: Actor): Promise<User> {
  const { email, name, role = 'user', email_verified = false } = input
  try {
    return await tx(db, async (t) => {
      const user = await one<User>(
        t,
        sql`insert into users (email, name, role, email_verified, password_hash)
            values (${normalEmail(email)}, ${name}, ${role}, ${email_verified}, ${password_hash})
            returning ${COLUMNS}`,
      )
      await record(t, { type: 'user.created', user_id: user.id, role }, by)
      if (role === 'admin') await tellAdministrators(t, user, 'made_admin', by)
      return user
    })
  } catch (error) {
    if (isUniqueViolation(error)) throw new EmailTaken(`${normalEmail(email)} has an account already`)
    throw error
  }
}

/** An account by id, disabled ones too. */
export function findUser(db: Db, id: string): Promise<User | undefined> {
  return maybe<User>(
    db,
    sql`select ${COLUMNS}
        from users where id = ${id}`,
  )
}

/** An account by e-mail address, whatever its case. */
export function findUserByEmail(db: Db, email: string): Promise<User | undefined> {
  return maybe<User>(
    db,
    sql`select ${COLUMNS}
        from users where email = ${normalEmail(email)}`,
  )
}

/** What a password is compared with. */
export interface Credentials {
  id: string
  password_hash: string | null
  disabled_at: Date | null
  /** By which this account knows the browser: the device's id, or the uid of its session there; null: the device is unknown. */
  known_by: string | null
}

/**
 * What sign-in compares: the account and its password hash. Takes one query whether the address is known or not.
 * @param browser what the browser has to show: its device, a session that it is signed in with.
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

/** Accounts, oldest first. @param page.after the cursor of the last one already seen, or its id while it is there. */
export function listUsers(
  db: Db,
  page: { limit?: number; after?: string | undefined } = {},
): Promise<Listed<User>[]> {
  const after = placeBehind(page.after)
  return many<Listed<User>>(
    db,
    sql`select ${COLUMNS}, ${CURSOR}
        from users
        where ${after.id}::uuid is null
           or (created_at, id) > (coalesce(timestamptz 'epoch' + ${after.micros}::bigint * interval '1 microsecond',
                                           (select created_at from users where id = ${after.id})), ${after.id})
        order by created_at, id
        limit ${page.limit ?? 100}`,
  )
}

/** E-mail addresses of accounts by id. */
export async function userEmails(db: Db, ids: string[]): Promise<Map<string, string>> {
  const rows = await many<{ id: string; email: string }>(
    db,
    sql`select id, email from users where id = any(${ids}::uuid[])`,
  )
  return new Map(rows.map(({ id, email }) => [id, email]))
}

/** Whether anybody administers this server yet. */
export async function hasAdministrator(db: Db): Promise<boolean> {
  const { found } = await one<{ found: boolean }>(
    db,
    sql`select exists (select from users where role = 'admin') as found`,
  )
  return found
}

/**
 * Disables an account: its sessions, grants and tokens are dead from this moment. @returns whether anything changed.
 * @throws LastAdministrator, LesserPower, NotAdministrator
 */
export function disableUser(db: Db, id: string, by: Actor): Promise<boolean> {
  return tx(db, async (t) => {
    const held = await holdPerson(t, id, by, { takes: true })
    if (!held || held.person.disabled) return false
    mustKeepOne(held.administrators, id)
    await run(
      t,
      sql`update users set disabled_at = now(), sign_in_epoch = sign_in_epoch + 1 where id = ${id}`,
    )
    await run(t, sql`delete from sessions where user_id = ${id}`)
    await endResets(t, id)
    await record(t, { type: 'user.disabled', user_id: id }, by)
    await tellOfChange(t, held.person, 'disabled', by)
    await afterDisabling(t, id, by)
    return true
  })
}

/**
 * Enables an account again. What was dead stays dead: every link and grant made before ends, so each app must sign in
 * anew; what the person decided about it is remembered. @returns whether anything changed.
 * @throws LesserPower, NotAdministrator
 */
export function enableUser(db: Db, id: string, by: Actor): Promise<boolean> {
  return tx(db, async (t) => {
    const held = await holdPerson(t, id, by)
    if (!held?.person.disabled) return false
    await endResets(t, id)
    await endMadeSince(t, id, EVER)
    await run(t, sql`update users set disabled_at = null where id = ${id}`)
    await record(t, { type: 'user.enabled', user_id: id }, by)
    await tellOfChange(t, held.person, 'enabled', by)
    return true
  })
}

const EVER = new Date(0)

/** Changes the name that apps are told. @returns false when it is that name already; then nothing is recorded. */
export function renameUser(db: Db, id: string, name: string, by: Actor): Promise<boolean> {
  return tx(db, async (t) => {
    await holdPerson(t, id, by, { own: true })
    const renamed = await run(t, sql`update users set name = ${name} where id = ${id} and name <> ${name}`)
    if (renamed === 0) return false
    await record(t, { type: 'user.renamed', user_id: id }, by)
    return true
  })
}

/**
 * Sets a password and ends the account's other sessions (ASVS 7.4.3); no browser is a known device afterwards, but for one.
 * @param context.keepSessionUid the session that stays. @param context.device_id the browser whose user has shown that the
 * account is theirs. @param context.verified the hash that the old password fitted: when
 * it is no longer the account's, somebody was faster, and nothing changes. @returns whether anything changed.
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

/** {@link setPassword} for a hash that was made before: making one takes too long for a transaction that holds rows. */
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
 * Notes a successful sign-in, from a browser that is a known device from then on, and stores the password's hash anew when its
 * parameters are out of date.
 * @param context.verified the hash that the password fitted. @returns the epoch the sign-in belongs to, or undefined when
 * the password was changed or the account disabled meanwhile.
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
 * How often the sign-ins of an account were ended; undefined for a disabled one. Whoever signs in keeps the number, and
 * a sign-in with an older one is worth nothing.
 */
export async function signInEpoch(db: Db, id: string): Promise<number | undefined> {
  const user = await maybe<{ epoch: number }>(
    db,
    sql`select sign_in_epoch as epoch from users where id = ${id} and disabled_at is null`,
  )
  return user?.epoch
}

const SETUP_LINK_HOURS = 24

/** A one-time link secret with which the first administrator is created; earlier ones end. Valid for a day. */
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

/** For how long the form that used a link may come again, because its answer was lost. */
export const SENT_AGAIN = fragment`interval '10 minutes'`

/** Whether a set-up link can be used, or was a moment ago; undefined: neither, or an administrator was made in another way. */
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
 * Uses a set-up link up and makes the administrator, both or neither. The form that did it does nothing when it comes again.
 * @param context.device_id the browser that did it, a known device from then on.
 * @returns false when the link is over. @throws EmailTaken, Busy
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
    // Made in the transaction that used the link: `now()` is the same.
    sql`select u.password_hash
        from user_links l
        join users u on u.email = ${normalEmail(email)} and u.created_at = l.consumed_at
        where l.hash = ${digest(secret)} and l.purpose = 'setup' and l.consumed_at > now() - ${SENT_AGAIN}
          and u.disabled_at is null`,
  )
  return made !== undefined && verifyPassword(made.password_hash, password)
}

// Nodes that start together, and forms that are sent together, take turns: one link, one administrator.
async function lockSetup(db: Db): Promise<void> {
  await run(db, sql`select pg_advisory_xact_lock(hashtext('valetkey set-up'))`)
}

/** One-time links that are over. */
export const sweepLinks: Sweep = (db) =>
  run(
    db,
    sql`delete from user_links where hash = any(array(
          select hash from user_links where expires_at < now() limit ${SWEEP_BATCH} for update skip locked))`,
  )
