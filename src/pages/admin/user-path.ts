// The address of an account in the console, and the account that such an address names.
import { isUuid } from '../../base/ids.ts'
import { findUser, type User } from '../../core/users/store.ts'
import type { Db } from '../../db/pool.ts'
import { NotFound } from '../../http/errors.ts'

import type { SignedIn } from '../../protocol/guards.ts'

/** The page of an account. */
export function userPath(id: string): string {
  return `/admin/users/${id}`
}

/** The account that the parameter `user_id` of the address names. @throws NotFound */
export async function getUser(db: Db, ctx: SignedIn): Promise<User> {
  const id = String(ctx.params.user_id)
  const user = isUuid(id) ? await findUser(db, id) : undefined
  if (!user) throw new NotFound('There is no such account.')
  return user
}
