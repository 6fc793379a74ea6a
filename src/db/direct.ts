// Refuses a pooler in transaction mode, behind which a connection changes between transactions. It knows no noun of ours.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Pool, run, sql } from './pool.ts'

/** The connections come from a pooler that gives out another connection for each transaction. */
export class PooledByTransaction extends Error {
  override name = 'PooledByTransaction'
}

const MESSAGE =
  'DATABASE_URL leads through a pooler that gives each transaction another connection, as PgBouncer does with ' +
  'pool_mode = transaction. Announcements and locks get lost there. Set DATABASE_URL to PostgreSQL itself, or to a pooler ' +
  'with pool_mode = session.'
const ARRIVES_MS = 5_000

/**
 * Checks that one connection receives what another one announces. Behind a pooler in transaction mode it never does, and a session
 * lock, as migrations take one, would stay with a connection that nobody holds. @throws PooledByTransaction
 */
export async function checkDirect(db: Pool): Promise<void> {
  const channel = `valetkey_${randomBytes(8).toString('hex')}`
  const waiting = await db.pg.connect()
  // LISTEN takes no parameter; the name is random and made here, so it is safe to insert.
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
    // Close it: it still listens, and must not return to the pool.
    waiting.release(true)
  }
}
