// Whether a connection stays ours from one transaction to the next. It knows no noun of ours.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Pool, run, sql } from './pool.ts'

/** Connections come from a pooler that gives another one for each transaction. */
export class PooledByTransaction extends Error {
  override name = 'PooledByTransaction'
}

const MESSAGE =
  'DATABASE_URL leads through a pooler that gives each transaction another connection, as PgBouncer does with ' +
  'pool_mode = transaction. Announcements and locks get lost there. Set DATABASE_URL to PostgreSQL itself, or to a pooler ' +
  'with pool_mode = session.'
const ARRIVES_MS = 5_000

/**
 * Makes sure that one connection hears what another one announces. Behind a pooler in transaction mode it never does, and a lock
 * of a session, as migrations take one, would stay with a connection that nobody has any more. @throws PooledByTransaction
 */
export async function checkDirect(db: Pool): Promise<void> {
  const channel = `valetkey_${randomBytes(8).toString('hex')}`
  const waiting = await db.pg.connect()
  // A name of our own making: LISTEN takes no parameter.
  const arrived = once(waiting, 'notification')
  arrived.catch(() => {})
  try {
    await waiting.query(`listen ${channel}`)
    await run(db, sql`select pg_notify(${channel}, '')`)
    const timeout = new AbortController()
    const tooLate = sleep(ARRIVES_MS, true, { signal: timeout.signal }).catch(() => false)
    const isLate = await Promise.race([tooLate, arrived.then(() => false)])
    timeout.abort()
    if (isLate) throw new PooledByTransaction(MESSAGE)
  } finally {
    // It listens, and nobody else wants that.
    waiting.release(true)
  }
}
