// Who administers this server. The last administrator who can sign in stays one, whatever several others do at once.
import type { Actor } from '../audit/events.ts'
import { record } from '../audit/store.ts'
import { type Db, many, maybe, run, sql, tx } from '../db/pool.ts'

/** What an account may do. */
export const ROLES = ['user', 'admin'] as const

/** What an account may do. */
export type Role = (typeof ROLES)[number]

/** Nobody would be left to administer this server. */
export class LastAdministrator extends Error {
  override name = 'LastAdministrator'

  constructor() {
    super('this is the last administrator; make another one first')
  }
}

/** Gives an account a role. @returns whether anything changed. @throws LastAdministrator */
export function setRole(db: Db, id: string, role: Role, by: Actor): Promise<boolean> {
  return tx(db, async (t) => {
    if (role !== 'admin') await keepAdministrator(t, id)
    const before = await maybe<{ role: Role }>(
      t,
      sql`select role from users where id = ${id} and role <> ${role} for update`,
    )
    if (!before) return false
    await run(t, sql`update users set role = ${role} where id = ${id}`)
    // A link for a new password was handed out for an account that could do less.
    await run(t, sql`delete from user_links where user_id = ${id}`)
    await record(t, { type: 'user.role_changed', user_id: id, from: before.role, to: role }, by)
    return true
  })
}

/** Call it in the transaction that takes an administrator away. @throws LastAdministrator when no other one is left. */
export async function keepAdministrator(t: Db, id: string): Promise<void> {
  // Locked in one order: of two who take each other away, the second waits, and then finds one administrator only.
  const administrators = await many<{ id: string }>(
    t,
    sql`select id from users where role = 'admin' and disabled_at is null order by id for update`,
  )
  if (administrators.length === 1 && administrators[0]!.id === id) throw new LastAdministrator()
}
