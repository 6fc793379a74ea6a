// Ending what somebody else could have made of an account: links for a new password, a password out of one, sign-ins, the access
// of apps. Call all of it with the account held.
import { type Db, many, run, sql } from '../../db/pool.ts'
import { withdrawMails } from '../mail/outbox.ts'

/**
 * Ends the links with which somebody could choose a new password, those that are still to be mailed, too.
 * @returns whether there was one that could be used, or would have been made.
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

/** Ends a password that was chosen with a link since then, whatever it was changed to: it takes another link to choose one. */
export async function endPasswordSince(t: Db, user_id: string, since: Date): Promise<void> {
  await run(
    t,
    sql`update users set password_hash = null where id = ${user_id} and password_from_link_at >= ${since}`,
  )
}

/** Ends the sign-ins and the access of apps that began since then; sign-ins that have begun come to nothing. */
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
