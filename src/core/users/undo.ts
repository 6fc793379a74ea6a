// Ends what somebody else could have got on an account: links for a new password, a password chosen with one, sign-ins, access of
// apps. Call all of it with the account locked.
import { type Db, many, run, sql } from '../../db/pool.ts'
import { withdrawMails } from '../mail/outbox.ts'

/**
 * Ends links for a new password, including those that are still to be mailed.
 * @returns whether there was one that could be used or was to be mailed
 */
export async function endResets(t: Db, user_id: string): Promise<boolean> {
  const mails = await withdrawMails(t, 'password_reset', user_id)
  const ended = await many<{ is_open: boolean }>(
    t,
    sql`delete from user_links where user_id = ${user_id} and purpose = 'reset' and consumed_at is null
        returning expires_at > now() as is_open`,
  )
  return mails > 0 || ended.some(({ is_open }) => is_open)
}

/** Ends a password that was chosen with a link since then, even if it was changed again. It takes a new link to choose another. */
export async function endPasswordSince(t: Db, user_id: string, since: Date): Promise<void> {
  await run(
    t,
    sql`update users set password_hash = null where id = ${user_id} and password_from_link_at >= ${since}`,
  )
}

/** Ends sign-ins and access of apps that began since then, and sign-ins that have begun but not finished. */
export async function endMadeSince(t: Db, user_id: string, since: Date): Promise<void> {
  await run(t, sql`update users set sign_in_epoch = sign_in_epoch + 1 where id = ${user_id}`)
  await run(t, sql`delete from sessions where user_id = ${user_id} and created_at >= ${since}`)
  await run(
    t,
    sql`update grants set revoked_at = now(), revoked_reason = 'revoked_by_admin'
        where id = any(array(
          select id from grants
          where user_id = ${user_id} and revoked_at is null and created_at >= ${since}
          order by id for update
        ))`,
  )
}
