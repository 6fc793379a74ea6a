// The mails that wait to be sent: jobs of the lane `mail`, written in the transaction of the change they tell about, so that a mail is
// sent only if that commits. It knows no noun and holds no credential.
import type { Delivery, Patience } from '../../db/deliveries.ts'
import { type Db, maybe, run, sql } from '../../db/pool.ts'
import { mailboxOf } from './mailbox.ts'

/** The params of each kind of mail. A link is never among them: it is made when the mail is sent. */
export interface MailParams {
  app_approved: { name: string; client_id: string; client_name: string }
  /** `reason`: in words for the owners. */
  app_rejected: { name: string; client_id: string; client_name: string; reason: string }
  owner_invitation: {
    invitation_id: string
    client_id: string
    client_name: string
    inviter_name: string
    /** The path at which it is confirmed. */
    inviter_email?: string
  }
  password_reset: { name: string; user_id: string }
  // Notices. `person`: whom it is about; empty: the recipient. `by`: who did it; empty: that person.
  owner_came: Notice & { client_id: string; client_name: string; person: string; by: string }
  owner_gone: Notice & { client_id: string; client_name: string; person: string; by: string }
  verification_fell: Notice & { client_id: string; client_name: string }
  account_changed: Notice & { user_id: string; what: AccountChange | 'own_password'; by: string }
  person_changed: Notice & { user_id: string; person: string; what: AccountChange; by: string }
  /** How often each of these happened without a mail of its own. */
  more_notices: { name: string; counts: Partial<Record<NoticeCause, number>> }
}

/** The event of a notice. */
export type NoticeCause =
  | 'owner_came'
  | 'owner_gone'
  | 'verification_fell'
  | `account_changed:${AccountChange | 'own_password'}`
  | `person_changed:${AccountChange}`

interface Notice {
  name: string
  /** Further notices of this kind are summed up within the hour. */
  is_last?: boolean
}

/** What somebody else did to an account. */
export type AccountChange = 'made_admin' | 'made_user' | 'disabled' | 'enabled' | 'password' | 'signed_out'

/** A kind of mail. */
export type MailKind = keyof MailParams

/** One mail to one address. */
export type Mail = { [K in MailKind]: { to: string; kind: K; params: MailParams[K] } }[MailKind]

/** A mail that this node has taken to send. */
export type WaitingMail = Mail & { id: string; attempts: number; created_at: Date }

/** A mail that nobody will get. */
export interface LostMail {
  id: string
  kind: string
  attempts: number
  client_id: string | null
  user_id: string | null
}

/** When a mail is tried again: after one minute, two, four, up to an hour, for a day. */
export const MAIL_PATIENCE: Patience = { firstPauseSeconds: 60, longestPauseSeconds: 3_600, triedHours: 24 }

/** The mail of a delivery. */
export function waitingMail({ recipient, ...delivery }: Delivery): WaitingMail {
  return { ...delivery, to: recipient } as unknown as WaitingMail
}

/** What is recorded of a delivery that nobody gets. */
export function lostMail({ id, kind, attempts, params }: Delivery): LostMail {
  const { client_id = null, user_id = null } = params as { client_id?: string; user_id?: string }
  return { id, kind, attempts, client_id, user_id }
}

/** Queues a mail; the commit announces it to every node. */
export async function queueMail(t: Db, { to, kind, params }: Mail): Promise<void> {
  await run(
    t,
    sql`insert into queued_jobs (lane, recipient, kind, params) values ('mail', ${to}, ${kind}, ${JSON.stringify(params)})`,
  )
}

const MOST_A_DAY = 5

/**
 * As {@link queueMail}, for mails that anybody can have sent to anybody: at most 5 of them reach one mailbox within 24 hours, whoever
 * sends them. The lock on the count is held until the end of the transaction. @returns the seconds to wait, when none may be
 * sent now
 */
