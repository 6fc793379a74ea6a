// Mails that tell people what somebody else did to their account, and administrators what happened to one of them. They are queued in
// the transaction of what they tell about.
import type { Actor } from '../../base/audit-events.ts'
import { type Db, many, maybe, sql } from '../../db/pool.ts'
import { type HeldPerson, isOwn } from '../escalation/users.ts'
import { type AccountChange, queueNotices } from '../mail/outbox.ts'

/** Who gets a mail. */
export interface Recipient {
  id: string
  name: string
  email: string
}

const MOST_ADMINISTRATORS = 20

/** Administrators who can sign in, the first ones first, at most 20. */
export function findAdministrators(t: Db): Promise<Recipient[]> {
  return many<Recipient>(
    t,
    sql`select id, name, email from users
        where role = 'admin' and disabled_at is null
        order by created_at, id
        limit ${MOST_ADMINISTRATORS}`,
  )
}

/** Who did something, in words for a mail. */
export async function wordsOf(t: Db, by: Actor): Promise<string> {
  if (by.type === 'system') return 'the server'
  if (by.type === 'cli') return 'the operator at the command line'
  const who =
    by.type === 'user'
      ? await maybe<{ name: string }>(
          t,
          sql`select name || ' (' || email || ')' as name from users where id = ${by.id}`,
        )
      : await maybe<{ name: string }>(
          t,
          sql`select 'the program ' || name as name from clients where id = ${by.id}`,
        )
  return who?.name ?? 'somebody'
}

/**
 * Tells the person, unless they did it themselves; a new password is told in any case. The administrators are told, too, if the account
 * administers, or did within the last day, or its role changed.
 */
export async function tellOfChange(
  t: Db,
  person: Pick<HeldPerson, 'id' | 'name' | 'email' | 'powerful'>,
  what: AccountChange,
  by: Actor,
): Promise<void> {
  const { id: user_id, name, email } = person
  if (isOwn(by, user_id)) {
    if (what !== 'password') return
    const params = { user_id, name, what: 'own_password' as const, by: '' }
    return queueNotices(t, [{ to: email, kind: 'account_changed', params }])
  }
  const params = { user_id, name, what, by: await wordsOf(t, by) }
  await queueNotices(t, [{ to: email, kind: 'account_changed', params }])
  const isForAll = person.powerful || what === 'made_admin' || what === 'made_user'
  if (isForAll) await tellAdministrators(t, person, what, by)
}

/** Tells the administrators what was done to an account, except the one who did it and the one whose account it is. */
export async function tellAdministrators(
  t: Db,
  { id: user_id, name, email }: Recipient,
  what: AccountChange,
  by: Actor,
): Promise<void> {
  const who = await wordsOf(t, by)
  const administrators = await findAdministrators(t)
  await queueNotices(
    t,
    administrators
      .filter(({ id }) => id !== user_id && !(by.type === 'user' && id === by.id))
      .map((administrator) => ({
        to: administrator.email,
        kind: 'person_changed',
        params: { user_id, name: administrator.name, person: `${name} (${email})`, what, by: who },
      })),
  )
}
