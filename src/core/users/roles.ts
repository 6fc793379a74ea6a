// Who administers this server. The last administrator who can sign in stays one, whatever others do at the same time.
import type { Actor } from '../../base/audit-events.ts'
import { type Db, run, sql, tx } from '../../db/pool.ts'
import { record } from '../audit/store.ts'
import { holdPerson } from '../escalation/users.ts'
import { tellOfChange } from './notices.ts'
import { endMadeSince, endPasswordSince, endResets } from './undo.ts'

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

/**
 * Gives an account a role. Whoever becomes an administrator again loses sign-ins, links and access made in between.
 * @returns whether anything changed. @throws LastAdministrator, LesserPower, NotAdministrator
 */
export function setRole(db: Db, id: string, role: Role, by: Actor): Promise<boolean> {
  const isAdmin = role === 'admin'
  return tx(db, async (t) => {
    const held = await holdPerson(t, id, by, { gives: isAdmin, takes: !isAdmin })
    if (!held || held.person.role === role) return false
    const { person, administrators } = held
    if (!isAdmin) mustKeepOne(administrators, id)
    await run(t, sql`update users set role = ${role} where id = ${id}`)
    // End links for a new password: they were handed out for an account with less power.
    await endResets(t, id)
    if (isAdmin && person.administered_until) {
      await endMadeSince(t, id, person.administered_until)
      await endPasswordSince(t, id, person.administered_until)
    }
    await record(t, { type: 'user.role_changed', user_id: id, from: person.role, to: role }, by)
    await tellOfChange(t, person, isAdmin ? 'made_admin' : 'made_user', by)
    return true
  })
}

/** Checks that an administrator other than `id` is left. @param administrators those who can sign in, locked. @throws LastAdministrator */
export function mustKeepOne(administrators: readonly string[], id: string): void {
  // They are locked in one order: of two administrators who remove each other, the second waits and then finds only one left.
  if (administrators.length === 1 && administrators[0] === id) throw new LastAdministrator()
}
