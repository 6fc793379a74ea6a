// The provider's short-lived state: interactions, what was decided about them, pushed authorization requests, seen proofs. Ids are kept as SHA-256 only.
import { setTimeout as sleep } from 'node:timers/promises'
import { digest } from '../../base/credentials.ts'
import { DatabaseUnavailable } from '../../db/errors.ts'
import { type Db, fragment, maybe, one, run, sql } from '../../db/pool.ts'
import { SWEEP_BATCH, type Sweep } from '../../db/sweep.ts'
import { undoList } from '../../db/undo.ts'

/** What a row of provider_state is. */
export type StateKind = 'interaction' | 'decision' | 'pushed_authorization_request' | 'replay_detection'

/** A stored state that has not expired. */
export interface StateRow {
  payload: Record<string, unknown>
  consumed: boolean
  /** The request that used it up a moment ago. */
  used_by: string | null
}

/** Names a state by its id, or by the digest of an id that is known no longer. */
export type StateId = string | Buffer

// For how long another node may still give back what it used, see answers.ts. Shorter than for tokens: somebody sits there, and
// can begin again.
const LATELY = fragment`interval '20 seconds'`

/** Reads a state while it lives; a consumed one too. */
export function findState(db: Db, kind: StateKind, id: StateId): Promise<StateRow | undefined> {
  return maybe<StateRow>(
    db,
    sql`select payload, consumed_at is not null as consumed,
               case when consumed_at > now() - ${LATELY} then used_by end as used_by
        from provider_state
        where hash = ${hashOf(id)} and kind = ${kind} and expires_at > now()`,
  )
}

/** Stores a pushed request. @param client_id of a client that did not prove to be it: then it counts as one that waits. */
export async function savePushedRequest(
  db: Db,
  id: string,
  payload: string,
  { expiresIn, client_id }: { expiresIn: number; client_id: string | undefined },
): Promise<void> {
  await run(
    db,
    sql`insert into provider_state (hash, kind, payload, client_id, expires_at)
        values (${hashOf(id)}, 'pushed_authorization_request', ${payload}, ${client_id ?? null},
                now() + make_interval(secs => ${expiresIn}))
        on conflict (hash, kind) do update
        set payload = excluded.payload, client_id = excluded.client_id, expires_at = excluded.expires_at`,
  )
}

/** How many requests wait that were pushed in the name of a client that did not prove to be it; counted up to `most`. */
export async function countPushedRequests(db: Db, client_id: string, most: number): Promise<number> {
  const { waiting } = await one<{ waiting: number }>(
    db,
    sql`select count(*)::int as waiting from (
          select from provider_state where client_id = ${client_id} and expires_at > now() limit ${most}) w`,
  )
  return waiting
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

/** A request that uses a state up. */
export interface Use {
  kind: StateKind
  id: StateId
  /** Names the request. */
  by: string
}

/** Uses up what was decided about an interaction; until it expires it is known to be used. @returns false when it is used. */
export async function useDecision(db: Db, { id, by }: Use): Promise<boolean> {
  const used = await run(
    db,
    sql`update provider_state set consumed_at = now(), used_by = ${by}::uuid
        where hash = ${hashOf(id)} and kind = 'decision' and consumed_at is null and expires_at > now()
          and (given_up is null or ${by}::uuid <> all(given_up))`,
  )
  return used === 1
}

/**
 * Uses a pushed request up, also one that has expired and is forgotten: a person may have taken their time over it. What stays
 * of it outlives every other interaction that it began.
 * @param keep what it asked is kept: it may have to be given back.
 * @returns false when somebody else did already.
 */
export async function usePushedRequest(db: Db, { id, by }: Use, keep: boolean): Promise<boolean> {
  const used = await run(
    db,
    sql`insert into provider_state as s (hash, kind, payload, expires_at, consumed_at, used_by)
        values (${hashOf(id)}, 'pushed_authorization_request', '{}', now() + interval '2 hours', now(), ${by}::uuid)
        on conflict (hash, kind) do update
        set payload = case when ${keep}::boolean then s.payload else excluded.payload end,
            client_id = null, expires_at = excluded.expires_at, consumed_at = excluded.consumed_at, used_by = excluded.used_by
        where s.consumed_at is null and (s.given_up is null or excluded.used_by <> all(s.given_up))`,
  )
  return used === 1
}

/** What requests used up that got no answer. */
export interface GiveBacks {
  /** Takes back that this request used a state up, whether or not it has; later, where the database cannot be reached now. */
  giveBack(use: Use): Promise<void>
  /** Gives back what is left to be given back of a state; before it is looked at. @throws DatabaseUnavailable */
  settle(kind: StateKind, id: StateId): Promise<void>
  close(): Promise<void>
}

/** See {@link GiveBacks}. */
export function giveBacks(db: Db): GiveBacks {
  const left = undoList((use: Use) => giveBack(db, use))
  const keyOf = (kind: StateKind, id: StateId) => `${kind} ${hashOf(id).toString('latin1')}`
  return {
    async giveBack(use) {
      const done = giveBack(db, use).catch((error: unknown) => {
        if (!(error instanceof DatabaseUnavailable)) throw error
        return 'failed' as const
      })
      // The request has waited for the database already.
      const outcome = await Promise.race([done, sleep(GIVE_BACK_MS, 'late' as const, { ref: false })])
      if (outcome !== 'given back') left.add(keyOf(use.kind, use.id), use)
    },
    settle: (kind, id) => left.settle(keyOf(kind, id)),
    close: left.close,
  }
}

const GIVE_BACK_MS = 500

async function giveBack(db: Db, { kind, id, by }: Use): Promise<'given back'> {
  await run(
    db,
    sql`update provider_state
        set consumed_at = null, given_up = array_append(array_remove(given_up, ${by}::uuid), ${by}::uuid)
        where hash = ${hashOf(id)} and kind = ${kind} and (consumed_at is null or used_by = ${by}::uuid)`,
  )
  return 'given back'
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
