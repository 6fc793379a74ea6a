// One account, as operations of the Admin API find it and answer it.
import { z } from 'zod'
import { ROLES } from '../../core/users/roles.ts'
import { findUser, type User } from '../../core/users/store.ts'
import type { Db } from '../../db/pool.ts'
import { NotFound } from '../../http/errors.ts'
import { moment, named, uuid } from '../framework/schemas.ts'

/** An account. */
export const user = named(
  'User',
  z.strictObject({
    id: uuid,
    email: z.string(),
    email_verified: z.boolean(),
    name: z.string(),
    role: z.enum(ROLES),
    created_at: moment,
    last_sign_in_at: moment.nullable(),
    disabled_at: moment.nullable().meta({ description: 'Set: every token and sign-in of theirs is dead.' }),
  }),
)

/** What names an account in a path. */
export const userParams = z.object({ user_id: uuid })

/** What a token needs for what is done to an administrator. */
export const POWER =
  'For an administrator, and for who was one within the last day, it needs a token with every scope.'

/** The account that an address names. @throws NotFound */
export async function getUser(db: Db, id: string): Promise<User> {
  const found = await findUser(db, id)
  if (!found) throw new NotFound('There is no such account.')
  return found
}

/** An account as it is answered. */
export function userView({
  id,
  email,
  email_verified,
  name,
  role,
  created_at,
  last_sign_in_at,
  disabled_at,
}: User) {
  return { id, email, email_verified, name, role, created_at, last_sign_in_at, disabled_at }
}
