// Which requests were answered that used something up, as the nodes tell each other. A node that lost its way to the database says
// 503 although its statement may have been carried out, and undoes it later; until then only it knows that what looks used is not.
// It knows no noun of ours.
import { randomInt, randomUUID } from 'node:crypto'
import { DatabaseUnavailable, type Db, fragment, many, one, sql, within } from './pool.ts'

/** What this node and the others know of answers. */
export interface Answers {
  /** Whose answers these are: a number that {@link holdPresence} makes known to the other nodes. */
  node: number
  /** A new name under which this node uses something up. @returns a UUID that tells which node that was */
  newId(): string
  /** Notes that a request was answered as what it has done. @param id the name under which it used something up. */
  note(id: string): void
  /** Whether a node says that the request was answered. It waits for one that does not. @throws DatabaseUnavailable */
  wasAnswered(id: string): Promise<boolean>
  /**
   * Resolves when the request was answered that used something up under this name.
   * @param id null where that was longer ago than {@link LATELY}: then it has been answered or undone.
   * Resolves too when nobody says so and the node that knew it is gone: nobody undoes it any more.
   * @throws DatabaseUnavailable when no node says so: it may be undone, and the same request is to come again.
   */
  expect(id: string | null): Promise<void>
  /** Takes in an announcement, whatever it is about. */
  heard(payload: string): void
}

/** For how long what was used is asked about, as Postgres reads it. A node that is cut off for longer undoes too late. */
export const LATELY = fragment`interval '1 minute'`

// Longer than LATELY, as what was used was used a little earlier by the clock of the database.
const GENERATION_MS = 90_000
// Two trips to the database, and what a busy node takes. Another that uses the same up at this moment says so when it has.
const WAIT_MS = 1_500
// A node whose connection was cut comes back sooner, and until then only looks as if it had died.
const GONE_MS = 3_000
// Looked at less often than this, a node may have been there in between.
const SEEN_MS = 5_000
const ASK = 'asked:'
const TELL = 'answered:'

/** @param db where announcements go out; what comes in is told by {@link Answers.heard}. */
export function answersOfNodes(db: Db): Answers {
  let young = new Set<string>()
  let old = new Set<string>()
  let turned = performance.now()
  const node = randomInt(1, 2 ** 31)
  /** What must have been answered, or be undone. */
  const expected = new Set<string>()
  /** Since when a node was seen to be away, each time that somebody looked, and when that was last. */
  const away = new Map<number, { since: number; last: number }>()
  const asking = new Map<string, Promise<boolean>>()
  const waiting = new Map<string, () => void>()
  const asked = new Map<string, number>()

  const isNoted = (id: string): boolean => young.has(id) || old.has(id)
  const announce = (payload: string) => many(db, sql`select pg_notify('valetkey', ${payload})`)
  // Whoever asked hears nothing if it fails, and asks again.
  const tell = (id: string): void => void announce(TELL + id).catch(() => {})

  function turn(): void {
    const now = performance.now()
    for (const [id, at] of asked) if (now - at > WAIT_MS) asked.delete(id)
    if (now - turned < GENERATION_MS) return
    old = now - turned < 2 * GENERATION_MS ? young : new Set()
    young = new Set()
    expected.clear()
    away.clear()
    turned = now
  }

  async function ask(id: string): Promise<boolean> {
    const answer = new Promise<boolean>((resolve) => waiting.set(id, () => resolve(true)))
    const told = announce(ASK + id).then(() => answer)
    try {
      // What asks another node has used time of its request before, so each of the two waits has an end of its own.
      if (!(await within(told, WAIT_MS)) && !(await within(isLeftByAll(id), WAIT_MS))) return false
      // Whoever sends a used code again and again makes nodes ask once.
      young.add(id)
      return true
    } finally {
      waiting.delete(id)
      asking.delete(id)
    }
  }

  // Nobody undoes any more what a node did that is gone. One that was cut off is away too, until it listens again.
  async function isLeftByAll(id: string): Promise<boolean> {
    if (!expected.has(id)) return false
    const whose = nodeOf(id)
    if (await isPresent(db, whose)) {
      away.delete(whose)
      return false
    }
    const now = performance.now()
    const before = away.get(whose)
    const since = before && now - before.last < SEEN_MS ? before.since : now
    away.set(whose, { since, last: now })
    return now - since >= GONE_MS
  }

  async function wasAnswered(id: string): Promise<boolean> {
    if (isNoted(id)) return true
    const answer = asking.get(id) ?? ask(id)
    asking.set(id, answer)
    return answer
  }

  return {
    node,
    newId: () => hexOf(node) + randomUUID().slice(8),
    note(id) {
      turn()
      young.add(id)
      waiting.get(id)?.()
      if (asked.delete(id)) tell(id)
    },
    wasAnswered,
    async expect(id) {
      if (id === null || isNoted(id)) return
      turn()
      expected.add(id)
      if (!(await wasAnswered(id))) throw new DatabaseUnavailable('what was used up may be given back')
    },
    heard(payload) {
      if (payload.startsWith(TELL)) waiting.get(payload.slice(TELL.length))?.()
      if (!payload.startsWith(ASK)) return
      turn()
      const id = payload.slice(ASK.length)
      if (isNoted(id)) tell(id)
      else asked.set(id, performance.now())
    },
  }
}

function hexOf(node: number): string {
  return node.toString(16).padStart(8, '0')
}

function nodeOf(id: string): number {
  return Number.parseInt(id.slice(0, 8), 16)
}

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
