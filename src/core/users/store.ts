// The people who sign in: their accounts, and the durable mark that disables one. Passwords are in sign-in.ts.
import type { Actor } from '../../base/audit-events.ts'
import { CURSOR, isAfter, type Listed } from '../../db/cursor.ts'
import { isUniqueViolation } from '../../db/errors.ts'
import { type Db, fragment, many, maybe, one, run, sql, tx } from '../../db/pool.ts'
import { record } from '../audit/store.ts'
import { holdPerson } from '../escalation/users.ts'
import { tellAdministrators, tellOfChange } from './notices.ts'
import { hashPassword } from './password.ts'
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

/** A new account. Without a password nobody can sign in to it yet. */
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

/** Makes an account with the hash of its password; null: nobody can sign in to it yet. @throws EmailTaken */
export async function insertUser(
  db: Db,
  input: NewUser,
  password_hash: string | null,
  by: Actor,
): Promise<User> {
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

/** Accounts, oldest first. @param page.after the cursor of the last one already seen, or its id while it is there. */
export function listUsers(
  db: Db,
  page: { limit?: number; after?: string | undefined } = {},
): Promise<Listed<User>[]> {
  return many<Listed<User>>(
    db,
    sql`select ${COLUMNS}, ${CURSOR}
        from users
        where ${isAfter(fragment`users`, page.after)}
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
 * Disables an account: its sessions, grants and tokens stop working at once. @returns whether anything changed.
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
 * Enables an account again. Every link and grant from before ends, so that each app must sign in anew; consents stay.
 * @returns whether anything changed.
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

/** Changes the name of the person, which apps get as a claim. @returns false when it is the same; then nothing is recorded. */
export function renameUser(db: Db, id: string, name: string, by: Actor): Promise<boolean> {
  return tx(db, async (t) => {
    await holdPerson(t, id, by, { own: true })
    const renamed = await run(t, sql`update users set name = ${name} where id = ${id} and name <> ${name}`)
    if (renamed === 0) return false
    await record(t, { type: 'user.renamed', user_id: id }, by)
    return true
  })
}
