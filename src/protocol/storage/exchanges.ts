// Using a code or refresh token up and issuing its successors: one statement for all exchanges that wait, which waits for no
// lock, and finding out what became of an exchange whose answer was lost.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Answers } from '../../db/answers.ts'
import { batched, whileLocked } from '../../db/batch.ts'
import { DatabaseUnavailable } from '../../db/errors.ts'
import { type Db, fragment, many, maybe, named, sql } from '../../db/pool.ts'
import { undoList } from '../../db/undo.ts'
import { byteaArray, CLIENT_LIVES, NEW_TOKEN, type NewToken, tokensAsJson } from './token-rows.ts'

/** Exchanges of one node. */
export interface Exchanges {
  /**
   * Uses a token up and stores its successors on the same grant, all or nothing.
   * @returns false when somebody else used it up, or it no longer lives
   * @throws DatabaseUnavailable and then it has not happened: if that is not certain, {@link undo} sees to it
   */
  exchange(hash: Buffer, successors: NewToken[]): Promise<boolean>
  /** Undoes an exchange of this token that was answered as failed and may have happened. @throws DatabaseUnavailable */
  undo(hash: Buffer): Promise<void>
  /** Undoes what is left to be undone, as far as Postgres can be reached. */
  close(): Promise<void>
}

const SETTLE_MS = 500

/** Exchanges over the tokens table. @param answers learns of those that have happened. */
export function exchanges(db: Db, answers: Answers): Exchanges {
  const send = batched((asked: Exchange[]) => exchangeTokens(db, asked))
  const unsettled = undoList((asked: Exchange) => undoExchange(db, asked))

  return {
    async exchange(hash, successors) {
      const asked = { id: answers.newId(), hash, successors }
      const done = () => {
        answers.note(asked.id)
        return true
      }
      try {
        return (await whileLocked(() => send(asked))) === 'used' && done()
      } catch (error) {
        if (!(error instanceof DatabaseUnavailable) || !error.isOutcomeUnknown) throw error
        const outcome = await settleSoon(db, asked)
        if (outcome === 'happened') return done()
        if (outcome === 'unknown') unsettled.add(keyOf(hash), asked)
        throw error
      }
    },
    undo: (hash) => unsettled.settle(keyOf(hash)),
    close: unsettled.close,
  }
}

function keyOf(hash: Buffer): string {
  return hash.toString('latin1')
}

interface Exchange {
  id: string
  hash: Buffer
  successors: NewToken[]
}

/** `locked`: nothing has happened, because somebody else holds the token, its grant or its client. */
type Outcome = 'used' | 'dead' | 'locked'

const GRANT_LIVES = fragment`g.revoked_at is null and (g.ends_at is null or g.ends_at > now()) and u.disabled_at is null`

