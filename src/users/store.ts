// The people who sign in: accounts, passwords, one-time links, and the durable mark that disables an account.
import { randomBytes } from 'node:crypto'
import type { Actor } from '../audit/events.ts'
import { record } from '../audit/store.ts'
import { digest } from '../credentials.ts'
import { type Db, fragment, isUniqueViolation, many, maybe, one, run, sql, tx } from '../db/pool.ts'
import type { Sweep } from '../db/sweep.ts'
import { withdrawMails } from '../mail/outbox.ts'
import { hashPassword } from './password.ts'
import { keepAdministrator } from './roles.ts'

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
  const password_hash = input.password === undefined ? null : await hashPassword(input.password)
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

/** What sign-in compares: the account and its password hash. Takes one query whether the address is known or not. */
export function findCredentials(
  db: Db,
  by: { email: string } | { id: string },
): Promise<{ id: string; password_hash: string | null; disabled_at: Date | null } | undefined> {
  const [email, id] = 'email' in by ? [normalEmail(by.email), null] : [null, by.id]
  return maybe(
    db,
    sql`select id, password_hash, disabled_at from users
        where email = ${email}::text or id = ${id}::uuid`,
  )
}

/** Accounts, oldest first. @param page.after the id of the last one already seen. */
export function listUsers(db: Db, page: { limit?: number; after?: string } = {}): Promise<User[]> {
  return many<User>(
    db,
    sql`select ${COLUMNS}
        from users
        where ${page.after ?? null}::uuid is null
           or (created_at, id) > (select created_at, id from users where id = ${page.after ?? null})
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
 * @throws LastAdministrator
 */
export function disableUser(db: Db, id: string, by: Actor): Promise<boolean> {
  return tx(db, async (t) => {
    await keepAdministrator(t, id)
    const changed = await run(
      t,
      sql`update users set disabled_at = now(), sign_in_epoch = sign_in_epoch + 1
          where id = ${id} and disabled_at is null`,
    )
    if (!changed) return false
    await run(t, sql`delete from sessions where user_id = ${id}`)
    await endResets(t, id)
    await record(t, { type: 'user.disabled', user_id: id }, by)
    return true
  })
}

/**
 * Enables an account again. What was dead stays dead: every grant made before is revoked, so each app must sign in
 * anew; what the person decided about it is remembered. @returns whether anything changed.
 */
export function enableUser(db: Db, id: string, by: Actor): Promise<boolean> {
  return tx(db, async (t) => {
    await run(
      t,
      sql`update grants set revoked_at = now(), revoked_reason = 'revoked_by_admin'
          where id in (
            select g.id from grants g join users u on u.id = g.user_id
            where g.user_id = ${id} and g.revoked_at is null and u.disabled_at is not null
            order by g.id for update of g
          )`,
    )
    const changed = await run(
      t,
      sql`update users set disabled_at = null where id = ${id} and disabled_at is not null`,
    )
    if (!changed) return false
    await record(t, { type: 'user.enabled', user_id: id }, by)
    return true
  })
}

/** Changes the name that apps are told. */
export function renameUser(db: Db, id: string, name: string, by: Actor): Promise<void> {
  return tx(db, async (t) => {
    await run(t, sql`update users set name = ${name} where id = ${id}`)
    await record(t, { type: 'user.renamed', user_id: id }, by)
  })
}

/**
 * Sets a password and ends the account's other sessions (ASVS 7.4.3).
 * @param context.keepSessionUid the session that stays. @param context.verified the hash that the old password fitted: when
 * it is no longer the account's, somebody was faster, and nothing changes. @returns whether anything changed.
 */
export async function setPassword(
  db: Db,
  id: string,
  password: string,
  by: Actor,
  { keepSessionUid = '', verified }: { keepSessionUid?: string; verified?: string } = {},
): Promise<boolean> {
  const password_hash = await hashPassword(password)
  return tx(db, async (t) => {
    const changed = await run(
      t,
      sql`update users set password_hash = ${password_hash}, sign_in_epoch = sign_in_epoch + 1
          where id = ${id} and (${verified ?? null}::text is null or password_hash = ${verified ?? null})`,
    )
    if (!changed) return false
    await run(t, sql`delete from sessions where user_id = ${id} and uid <> ${keepSessionUid}`)
    await endResets(t, id)
    await record(t, { type: 'password.changed', user_id: id }, by)
    return true
  })
}

/**
 * Notes a successful sign-in, and stores the password's hash anew when its parameters are out of date.
 * @param context.verified the hash that the password fitted. @returns the epoch the sign-in belongs to, or undefined when
 * the password was changed or the account disabled meanwhile.
 */
export function noteSignIn(
  db: Db,
  id: string,
  context: { client_id?: string; verified: string; rehashed?: string },
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

/** Ends the links with which somebody could choose a new password, those that are still to be mailed, too. */
export async function endResets(t: Db, user_id: string): Promise<void> {
  await withdrawMails(t, 'password_reset', { user_id })
  await run(
    t,
    sql`delete from user_links where user_id = ${user_id} and purpose = 'reset' and consumed_at is null`,
  )
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

/** Whether a set-up link could still be used: also not once an administrator was made in another way. */
export async function isSetupLinkOpen(db: Db, secret: string): Promise<boolean> {
  const { open } = await one<{ open: boolean }>(
    db,
    sql`select exists (
          select from user_links
          where hash = ${digest(secret)} and purpose = 'setup' and consumed_at is null and expires_at > now()
        ) and not exists (select from users where role = 'admin') as open`,
  )
  return open
}

/** Uses a set-up link up and makes the administrator, both or neither. @returns undefined when the link is over. */
export function redeemSetupLink(
  db: Db,
  secret: string,
  input: NewUser,
  by: Actor,
): Promise<User | undefined> {
  return tx(db, async (t) => {
    await lockSetup(t)
    const consumed = await run(
      t,
      sql`update user_links set consumed_at = now()
          where hash = ${digest(secret)} and purpose = 'setup' and consumed_at is null and expires_at > now()
            and not exists (select from users where role = 'admin')`,
    )
    return consumed ? createUser(t, { ...input, role: 'admin' }, by) : undefined
  })
}

// Nodes that start together, and forms that are sent together, take turns: one link, one administrator.
async function lockSetup(db: Db): Promise<void> {
  await run(db, sql`select pg_advisory_xact_lock(hashtext('valetkey set-up'))`)
}

/** One-time links that are over. */
export const sweepLinks: Sweep = (db) => run(db, sql`delete from user_links where expires_at < now()`)
