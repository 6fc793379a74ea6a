// The escalation check of apps: whoever changes an app could use its power, so they must have that power.
import type { Actor } from '../../base/audit-events.ts'
import { type Db, many, sql } from '../../db/pool.ts'
import { checkScopeEscalation, isOperator } from './users.ts'

const LATELY_HOURS = 24

/**
 * Locks an app until the end of the transaction, and checks the one who acts on it against the scopes that the app has, or had within
 * the last day. @param more scopes that the app is to get. @throws LesserPower, NotAdministrator
 */
export function checkClientEscalation(
  t: Db,
  id: string,
  by: Actor,
  more: readonly string[] = [],
): Promise<void> {
  return checkClientsEscalation(t, [id], by, more)
}

/** As {@link checkClientEscalation}, for several. */
export async function checkClientsEscalation(
  t: Db,
  ids: string[],
  by: Actor,
  more: readonly string[] = [],
): Promise<void> {
  if (isOperator(by)) return
  const apps = await many<{ scopes: string[] }>(
    t,
    sql`select scopes || case when former_scopes_at > now() - make_interval(hours => ${LATELY_HOURS}) then former_scopes
                              else '{}' end as scopes
        from clients where id = any(${ids}) order by id for no key update`,
  )
  await checkScopeEscalation(t, by, [...apps.flatMap(({ scopes }) => scopes), ...more])
}