export async function queueMailToAnybody(t: Db, { to, kind, params }: Mail): Promise<number | undefined> {
  const mailbox = mailboxOf(to)
  // The lock makes the second of two calls at once count the first.
  await run(t, sql`select pg_advisory_xact_lock(hashtextextended(${`mails to ${mailbox}`}, 0))`)
  const full = await maybe<{ seconds: number }>(
    t,
    sql`select ceil(extract(epoch from created_at + interval '24 hours' - now()))::int as seconds
        from queued_jobs
        where mailbox = ${mailbox} and created_at > now() - interval '24 hours'
        order by created_at desc
        offset ${MOST_A_DAY - 1}::int limit 1`,
  )
  if (full) return Math.max(1, full.seconds)
  await run(
    t,
    sql`insert into queued_jobs (lane, recipient, kind, params, mailbox)
        values ('mail', ${to}, ${kind}, ${JSON.stringify(params)}, ${mailbox})`,
  )
  return undefined
}

// Nobody must be able to make this server send many mails, or to hide one event behind many others.
const MOST_NOTICES_AN_HOUR = 20
const SUMMARY_MINUTES = 15

/**
 * As {@link queueMail}, for notices: at most 20 of one kind an hour reach one address, and the last one says so. Further ones are counted,
 * by event, in one more mail within 15 minutes.
 */
export async function queueNotices(t: Db, notices: Mail[]): Promise<void> {
  if (notices.length === 0) return
  await run(
    t,
    sql`with placed as (
          select n.to, n.kind, n.params, n.kind || coalesce(':' || (n.params ->> 'what'), '') as cause, sent.count + n.nth as place
          from (
                 select *, row_number() over (partition by "to", kind) as nth
                 from jsonb_to_recordset(${JSON.stringify(notices)}) as n ("to" text, kind text, params jsonb)
               ) n,
               lateral (
                 select count(*) from queued_jobs m
                 where m.lane = 'mail' and m.recipient = n.to and m.kind = n.kind and m.created_at > now() - interval '1 hour'
               ) sent
        ), mailed as (
          insert into queued_jobs (lane, recipient, kind, params)
          select 'mail', p.to, p.kind, p.params || jsonb_build_object('is_last', p.place = ${MOST_NOTICES_AN_HOUR}::int)
          from placed p
          where p.place <= ${MOST_NOTICES_AN_HOUR}::int
        ), others as (
          select p.to, p.cause, max(p.params ->> 'name') as name, count(*) as count
          from placed p
          where p.place > ${MOST_NOTICES_AN_HOUR}::int
          group by p.to, p.cause
        )
        insert into queued_jobs (lane, recipient, kind, params, next_try_at)
        select 'mail', o.to, 'more_notices', jsonb_build_object('name', max(o.name), 'counts', jsonb_object_agg(o.cause, o.count)),
               now() + make_interval(mins => ${SUMMARY_MINUTES}::int)
        from others o
        group by o.to
        -- Of two transactions one waits for the other, in the same order everywhere, so that they cannot deadlock.
        order by o.to
        on conflict (recipient) where kind = 'more_notices' and state = 'waiting' and attempts = 0
        do update set params = jsonb_set(queued_jobs.params, '{counts}', (
          select jsonb_object_agg(summed.cause, summed.count)
          from (
                 select cause, sum(count::int) as count
                 from (
                        select * from jsonb_each_text(queued_jobs.params -> 'counts')
                        union all
                        select * from jsonb_each_text(excluded.params -> 'counts')
                      ) counted (cause, count)
                 group by cause
               ) summed))`,
  )
}

/**
 * Withdraws waiting mails of one kind about an account. A mail that is just being sent arrives nevertheless. @returns how many
 */
export function withdrawMails(t: Db, kind: MailKind, user_id: string): Promise<number> {
  return run(
    t,
    sql`update queued_jobs set state = 'withdrawn', params = null, finished_at = now()
        where lane = 'mail' and state = 'waiting' and kind = ${kind} and params ->> 'user_id' = ${user_id}`,
  )
}

/** Whether a mail of one kind waits for an address. */
export async function isMailWaiting(db: Db, kind: MailKind, to: string): Promise<boolean> {
  const waiting = await maybe(
    db,
    sql`select from queued_jobs where lane = 'mail' and recipient = ${to} and kind = ${kind} and state = 'waiting' limit 1`,
  )
  return waiting !== undefined
}
