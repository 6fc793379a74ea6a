// Creations that happen once, however often they are asked for (draft-ietf-httpapi-idempotency-key-header): the answer is kept
// for a day in the transaction of the creation, without the secrets that were in it.
import { digest } from '../base/credentials.ts'
import { type Db, one, type Pool, run, sql, tx } from '../db/pool.ts'
import { SWEEP_BATCH, type Sweep } from '../db/sweep.ts'
import { HttpError } from '../http/errors.ts'
import type { Answer } from './framework/operation.ts'

/** Who asked where for what. */
export interface Asked {
  /** Client and person. */
  who: string
  where: string
  key: string
  /** What was asked for, as it was understood. */
  what: unknown
}

const KEPT_HOURS = 24

/**
 * Does `create` unless it was done before; whoever asks at the same time waits for it.
 * @param secretMembers members of the body that nobody is told twice. @throws HttpError 409 when it takes too long, 422 when something
 * else was asked for under this key
 */
export async function createIdempotently(
  db: Pool,
  { who, where, key, what }: Asked,
  secretMembers: readonly string[],
  create: (t: Db) => Promise<Answer>,
): Promise<Answer & { repeated: boolean }> {
  const hash = digest(JSON.stringify([who, where, key]))
  const request_hash = digest(JSON.stringify(what))
  return tx(db, async (t) => {
    // The other one's row is waited for here, whether it comes to something or not.
    const isFirst = await run(
      t,
      sql`insert into api_answers as a (hash, request_hash, expires_at)
          values (${hash}, ${request_hash}, now() + make_interval(hours => ${KEPT_HOURS}))
          on conflict (hash) do update
          set request_hash = excluded.request_hash, answer = null, expires_at = excluded.expires_at
          where a.expires_at <= now()`,
    ).catch(saidInUse)
    if (!isFirst) return { ...(await earlier(t, hash, request_hash)), repeated: true }
    const answer = await create(t)
    const kept = { ...answer, body: without(secretMembers, answer.body) }
    await run(t, sql`update api_answers set answer = ${JSON.stringify(kept)} where hash = ${hash}`)
    return { ...answer, repeated: false }
  })
}

function saidInUse(error: Error): never {
  // 55P03: lock_not_available
  if ((error.cause as { code?: string } | undefined)?.code !== '55P03') throw error
  throw new HttpError(409, 'idempotency_key_in_use', 'A request with this key is still under way.', {
    'Retry-After': '5',
  })
}

/** Answers that nobody will ask for again. */
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
