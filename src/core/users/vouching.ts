// Which owners the verification of an app is about, and who gets a mail when owners of an app come and go.
import type { Actor, AuditEvent } from '../../base/audit-events.ts'
import { type Db, many, one, run, sql } from '../../db/pool.ts'
import { recordAll } from '../audit/store.ts'
import { queueNotices } from '../mail/outbox.ts'
import { findAdministrators, type Recipient, wordsOf } from './notices.ts'

/**
 * An administrator vouches for the present owners of an app. Call it in the transaction that verifies it or makes it first-party.
 */
export async function vouchForOwners(t: Db, ...client_ids: string[]): Promise<void> {
  await run(t, sql`update client_owners set vouched = true where client_id = any(${client_ids})`)
}

/** Does {@link afterOwners} for every app of somebody who cannot sign in any more. */
export async function afterDisabling(t: Db, user_id: string, by: Actor): Promise<void> {
  const apps = await many<{ client_id: string }>(
    t,
    sql`select client_id from client_owners where user_id = ${user_id} order by client_id`,
  )
  await settleVerification(
    t,
    apps.map(({ client_id }) => client_id),
    by,
  )
}

/**
 * What follows when an app gets or loses an owner. The version of the app counts up, so that nobody decides about what they have not
 * seen; the verification falls if none of the owners it was about is left; and the other owners and the administrators get a mail.
 */
export async function afterOwners(
  t: Db,
  client_id: string,
  { user_id, came }: { user_id: string; came: boolean },
  by: Actor,
): Promise<void> {
  const { name: client_name } = await one<{ name: string }>(
    t,
    sql`update clients set version = version + 1 where id = ${client_id} returning name`,
  )
  const person = await one<Recipient>(t, sql`select id, name, email from users where id = ${user_id}`)
  const isOwnDoing = by.type === 'user' && by.id === user_id
  const who = isOwnDoing ? '' : await wordsOf(t, by)
  const others = (await othersOf(t, [client_id], by))(client_id)
  const isTold = !came && !isOwnDoing && !others.some(({ id }) => id === user_id)
  const recipients = isTold ? [...others, person] : others
  await queueNotices(
    t,
    recipients.map(({ id, name, email }) => ({
      to: email,
      kind: came ? ('owner_came' as const) : ('owner_gone' as const),
      params: {
        client_id,
        client_name,
        name,
        person: id === user_id ? '' : `${person.name} (${person.email})`,
        by: who,
      },
    })),
  )
  await settleVerification(t, [client_id], by)
}

// An app without owners keeps its verification, because only administrators can change it.
async function settleVerification(t: Db, client_ids: string[], by: Actor): Promise<void> {
  // Lock the app: if an owner comes while another one is disabled, the second change sees the first.
  const before = await many<{ id: string; name: string; verified: boolean; first_party: boolean }>(
    t,
    sql`select id, name, verified_at is not null as verified, first_party from clients
        where id = any(${client_ids}) order by id for no key update`,
  )
  const rows = await many<{ id: string }>(
    t,
    sql`update clients c
        set verified_at = null, first_party = false, verification_fell_at = now(), version = version + 1
        where c.id = any(${client_ids}) and (c.verified_at is not null or c.first_party) and c.deleted_at is null
          and (select bool_or(u.disabled_at is null) and not bool_or(u.disabled_at is null and o.vouched)
               from client_owners o join users u on u.id = o.user_id where o.client_id = c.id)
        returning c.id`,
  )
  const ids = new Set(rows.map(({ id }) => id))
  const fell = before.filter(({ id }) => ids.has(id))
  if (fell.length === 0) return
  const fields = ['first_party']
  const changes = [{ field: 'first_party', from: true, to: false }]
  const events = fell.flatMap(({ id: client_id, verified, first_party }): AuditEvent[] => [
    ...(verified ? [{ type: 'client.unverified' as const, client_id, reason: 'owners_left' as const }] : []),
    ...(first_party ? [{ type: 'client.changed' as const, client_id, fields, changes, loosened: [] }] : []),
  ])
  await recordAll(t, events, by)
  const recipientsOf = await othersOf(t, [...ids], undefined)
  await queueNotices(
    t,
    fell.flatMap(({ id: client_id, name: client_name }) =>
      recipientsOf(client_id).map(({ name, email }) => ({
        to: email,
        kind: 'verification_fell' as const,
        params: { client_id, client_name, name },
      })),
    ),
  )
}

/** Owners of each of these apps and administrators of the server, each once, without the one who acts. */
async function othersOf(
  t: Db,
  client_ids: string[],
  by: Actor | undefined,
): Promise<(client_id: string) => Recipient[]> {
  const owners = await many<Recipient & { client_id: string }>(
    t,
    sql`select o.client_id, u.id, u.name, u.email from client_owners o join users u on u.id = o.user_id
        where o.client_id = any(${client_ids}) and u.disabled_at is null
        order by o.created_at, u.id`,
  )
  const administrators = await findAdministrators(t)
  return (client_id) => {
    const ofApp = owners.filter((owner) => owner.client_id === client_id)
    const all = new Map([...administrators, ...ofApp].map((each) => [each.id, each]))
    if (by?.type === 'user' && by.id !== undefined) all.delete(by.id)
    return [...all.values()]
  }
}
