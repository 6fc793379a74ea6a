// The mails that wait to be sent: a row a mail, written in the transaction of what it tells of, so that it goes out when that
// was done and never otherwise. It knows no noun, and holds no credential.
import { type Db, many, maybe, run, sql } from '../db/pool.ts'
import { KEPT_DAYS, SWEEP_BATCH, type Sweep } from '../db/sweep.ts'

/** What each kind of mail says. A link is never among it: it is made when the mail is sent. */
export interface MailParams {
  app_approved: { name: string; client_id: string; client_name: string }
  /** `reason`: in words for the owners. */
  app_rejected: { name: string; client_id: string; client_name: string; reason: string }
  owner_invitation: { invitation_id: string; client_id: string; client_name: string; inviter_name: string }
  password_reset: { name: string; user_id: string }
}

/** A kind of mail. */
export type MailKind = keyof MailParams

/** One mail to one address. */
export type Mail = { [K in MailKind]: { to: string; kind: K; params: MailParams[K] } }[MailKind]

/** A mail that somebody has taken to send it. */
export type WaitingMail = Mail & { id: string; attempts: number; created_at: Date }

/** What is known of a mail that nobody will get. */
export interface LostMail {
  id: string
  kind: string
  attempts: number
  client_id: string | null
  user_id: string | null
}

/** Longer than sending one takes at most: a mail that is being sent is nobody else's. */
const FIRST_PAUSE_SECONDS = 60
const LONGEST_PAUSE_SECONDS = 3_600
const TRIED_HOURS = 24

/** Has a mail sent once this transaction is done; every node hears of it at commit. */
export async function queueMail(t: Db, { to, kind, params }: Mail): Promise<void> {
  await run(
    t,
    sql`insert into mails (recipient, kind, params) values (${to}, ${kind}, ${JSON.stringify(params)})`,
  )
}

/** Takes back what waits of one kind with these params. What is just being sent arrives all the same. */
export async function withdrawMails(
  t: Db,
  kind: MailKind,
  params: Partial<Record<string, string>>,
): Promise<void> {
  await run(
    t,
    sql`update mails set state = 'withdrawn', params = null, finished_at = now()
        where state = 'waiting' and kind = ${kind} and params @> ${JSON.stringify(params)}::jsonb`,
  )
}

/**
 * Takes the next mail that is due and that no other node has taken, for as long as its next pause lasts: one minute, two,
 * four, up to an hour. @param kinds what is known here; others are left to a node that knows them.
 */
export function takeMail(db: Db, kinds: MailKind[]): Promise<WaitingMail | undefined> {
  return maybe<WaitingMail>(
    db,
    sql`update mails
        set attempts = attempts + 1,
            next_try_at = now() + make_interval(secs =>
              least(${LONGEST_PAUSE_SECONDS}::int, ${FIRST_PAUSE_SECONDS}::int * 2 ^ least(attempts, 20)))
        where id = (
          select id from mails
          where state = 'waiting' and next_try_at <= now() and kind = any(${kinds})
          order by next_try_at limit 1
          for update skip locked)
        returning id, recipient as to, kind, params, attempts, created_at`,
  )
}

/** Notes how a mail ended, and forgets what it said. */
export async function finishMail(
  db: Db,
  id: string,
  state: 'sent' | 'withdrawn' | 'given_up',
): Promise<void> {
  await run(
    db,
    sql`update mails set state = ${state}, params = null, finished_at = now()
        where id = ${id} and state = 'waiting'`,
  )
}

/** Gives up what could not be sent for a day. @returns what nobody will get. */
export function giveUpOldMails(t: Db): Promise<LostMail[]> {
  return many<LostMail>(
    t,
    sql`with old as (
          select id, params from mails
          where state = 'waiting' and created_at < now() - make_interval(hours => ${TRIED_HOURS})
          limit ${SWEEP_BATCH}
          for update skip locked)
        update mails m set state = 'given_up', params = null, finished_at = now()
        from old where m.id = old.id
        returning m.id, m.kind, m.attempts, old.params ->> 'client_id' as client_id, old.params ->> 'user_id' as user_id`,
  )
}

/** Mails that ended long ago. */
export const sweepMails: Sweep = (db) =>
  run(
    db,
    sql`delete from mails where id = any(array(
          select id from mails
          where state <> 'waiting' and finished_at < now() - make_interval(days => ${KEPT_DAYS})
          limit ${SWEEP_BATCH} for update skip locked))`,
  )
