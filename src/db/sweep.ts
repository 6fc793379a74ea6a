// Takes dead rows away, a small batch at a time. Nobody waits for it: a row counts as dead long before it is gone.
import { type Db, run, sql } from './pool.ts'

/** Rows a statement takes at most. */
export const BATCH = 1_000

// A revoked grant and a removed app stay on record for a while, for the people who look into what happened.
const KEPT_DAYS = 90

/** One kind of dead row; each call takes at most {@link BATCH} of them away and says how many. */
export type Sweep = (db: Db) => Promise<number>

/** Every kind of dead row. Rows that something else is using right now are left for the next time. */
export const SWEEPS: Record<string, Sweep> = {
  tokens: (db) =>
    run(
      db,
      sql`delete from tokens where hash = any(array(
            select hash from tokens where expires_at < now() limit ${BATCH} for update skip locked))`,
    ),
  provider_state: (db) =>
    run(
      db,
      sql`delete from provider_state where ctid = any(array(
            select ctid from provider_state where expires_at < now() limit ${BATCH} for update skip locked))`,
    ),
  sessions: (db) =>
    run(
      db,
      sql`delete from sessions where hash = any(array(
            select hash from sessions where expires_at < now() limit ${BATCH} for update skip locked))`,
    ),
  rate_limits: (db) =>
    run(
      db,
      sql`delete from rate_limits where key = any(array(
            select key from rate_limits where expire < extract(epoch from now()) * 1000 limit ${BATCH}
            for update skip locked))`,
    ),
  // Only when no token hangs on them any more: a batch of grants must not take a million tokens along.
  grants: (db) =>
    run(
      db,
      sql`delete from grants where id = any(array(
            select id from grants g
            where expires_at < now() - make_interval(days => ${KEPT_DAYS})
              and not exists (select from tokens where grant_id = g.id)
            limit ${BATCH} for update skip locked))`,
    ),
  consents: (db) =>
    run(
      db,
      sql`delete from consents where id = any(array(
            select id from consents s
            where revoked_at < now() - make_interval(days => ${KEPT_DAYS})
              and not exists (select from grants where consent_id = s.id)
            limit ${BATCH} for update skip locked))`,
    ),
  user_links: (db) => run(db, sql`delete from user_links where expires_at < now()`),
}
