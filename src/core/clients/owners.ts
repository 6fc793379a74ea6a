// The owners of an app, and who may use it while it waits for a decision.
import type { ActingUser } from '../../base/audit-events.ts'
import { type Db, many, maybe, one, run, sql, tx } from '../../db/pool.ts'
import { record } from '../audit/store.ts'
import { findConsent } from '../grants/consents.ts'
import { endDecision } from '../grants/revoke.ts'
import { afterOwners } from '../users/vouching.ts'
import { CLIENT_COLUMNS } from './columns.ts'
import { InvalidMetadata } from './metadata.ts'
import type { Client } from './store.ts'

/** An owner of an app. */
export interface Owner {
  id: string
  name: string
  email: string
}

/** How many apps one person may own, not counting deleted ones. */
export const MOST_APPS = 25

/** This person owns as many apps as one person may. */
export class TooManyApps extends Error {
  override name = 'TooManyApps'

  constructor() {
    super(`nobody may look after more than ${MOST_APPS} apps`)
  }
}

/** The owners of an app, the first one first. */
export function findOwners(db: Db, client_id: string): Promise<Owner[]> {
  return many<Owner>(
    db,
    sql`select u.id, u.name, u.email
        from client_owners o
        join users u on u.id = o.user_id
        where o.client_id = ${client_id}
        order by o.created_at, u.id`,
  )
}

/**
 * Whether a person may use an app. A pending one is for its owners and its test users, if their e-mail address is verified; a rejected
 * one is for nobody.
 */
export async function mayUse(
  db: Db,
  client: Pick<Client, 'id' | 'state'>,
  user_id: string,
): Promise<boolean> {
  if (client.state !== 'pending') return client.state === 'active'
  const found = await maybe(
    db,
    sql`select from client_owners where client_id = ${client.id} and user_id = ${user_id}
        union all
        select from client_test_users t join users u on u.email = t.email and u.email_verified
        where t.client_id = ${client.id} and u.id = ${user_id}`,
  )
  return found !== undefined
}

/** The apps that somebody owns, newest first. */
export function listOwnApps(db: Db, user_id: string): Promise<(Client & { change_waits: boolean })[]> {
  return many<Client & { change_waits: boolean }>(
    db,
    sql`select ${CLIENT_COLUMNS},
               exists (select from client_changes where client_id = c.id and rejected_at is null) as change_waits
        from clients c
        where id in (select client_id from client_owners where user_id = ${user_id})
          and deleted_at is null and type <> 'resource_server'
        order by created_at desc, id`,
  )
}

/** An app by id, if this person owns it. */
export function findOwnApp(db: Db, id: string, user_id: string): Promise<Client | undefined> {
  return maybe<Client>(
    db,
    sql`select ${CLIENT_COLUMNS} from clients
        where id = ${id} and deleted_at is null and type <> 'resource_server'
          and exists (select from client_owners where client_id = ${id} and user_id = ${user_id})`,
  )
}

/** As {@link findOwnApp}, and locks it until the end of the transaction. */
export async function lockOwnApp(t: Db, id: string, user_id: string): Promise<Client | undefined> {
  await run(t, sql`select from clients where id = ${id} for no key update`)
  // A second statement, so that it sees what was committed while the first one waited for the lock.
  return findOwnApp(t, id, user_id)
}

/** Makes somebody an owner, in the caller's transaction. @throws TooManyApps @returns whether they were not an owner before */
export async function addOwner(t: Db, client_id: string, user_id: string): Promise<boolean> {
  // Lock the account, so that of two calls at once the second one counts the first.
  await run(t, sql`select pg_advisory_xact_lock(hashtextextended(${`apps of ${user_id}`}, 0))`)
  const { apps } = await one<{ apps: number }>(
    t,
    sql`select count(*)::int as apps from client_owners o join clients c on c.id = o.client_id
        where o.user_id = ${user_id} and o.client_id <> ${client_id} and c.deleted_at is null`,
  )
  if (apps >= MOST_APPS) throw new TooManyApps()
  const added = await run(
    t,
    sql`insert into client_owners (client_id, user_id) values (${client_id}, ${user_id}) on conflict do nothing`,
  )
  return added > 0
}

/**
 * Removes an owner, who may be the one who asks. @returns undefined when the one who asks or the other is no owner
 * @throws InvalidMetadata when no owner who can sign in would be left
 */
export function removeOwner(
  db: Db,
  client_id: string,
  user_id: string,
  by: ActingUser,
): Promise<Client | undefined> {
  return tx(db, async (t) => {
    const client = await lockOwnApp(t, client_id, by.id)
    if (!client) return undefined
    const owners = await many<{ user_id: string; disabled: boolean }>(
      t,
      sql`select o.user_id, u.disabled_at is not null as disabled
          from client_owners o join users u on u.id = o.user_id
          where o.client_id = ${client_id}`,
    )
    if (!owners.some((owner) => owner.user_id === user_id)) return undefined
    if (!owners.some((owner) => owner.user_id !== user_id && !owner.disabled)) {
      throw new InvalidMetadata('owner', 'somebody must look after the app; invite another owner first')
    }
    await run(t, sql`delete from client_owners where client_id = ${client_id} and user_id = ${user_id}`)
    await record(t, { type: 'client.owner_removed', client_id, user_id }, by)
    await afterOwners(t, client_id, { user_id, came: false }, by)
    await endTrial(t, client, user_id, by)
    return client
  })
}

/** Ends the access that somebody has for trying out a waiting app, unless they may still use it. */
export async function endTrial(t: Db, client: Client, user_id: string, by: ActingUser): Promise<void> {
  if (await mayUse(t, client, user_id)) return
  const consent = await findConsent(t, user_id, client.id)
  if (consent) await endDecision(t, consent.id, by)
}
