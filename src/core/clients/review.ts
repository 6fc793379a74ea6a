// What administrators decide about an app: whether it may be used, and whether anybody has checked who is behind it.
import type { Actor, AuditEvent } from '../../base/audit-events.ts'
import { type Db, one, type Query, run, sql, tx } from '../../db/pool.ts'
import { record } from '../audit/store.ts'
import { checkClientEscalation } from '../escalation/clients.ts'
import { endAllAccess } from '../grants/revoke.ts'
import { type Mail, type MailParams, queueMail } from '../mail/outbox.ts'
import { vouchForOwners } from '../users/vouching.ts'
import { InvalidMetadata } from './metadata.ts'
import { findOwners } from './owners.ts'
import { type Client, lockClient } from './store.ts'
import { VersionConflict } from './update.ts'

/**
 * Approves an app that waits or was rejected, so that everybody can use it, and tells its owners by mail.
 * @param version the version that the administrator has seen; absent: any. @returns whether anything changed. @throws VersionConflict
 */
export function approveClient(db: Db, id: string, by: Actor, version?: number): Promise<boolean> {
  return decide(
    db,
    sql`update clients set state = 'active', state_reason = '', version = version + 1
        where id = ${id} and state <> 'active' and deleted_at is null`,
    { type: 'client.approved', client_id: id },
    by,
    (t) => tellOwners(t, id, (to, params) => ({ to, kind: 'app_approved', params })),
    (t) => mustBeAsSeen(t, id, version, ({ state }) => state === 'active'),
  )
}

/**
 * Rejects an app that waits, and tells its owners why by mail. Tokens that they got for trying it out end at once.
 * @param reason in words for its owners, at most 1,000 characters. @returns whether anything changed. @throws InvalidMetadata
 */
export async function rejectClient(db: Db, id: string, reason: string, by: Actor): Promise<boolean> {
  const text = reasonText(reason)
  return decide(
    db,
    sql`update clients set state = 'rejected', state_reason = ${text}, version = version + 1
        where id = ${id} and state = 'pending' and deleted_at is null`,
    { type: 'client.rejected', client_id: id, reason: text },
    by,
    async (t) => {
      await tellOwners(t, id, (to, params) => ({
        to,
        kind: 'app_rejected',
        params: { ...params, reason: text },
      }))
      // Its state ends its tokens now; this keeps them ended when its owners submit the app again.
      await endAllAccess(t, { client_id: id }, by)
    },
  )
}

/**
 * Verifies an app: the consent page says that somebody has checked who is behind it, which are its present owners.
 * @param version the version that the administrator has seen; absent: any. @returns whether anything changed. @throws VersionConflict
 */
export function verifyClient(db: Db, id: string, by: Actor, version?: number): Promise<boolean> {
  return decide(
    db,
    sql`update clients set verified_at = now(), verification_fell_at = null, version = version + 1
        where id = ${id} and verified_at is null and deleted_at is null and type <> 'resource_server'`,
    { type: 'client.verified', client_id: id },
    by,
    (t) => vouchForOwners(t, id),
    (t) => mustBeAsSeen(t, id, version, ({ verified_at }) => verified_at !== null),
  )
}

/** Takes the verification back. @returns whether anything changed. */
export function unverifyClient(db: Db, id: string, by: Actor): Promise<boolean> {
  return decide(
    db,
    sql`update clients set verified_at = null, version = version + 1
        where id = ${id} and verified_at is not null and deleted_at is null`,
    { type: 'client.unverified', client_id: id },
    by,
  )
}

/** Checks the reason that the owners of an app read. @throws InvalidMetadata */
export function reasonText(reason: string): string {
  const text = reason.trim()
  if (!text) throw new InvalidMetadata('reason', 'is missing, e.g. "The redirect host is not yours"')
  if (text.length > 1000) throw new InvalidMetadata('reason', 'has more than 1,000 characters')
  return text
}

/** How many apps, and changes of apps, wait for a decision; more than 100 count as 100. */
export async function countWaiting(db: Db): Promise<number> {
  const { waiting } = await one<{ waiting: number }>(
    db,
    sql`select count(*)::int as waiting
        from (
          (select from clients where deleted_at is null and state = 'pending' limit 100)
          union all
          (select from client_changes ch join clients c on c.id = ch.client_id
           where ch.rejected_at is null and c.deleted_at is null limit 100)
          limit 100
        ) counted`,
  )
  return waiting
}

function decide(
  db: Db,
  update: Query,
  event: AuditEvent & { client_id: string },
  by: Actor,
  tell: (t: Db) => Promise<void> = async () => {},
  look: (t: Db) => Promise<void> = async () => {},
): Promise<boolean> {
  return tx(db, async (t) => {
    await checkClientEscalation(t, event.client_id, by)
    await look(t)
    if (!(await run(t, update))) return false
    await record(t, event, by)
    await tell(t)
    return true
  })
}

// The owners may change a waiting app completely, so an administrator must decide about the version they have seen.
async function mustBeAsSeen(
  t: Db,
  id: string,
  version: number | undefined,
  isDecided: (client: Client) => boolean,
): Promise<void> {
  const client = version === undefined ? undefined : await lockClient(t, id)
  if (client && client.version !== version && !isDecided(client)) throw new VersionConflict(client)
}

async function tellOwners(
  t: Db,
  client_id: string,
  mailOf: (to: string, params: MailParams['app_approved']) => Mail,
): Promise<void> {
  const { name: client_name } = await one<{ name: string }>(
    t,
    sql`select name from clients where id = ${client_id}`,
  )
  for (const { name, email } of await findOwners(t, client_id)) {
    await queueMail(t, mailOf(email, { name, client_id, client_name }))
  }
}
