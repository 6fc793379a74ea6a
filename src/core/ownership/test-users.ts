// Test users: who may try an app out while it waits for a decision, by e-mail address. It does not tell whether an address has an
// account.
import type { ActingUser } from '../../base/audit-events.ts'
import { type Db, many, one, run, sql, tx } from '../../db/pool.ts'
import { record } from '../audit/store.ts'
import { InvalidMetadata } from '../clients/metadata.ts'
import { endTrial, lockOwnApp } from '../clients/owners.ts'
import { findUserByEmail } from '../users/store.ts'
import { emailAddress } from './invitations.ts'

/** The most test users of an app. */
export const MOST_TEST_USERS = 20

/** The addresses of the test users of an app. */
export async function listTestUsers(db: Db, client_id: string): Promise<string[]> {
  const rows = await many<{ email: string }>(
    db,
    sql`select email from client_test_users where client_id = ${client_id} order by created_at, email`,
  )
  return rows.map(({ email }) => email)
}

/** Adds a test user. @returns the stored address, or undefined when the app is not theirs. @throws InvalidMetadata */
export function addTestUser(
  db: Db,
  client_id: string,
  text: string,
  by: ActingUser,
): Promise<string | undefined> {
  const email = emailAddress(text)
  return tx(db, async (t) => {
    if (!(await lockOwnApp(t, client_id, by.id))) return undefined
    const before = await count(t, client_id)
    const added = await run(
      t,
      sql`insert into client_test_users (client_id, email) values (${client_id}, ${email}) on conflict do nothing`,
    )
    if (!added) return email
    if (before >= MOST_TEST_USERS) {
      throw new InvalidMetadata('email', `there are ${MOST_TEST_USERS} already; remove one first`)
    }
    await record(t, { type: 'client.test_user_added', client_id, test_users: before + 1 }, by)
    return email
  })
}

/** Removes a test user and ends their access. @returns whether they were one. */
export function removeTestUser(db: Db, client_id: string, email: string, by: ActingUser): Promise<boolean> {
  return tx(db, async (t) => {
    const client = await lockOwnApp(t, client_id, by.id)
    if (!client) return false
    const removed = await run(
      t,
      sql`delete from client_test_users where client_id = ${client_id} and email = ${email}`,
    )
    if (!removed) return false
    const test_users = await count(t, client_id)
    await record(t, { type: 'client.test_user_removed', client_id, test_users }, by)
    const user = await findUserByEmail(t, email)
    if (user) await endTrial(t, client, user.id, by)
    return true
  })
}

async function count(db: Db, client_id: string): Promise<number> {
  const { named } = await one<{ named: number }>(
    db,
    sql`select count(*)::int as named from client_test_users where client_id = ${client_id}`,
  )
  return named
}
