// Which nodes live, as the others can see: each holds an advisory lock for as long as its listening connection stands.
import { type Db, one, sql } from './pool.ts'

// A node whose connection was cut comes back sooner; until then it only seems to have died.
const GONE_MS = 3_000
// If a node was looked for less often than this, it may have lived in between.
const SEEN_MS = 5_000

// The first of two keys of advisory locks; the second one is a node.
const PRESENCE = 7_210_418

/**
 * Lets all nodes see that one lives, for as long as this connection stands: PostgreSQL ends what a session holds with
 * the session, also when its process is killed.
 */
export async function holdPresence(
  connection: { query(text: string): Promise<unknown> },
  node: number,
): Promise<void> {
  // Shared: the connection before this one may not be over yet.
  await connection.query(`select pg_advisory_lock_shared(${PRESENCE}, ${node})`)
}

/** Finds out which nodes are gone for good: nobody undoes any more what they did. */
export class GoneNodes {
  readonly #db: Db
  /** Since when a node was found absent each time that somebody looked, and when that was last. */
  readonly #absent = new Map<number, { since: number; last: number }>()

  constructor(db: Db) {
    this.#db = db
  }

  /** Whether a node has been absent for long enough. One that lost its connection counts as absent until it listens again. */
  async has(node: number): Promise<boolean> {
    if (await isPresent(this.#db, node)) {
      this.#absent.delete(node)
      return false
    }
    const now = performance.now()
    const before = this.#absent.get(node)
    const since = before && now - before.last < SEEN_MS ? before.since : now
    this.#absent.set(node, { since, last: now })
    return now - since >= GONE_MS
  }

  clear(): void {
    this.#absent.clear()
  }
}

async function isPresent(db: Db, node: number): Promise<boolean> {
  const { present } = await one<{ present: boolean }>(
    db,
    sql`select exists (
          select from pg_locks l join pg_database d on d.oid = l.database
          where l.locktype = 'advisory' and l.classid = ${PRESENCE} and l.objid::bigint = ${node}
            and d.datname = current_database()
        ) as present`,
  )
  return present
}
