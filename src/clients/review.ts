// What administrators decide about an app: whether it may be used, and whether anybody has checked who is behind it.
import type { Actor, AuditEvent } from '../audit/events.ts'
import { record } from '../audit/store.ts'
import { type Db, one, type Query, run, sql, tx } from '../db/pool.ts'
import { InvalidMetadata } from './metadata.ts'

/** Lets everybody use an app that waits, or that was rejected. @returns whether anything changed. */
export function approveClient(db: Db, id: string, by: Actor): Promise<boolean> {
  return decide(
    db,
    sql`update clients set state = 'active', state_reason = '', version = version + 1
        where id = ${id} and state <> 'active' and deleted_at is null`,
    { type: 'client.approved', client_id: id },
    by,
  )
}

/**
 * Refuses an app that waits; what its owners tried out with it is dead at once.
 * @param reason in words for its owners, at most 1,000 characters. @returns whether anything changed. @throws InvalidMetadata
 */
export async function rejectClient(db: Db, id: string, reason: string, by: Actor): Promise<boolean> {
  const text = reason.trim()
  if (!text) throw new InvalidMetadata('reason', 'is missing, e.g. "The redirect host is not yours"')
  if (text.length > 1000) throw new InvalidMetadata('reason', 'has more than 1,000 characters')
  return decide(
    db,
    sql`update clients set state = 'rejected', state_reason = ${text}, version = version + 1
        where id = ${id} and state = 'pending' and deleted_at is null`,
    { type: 'client.rejected', client_id: id, reason: text },
    by,
  )
}

/** Says on the consent page that somebody has checked who is behind an app. @returns whether anything changed. */
export function verifyClient(db: Db, id: string, by: Actor): Promise<boolean> {
  return decide(
    db,
    sql`update clients set verified_at = now(), version = version + 1
        where id = ${id} and verified_at is null and deleted_at is null and type <> 'resource_server'`,
    { type: 'client.verified', client_id: id },
    by,
  )
}

/** Takes that back. @returns whether anything changed. */
export function unverifyClient(db: Db, id: string, by: Actor): Promise<boolean> {
  return decide(
    db,
    sql`update clients set verified_at = null, version = version + 1
        where id = ${id} and verified_at is not null and deleted_at is null`,
    { type: 'client.unverified', client_id: id },
    by,
  )
}

/** How many apps wait for a decision; more than 100 count as 100. */
export async function countWaiting(db: Db): Promise<number> {
  const { waiting } = await one<{ waiting: number }>(
    db,
    sql`select count(*)::int as waiting
        from (select from clients where deleted_at is null and state = 'pending' limit 100) counted`,
  )
  return waiting
}

function decide(db: Db, update: Query, event: AuditEvent, by: Actor): Promise<boolean> {
  return tx(db, async (t) => {
    if (!(await run(t, update))) return false
    await record(t, event, by)
    return true
  })
}
