// Idempotent creations (draft-ietf-httpapi-idempotency-key-header): the transaction of the creation stores the answer for a day,
// without the secrets in it.
import { digest } from '../base/credentials.ts'
import { type Db, one, type Pool, run, sql, tx } from '../db/pool.ts'
import { SWEEP_BATCH, type Sweep } from '../db/sweep.ts'
import { HttpError } from '../http/errors.ts'
import type { Answer } from './framework/operation.ts'

/** A request with an Idempotency-Key. */
export interface IdempotentRequest {
  /** Client and person. */
  who: string
  where: string
  key: string
  /** The parsed request. */
  what: unknown
}

const KEPT_HOURS = 24

/**
 * Does `create` unless it was done before; a request with the same key at the same time waits for it.
 * @param secretMembers members of the body that are not shown twice. @throws HttpError 409 when it takes too long, 422 when the key was
 * used for another request
 */
export async function createIdempotently(
  db: Pool,
  { who, where, key, what }: IdempotentRequest,
  secretMembers: readonly string[],
  create: (t: Db) => Promise<Answer>,
): Promise<Answer & { repeated: boolean }> {
  const hash = digest(JSON.stringify([who, where, key]))
  const request_hash = digest(JSON.stringify(what))
  return tx(db, async (t) => {
    // This waits for a concurrent transaction with the same key, whether that commits or not.
    const isFirst = await run(
      t,
      sql`insert into api_answers as a (hash, request_hash, expires_at)
          values (${hash}, ${request_hash}, now() + make_interval(hours => ${KEPT_HOURS}))
          on conflict (hash) do update
          set request_hash = excluded.request_hash, answer = null, expires_at = excluded.expires_at
          where a.expires_at <= now()`,
    ).catch(throwInUse)
    if (!isFirst) return { ...(await earlier(t, hash, request_hash)), repeated: true }
    const answer = await create(t)
    const kept = { ...answer, body: without(secretMembers, answer.body) }
    await run(t, sql`update api_answers set answer = ${JSON.stringify(kept)} where hash = ${hash}`)
    return { ...answer, repeated: false }
  })
}

function throwInUse(error: Error): never {
  // 55P03: lock_not_available
  if ((error.cause as { code?: string } | undefined)?.code !== '55P03') throw error
  throw new HttpError(409, 'idempotency_key_in_use', 'A request with this key is still under way.', {
    'Retry-After': '5',
  })
}

/** Deletes expired answers. */
export const sweepAnswers: Sweep = (db) =>
  run(
    db,
    sql`delete from api_answers where hash = any(array(
          select hash from api_answers where expires_at < now() limit ${SWEEP_BATCH} for update skip locked))`,
  )

async function earlier(t: Db, hash: Buffer, request_hash: Buffer): Promise<Answer> {
  const kept = await one<{ request_hash: Buffer; answer: Answer }>(
    t,
    sql`select request_hash, answer from api_answers where hash = ${hash}`,
  )
  if (kept.request_hash.equals(request_hash)) return kept.answer
  throw new HttpError(422, 'idempotency_key_reused', 'This key stood for another request. Choose a new one.')
}

function without(secretMembers: readonly string[], body: unknown): unknown {
  if (secretMembers.length === 0) return body
  return { ...(body as object), ...Object.fromEntries(secretMembers.map((name) => [name, null])) }
}
