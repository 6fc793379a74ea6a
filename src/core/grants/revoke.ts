// Ending access as an administrator: one consent, or all consents of an app or a person in a bulk job.
import type { Actor } from '../../base/audit-events.ts'
import { createJob, type Job, type JobStep } from '../../db/jobs.ts'
import { type Db, many, maybe, one, run, sql, tx } from '../../db/pool.ts'
import { record, recordAll } from '../audit/store.ts'
import { checkClientEscalation } from '../escalation/clients.ts'
import { holdPerson } from '../escalation/users.ts'
import { revokeGrant } from './store.ts'

/** The kind of job that ends access in bulk. */
export const END_ACCESS = 'end_access'

/** Whose consents the job ends; at least one of the two is set. */
export interface EndAccess {
  user_id?: string
  client_id?: string
}

const BATCH = 500
const TOKENS_BATCH = 10_000

/**
 * Ends one consent and its grants. @returns whether it lived until now. @throws LesserPower, NotAdministrator
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

/** Ends one grant: an app on one device. @returns whether it lived until now. @throws LesserPower, NotAdministrator */
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

/** As {@link endAccess}, without the escalation check: the owners of an app may end what they let somebody try out. */
export async function endDecision(t: Db, consent_id: string, by: Actor): Promise<boolean> {
  return (await endConsents(t, [consent_id], by)) > 0
}

/**
 * Ends all access of an app, to an account, or of that app to that account, by a job, because there may be a million consents. Tokens
 * without a person end first. @throws LesserPower, NotAdministrator
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
  // Tokens without a person hang on no consent, so end those that exist now; the job is not about tokens issued later.
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
        -- The condition of the index of live consents, so that no batch reads again what has ended.
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

// Whoever ends the access of an app or person that administers needs the same power.
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
          -- Always locked in the same order, so that this cannot deadlock with a person who removes apps.
          select id from consents where id = any(${ids}::uuid[]) and revoked_at is null order by id for update
        ))
        returning id, user_id, client_id`,
  )
  // A second statement, so that it sees a grant that a sign-in committed while the first one waited for the consent.
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
