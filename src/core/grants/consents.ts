// Consents: what a user decided about an app. There is one live consent for each user and app, and a grant for each device that
// uses it.
import type { Actor } from '../../base/audit-events.ts'
import { type Db, many, maybe, one, run, sql, tx } from '../../db/pool.ts'
import { KEPT_DAYS, SWEEP_BATCH, type Sweep } from '../../db/sweep.ts'
import { record, recordAll } from '../audit/store.ts'
import { addGrant, type Device, type GrantedScopes } from './store.ts'

/** A live consent. */
export interface Consent {
  id: string
  scopes: string[]
  rejected_scopes: string[]
  /** The name and host of the app when the person decided. */
  client_name: string
  client_host: string
  created_at: Date
  /** When the person decided last. */
  updated_at: Date
  expires_at: Date | null
}

/** What a user decided on the consent page. */
export interface Decision {
  user_id: string
  client: { id: string; name: string; host: string; logo_uri?: string }
  scopes: string[]
  rejected_scopes: string[]
  /** When access ends by itself; null: only when the user removes it. */
  expires_at: Date | null
  granted: GrantedScopes
  device: Device
}

/** The live consent of a user to an app. */
export function findConsent(db: Db, user_id: string, client_id: string): Promise<Consent | undefined> {
  return maybe<Consent>(
    db,
    sql`select id, scopes, rejected_scopes, client_name, client_host, created_at, updated_at, expires_at
        from consents
        where user_id = ${user_id} and client_id = ${client_id} and revoked_at is null
          and (expires_at is null or expires_at > now())`,
  )
}

/** Stores a decision and makes the grant of this device, with the audit row, in one transaction. @returns the grant's id. */
export function giveConsent(db: Db, decision: Decision, by: Actor): Promise<string> {
  const { user_id, client, expires_at } = decision
  return tx(db, async (t) => {
    const gone = await beginDecision(t, decision)
    const scopes = decision.scopes.filter((scope) => !gone.has(scope))
    const rejected_scopes = decision.rejected_scopes.filter((scope) => !gone.has(scope))
    // Scopes that are not asked about now keep the earlier decision; for the others the present decision counts.
    const consent = await one<{ id: string; expires_at: Date | null }>(
      t,
      sql`insert into consents as c (user_id, client_id, scopes, rejected_scopes, client_name, client_host,
                                     client_logo_uri, expires_at)
          values (${user_id}, ${client.id}, ${scopes}, ${rejected_scopes}, ${client.name}, ${client.host},
                  ${client.logo_uri ?? null}, ${expires_at})
          on conflict (user_id, client_id) where revoked_at is null do update
          set scopes = array(select unnest(c.scopes) union select unnest(excluded.scopes)
                             except select unnest(excluded.rejected_scopes)),
              rejected_scopes = array(select unnest(c.rejected_scopes) union select unnest(excluded.rejected_scopes)
                                      except select unnest(excluded.scopes)),
              client_name = excluded.client_name, client_host = excluded.client_host,
              client_logo_uri = excluded.client_logo_uri,
              -- Extend the end only if the person has seen all scopes now: scopes allowed earlier must not live longer unasked.
              expires_at = case when c.scopes <@ (excluded.scopes || excluded.rejected_scopes) then excluded.expires_at
                                else least(c.expires_at, excluded.expires_at) end,
              updated_at = now()
          returning id, expires_at`,
    )
    await run(
      t,
      sql`update grants set ends_at = ${consent.expires_at}
          where id = any(array(
            -- Everywhere, grants are locked in the order of their ids, so that two changes at once cannot deadlock.
            select id from grants where consent_id = ${consent.id} and revoked_at is null order by id for update
          ))`,
    )
    // End earlier grants that hold a scope which the person refuses now.
    const narrowed = await many<{ id: string }>(
      t,
      sql`update grants set revoked_at = now(), revoked_reason = 'narrowed'
          where consent_id = ${consent.id} and revoked_at is null
            and exists (select from json_each_text(payload -> 'resources') api
                        where string_to_array(api.value, ' ') && ${rejected_scopes}::text[])
          returning id`,
    )
    await recordAll(
      t,
      narrowed.map(({ id }) => ({
        type: 'grant.revoked',
        user_id,
        client_id: client.id,
        grant_id: id,
        reason: 'narrowed',
      })),
      by,
    )
    const grant_id = await addGrant(t, consent.id, withoutScopes(decision.granted, gone), decision.device)
    await record(t, { type: 'consent.given', user_id, client_id: client.id, scopes, rejected_scopes }, by)
    return grant_id!
  })
}

// An expired consent is ended first, so that the new decision revives none of its grants and scopes. The rows of the scopes are locked
// for share: a removal of a scope waits for this decision, and its job then finds the scope here. Scopes that were removed before
// are returned, and left out of the decision.
async function beginDecision(
  t: Db,
  { user_id, client, scopes, rejected_scopes }: Decision,
): Promise<Set<string>> {
  const named = await many<{ name: string; gone: boolean }>(
    t,
    sql`with over as (
          update consents set revoked_at = now()
          where user_id = ${user_id} and client_id = ${client.id} and revoked_at is null and expires_at <= now()
        )
        select name, removed_at is not null as gone from resource_scopes
        where name = any(${[...scopes, ...rejected_scopes]})
        for share`,
  )
  return new Set(named.filter(({ gone }) => gone).map(({ name }) => name))
}

function withoutScopes(granted: GrantedScopes, gone: ReadonlySet<string>): GrantedScopes {
  if (gone.size === 0) return granted
  const { resources = {}, rejected, ...rest } = granted
  const left = Object.entries(resources).map(
    ([api, scope]) =>
      [
        api,
        scope
          .split(' ')
          .filter((name) => !gone.has(name))
          .join(' '),
      ] as const,
  )
  return {
    ...rest,
    resources: Object.fromEntries(left.filter(([, scope]) => scope)),
    ...(rejected ? { rejected: withoutScopes(rejected, gone) } : {}),
  }
}

/** Records a "Don't allow". Nothing else changes. */
export function refuseConsent(db: Db, user_id: string, client_id: string, by: Actor): Promise<void> {
  return record(db, { type: 'consent.refused', user_id, client_id }, by)
}

/** Deletes consents that ended long ago and whose grants are deleted. */
export const sweepConsents: Sweep = (db) =>
  run(
    db,
    sql`delete from consents where id = any(array(
          select id from consents s
          where revoked_at < now() - make_interval(days => ${KEPT_DAYS})
            -- offset 0 makes Postgres look grants up for each consent, instead of joining the whole table.
            and not exists (select from grants where consent_id = s.id offset 0)
          limit ${SWEEP_BATCH} for update skip locked))`,
  )