// Locked rows are skipped, not waited for: one of them delays nobody else, and two nodes never wait for each other.
async function exchangeTokens(db: Db, asked: Exchange[]): Promise<Outcome[]> {
  // Shown twice at once: whoever came first uses it up, the other shows a replay.
  const first = new Map<string, Exchange>()
  for (const each of asked) {
    const key = keyOf(each.hash)
    if (!first.has(key)) first.set(key, each)
  }
  const rows = await many<{ hash: Buffer; outcome: Outcome }>(
    db,
    named(
      'exchange tokens',
      sql`with asked as materialized (
            select decode(hash, 'hex') as hash, id, last, successors
            from json_to_recordset(${exchangesAsJson([...first.values()])})
              as asked (hash text, id uuid, last float8, successors json)
          ), held as materialized (
            select hash, grant_id, given_up from tokens
            where hash = any(${byteaArray([...first.values()].map(({ hash }) => hash))}::bytea[])
              and consumed_at is null and expires_at > now()
            order by hash for no key update skip locked
          ), live as materialized (
            select g.id
            from grants g
            join users u on u.id = g.user_id
            join clients c on c.id = g.client_id
            where g.id in (select grant_id from held) and ${GRANT_LIVES} and ${CLIENT_LIVES}
            -- The client as the foreign key of the new tokens will want it.
            order by g.id for no key update of g skip locked for key share of c skip locked
          ), source as (
            update tokens t set consumed_at = now(), exchange_id = asked.id
            from held join live on live.id = held.grant_id join asked on asked.hash = held.hash
            where t.hash = held.hash and (held.given_up is null or asked.id <> all(held.given_up))
            returning t.hash, t.grant_id, t.client_id
          ), issued as (
            insert into tokens (hash, kind, client_id, grant_id, payload, expires_at)
            select decode(n.hash, 'hex'), n.kind, source.client_id, source.grant_id, n.payload, to_timestamp(n.exp)
            from source join asked on asked.hash = source.hash,
              json_to_recordset(asked.successors) as n (${NEW_TOKEN})
          ), used as (
            -- A day's step: the indexed column then changes once a day and not at every refresh.
            update grants g
            set last_used_at = now(),
                expires_at = greatest(g.expires_at, date_trunc('day', to_timestamp(latest.last)) + interval '1 day')
            from (select source.grant_id, max(asked.last) as last
                  from source join asked on asked.hash = source.hash group by 1) latest
            where g.id = latest.grant_id
          )
          select asked.hash,
                 case when source.hash is not null then 'used'
                      -- It lives and was not to be had: somebody else holds it, or has changed it since.
                      when exists (
                        select from tokens t
                        join grants g on g.id = t.grant_id
                        join users u on u.id = g.user_id
                        join clients c on c.id = g.client_id
                        where t.hash = asked.hash and t.consumed_at is null and t.expires_at > now()
                          and (t.given_up is null or asked.id <> all(t.given_up)) and ${GRANT_LIVES} and ${CLIENT_LIVES}
                      ) then 'locked'
                      else 'dead' end as outcome
          from asked left join source on source.hash = asked.hash`,
    ),
  )
  const outcomes = new Map(rows.map(({ hash, outcome }) => [keyOf(hash), outcome]))
  return asked.map((each) => {
    const key = keyOf(each.hash)
    const outcome = outcomes.get(key)!
    return first.get(key) === each || outcome === 'locked' ? outcome : 'dead'
  })
}

function exchangesAsJson(asked: Exchange[]): string {
  const rows = asked.map(({ hash, id, successors }) => {
    const last = Math.max(0, ...successors.map(({ exp }) => exp))
    return `{"hash":"${hash.toString('hex')}","id":"${id}","last":${last},"successors":${tokensAsJson(successors)}}`
  })
  return `[${rows.join(',')}]`
}

type Settled = 'happened' | 'did not happen' | 'unknown'

async function settleSoon(db: Db, asked: Exchange): Promise<Settled> {
  const tooLate = sleep(SETTLE_MS, 'unknown' as const, { ref: false })
  return Promise.race([settle(db, asked).catch(() => 'unknown' as const), tooLate])
}

// An exchange whose answer is lost has happened, or is forbidden to happen from now on: its statement may still lie in the
// network, or wait in Postgres.
async function settle(db: Db, { id, hash }: Exchange): Promise<Settled> {
  const row = await maybe<{ happened: boolean }>(
    db,
    sql`update tokens set given_up = case when consumed_at is null then array_append(given_up, ${id}::uuid) else given_up end
        where hash = ${hash} and (consumed_at is null or exchange_id = ${id}::uuid)
        returning consumed_at is not null as happened`,
  )
  return row?.happened ? 'happened' : 'did not happen'
}

// As if the request had never been sent: nobody has seen the successors.
async function undoExchange(db: Db, { id, hash, successors }: Exchange): Promise<void> {
  await many(
    db,
    sql`with undone as (
          update tokens set consumed_at = null, given_up = array_append(array_remove(given_up, ${id}::uuid), ${id}::uuid)
          where hash = ${hash} and (consumed_at is null or exchange_id = ${id}::uuid)
        )
        delete from tokens where hash = any(${byteaArray(successors.map((token) => token.hash))}::bytea[])`,
  )
}
