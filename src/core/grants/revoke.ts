// Ending access as an administrator: one decision of one person, or every one of an app or a person, batch by batch.
import type { Actor } from '../../base/audit-events.ts'
import { createJob, type Job, type JobStep } from '../../db/jobs.ts'
import { type Db, many, maybe, one, run, sql, tx } from '../../db/pool.ts'
import { record, recordAll } from '../audit/store.ts'
import { checkClientEscalation } from '../escalation/clients.ts'
import { holdPerson } from '../escalation/users.ts'
import { revokeGrant } from './store.ts'

/** The kind of job that ends access in bulk. */
export const END_ACCESS = 'end_access'

/** What a bulk ends; one of the two at least. */
export interface EndAccess {
  user_id?: string
  client_id?: string
}

const BATCH = 500
const TOKENS_BATCH = 10_000

/**
 * Ends one decision and every device of it. @returns whether it stood until now. @throws LesserPower, NotAdministrator
 */
export function endAccess(db: Db, consent_id: string, by: Actor): Promise<boolean> {
  return tx(db, async (t) => {
    const consent = await maybe<{ user_id: string; client_id: string }>(
      t,
      sql`select user_id, client_id from consents where id = ${consent_id}`,
    )
    if (!consent) return false
    await checkAccessEscalation(t, consent, by)
    return endDecision(t, consent_id, by)
  })
}

/** Ends one grant: an app on one device. @returns whether it stood until now. @throws LesserPower, NotAdministrator */
export function endGrant(db: Db, id: string, by: Actor): Promise<boolean> {
  return tx(db, async (t) => {
    const grant = await maybe<{ user_id: string; client_id: string }>(
      t,
      sql`select user_id, client_id from grants where id = ${id}`,
    )
    if (!grant) return false
    await checkAccessEscalation(t, grant, by)
    return revokeGrant(t, id, 'revoked_by_admin', by)
  })
}

/** As {@link endAccess}, whoever it is that asks: what the app's own owners let somebody try out, they may end. */
export async function endDecision(t: Db, consent_id: string, by: Actor): Promise<boolean> {
  return (await endConsents(t, [consent_id], by)) > 0
}

/**
 * Has all access of an app, or of a person, or of that app by that person, ended in the background: there may be a million.
 * It begins at once, with what acts without people. @throws LesserPower, NotAdministrator
 */
export function endAllAccess(db: Db, what: EndAccess, by: Actor): Promise<Job> {
  if (what.user_id === undefined && what.client_id === undefined) throw new Error('everything is too much')
  return tx(db, async (t) => {
    await checkAccessEscalation(t, what, by)
    const job = await createJob(t, { kind: END_ACCESS, params: { ...what }, actor: { ...by } })
    await record(t, { type: 'job.started', ...what, job_id: job.id, kind: END_ACCESS }, by)
    return job
  })
}

/** One batch of {@link endAllAccess}. */
export const endAccessStep: JobStep = async (t, job) => {
  const { user_id = null, client_id = null } = job.params as EndAccess
  const total = job.total ?? (await countConsents(t, user_id, client_id))
  // Tokens without a person hang on no decision. Those that are issued from now on are not what was asked for.
  if (user_id === null) {
    const ended = await run(
      t,
      sql`delete from tokens where hash = any(array(
            select hash from tokens
            where client_id = ${client_id} and grant_id is null and issued_at <= (select created_at from queued_jobs where id = ${job.id})
            limit ${TOKENS_BATCH} for update skip locked))`,
    )
    if (ended === TOKENS_BATCH) return { done: 0, total, finished: false }
  }
  const ids = await many<{ id: string }>(
    t,
    sql`select id from consents
        where revoked_at is null
          and (${client_id}::text is null or client_id = ${client_id})
          and (${user_id}::uuid is null or user_id = ${user_id})
        -- As in the index of those that stand: what has ended already is not read again with every batch.
        order by created_at, id
        limit ${BATCH}`,
  )
  const by = job.actor as unknown as Actor
  const done = await endConsents(
    t,
    ids.map(({ id }) => id),
    by,
    job.id,
  )
  return { done, total, finished: ids.length < BATCH }
}

// An app that administers, or somebody who does, is not cut off by who could not do as much.
async function checkAccessEscalation(t: Db, { user_id, client_id }: EndAccess, by: Actor): Promise<void> {
  if (user_id !== undefined) await holdPerson(t, user_id, by)
  if (client_id !== undefined) await checkClientEscalation(t, client_id, by)
}

async function countConsents(t: Db, user_id: string | null, client_id: string | null): Promise<number> {
  const { total } = await one<{ total: number }>(
    t,
    sql`select count(*)::int as total from consents
        where revoked_at is null
          and (${client_id}::text is null or client_id = ${client_id})
          and (${user_id}::uuid is null or user_id = ${user_id})`,
  )
  return total
}

async function endConsents(t: Db, ids: string[], by: Actor, job_id?: string): Promise<number> {
  const ended = await many<{ id: string; user_id: string; client_id: string }>(
    t,
    sql`update consents set revoked_at = now()
        where id = any(array(
          -- Locked in one order, so that this and a person who removes apps cannot wait for each other.
          select id from consents where id = any(${ids}::uuid[]) and revoked_at is null order by id for update
        ))
        returning id, user_id, client_id`,
  )
  // A statement of its own: it must see the grant that a sign-in committed while the decision was being waited for.
  const counts = await many<{ consent_id: string; grants: number }>(
    t,
    sql`with marked as (
          update grants set revoked_at = now(), revoked_reason = 'revoked_by_admin'
          where id = any(array(
            select id from grants
            where consent_id = any(${ended.map(({ id }) => id)}::uuid[]) and revoked_at is null
            order by id for update
          ))
          returning consent_id
        )
        select consent_id, count(*)::int as grants from marked group by consent_id`,
  )
  const grantsOf = new Map(counts.map(({ consent_id, grants }) => [consent_id, grants]))
  await recordAll(
    t,
    ended.map(({ id, user_id, client_id }) => ({
      type: 'consent.revoked',
      user_id,
      client_id,
      grants: grantsOf.get(id) ?? 0,
      job_id,
    })),
    by,
  )
  return ended.length
}
