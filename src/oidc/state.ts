// The provider's short-lived state: interactions, pushed authorization requests, seen proofs. Ids are kept as SHA-256 only.
import { digest } from '../credentials.ts'
import { type Db, maybe, run, sql } from '../db/pool.ts'
import { SWEEP_BATCH, type Sweep } from '../db/sweep.ts'

/** What a row of provider_state is. */
export type StateKind = 'interaction' | 'pushed_authorization_request' | 'replay_detection'

/** A stored state that has not expired. */
export interface StateRow {
  payload: Record<string, unknown>
  consumed: boolean
}

/** Names a state by its id, or by the digest of an id that is known no longer. */
export type StateId = string | Buffer

/** Reads a state while it lives; a consumed one too. */
export function findState(db: Db, kind: StateKind, id: StateId): Promise<StateRow | undefined> {
  return maybe<StateRow>(
    db,
    sql`select payload, consumed_at is not null as consumed
        from provider_state
        where hash = ${hashOf(id)} and kind = ${kind} and expires_at > now()`,
  )
}

/** Stores a state, or replaces what is stored. */
export async function saveState(
  db: Db,
  kind: StateKind,
  id: StateId,
  payload: string,
  expiresIn: number,
): Promise<void> {
  await run(
    db,
    sql`insert into provider_state (hash, kind, payload, expires_at)
        values (${hashOf(id)}, ${kind}, ${payload}, now() + make_interval(secs => ${expiresIn}))
        on conflict (hash, kind) do update set payload = excluded.payload, expires_at = excluded.expires_at`,
  )
}

/** Stores a state that must be new. @returns false when a living one with this id exists. */
export async function saveNewState(
  db: Db,
  kind: StateKind,
  id: StateId,
  payload: string,
  expiresIn: number,
): Promise<boolean> {
  const saved = await run(
    db,
    sql`insert into provider_state as s (hash, kind, payload, expires_at)
        values (${hashOf(id)}, ${kind}, ${payload}, now() + make_interval(secs => ${expiresIn}))
        on conflict (hash, kind) do update set payload = excluded.payload, expires_at = excluded.expires_at
        where s.expires_at <= now()`,
  )
  return saved === 1
}

/** Uses a state up. @param leave what remains to be known of it. @returns false when somebody else did already. */
export async function consumeState(db: Db, kind: StateKind, id: StateId, leave?: string): Promise<boolean> {
  const consumed = await run(
    db,
    sql`update provider_state set consumed_at = now(), payload = coalesce(${leave ?? null}::json, payload)
        where hash = ${hashOf(id)} and kind = ${kind} and consumed_at is null`,
  )
  return consumed === 1
}

/** Forgets a state. */
export async function destroyState(db: Db, kind: StateKind, id: StateId): Promise<void> {
  await run(db, sql`delete from provider_state where hash = ${hashOf(id)} and kind = ${kind}`)
}

/** Expired states. */
export const sweepState: Sweep = (db) =>
  run(
    db,
    sql`delete from provider_state where ctid = any(array(
          select ctid from provider_state where expires_at < now() limit ${SWEEP_BATCH} for update skip locked))`,
  )

function hashOf(id: StateId): Buffer {
  return typeof id === 'string' ? digest(id) : id
}
