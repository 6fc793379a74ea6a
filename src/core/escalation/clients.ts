// Who may act on which app: whoever takes over an app has its power, so they need it before.
import type { Actor } from '../../base/audit-events.ts'
import { type Db, many, sql } from '../../db/pool.ts'
import { checkScopeEscalation, isOperator } from './users.ts'

const LATELY_HOURS = 24

/**
 * Holds an app until the end of the transaction, and who acts on it against the scopes that the app has, and had within the
 * last day. @param more scopes that it is to get. @throws LesserPower, NotAdministrator
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
