// Nodes tell each other which requests that used something up (a code, a refresh token) were answered. A node that loses its connection
// answers 503 although its statement may have been carried out, and undoes it later; until then only this node knows that the code
// is not really used. It knows no noun of ours.
import { randomInt, randomUUID } from 'node:crypto'
import { DatabaseUnavailable } from './errors.ts'
import { type Db, fragment, many, sql, within } from './pool.ts'
import { GoneNodes } from './presence.ts'

/** What this node and the others know of answers. */
export interface Answers {
  /** The number of this node, which `holdPresence` makes known to the others. */
  node: number
  /** A new name under which this node uses something up. @returns a UUID that begins with the number of the node */
  newId(): string
  /** Notes that a request was answered with its result. @param id the name under which it used something up */
  note(id: string): void
  /** Whether a node says that the request was answered. It waits a while for such a node. @throws DatabaseUnavailable */
  wasAnswered(id: string): Promise<boolean>
  /**
   * Resolves when the request that used something up under this name was answered, or when nobody says so but its node is
   * gone, so that nobody undoes it any more.
   * @param id null where that was longer ago than {@link LATELY}: it has been answered or undone by now
   * @throws DatabaseUnavailable when no node says so: it may still be undone, so the client must send its request again
   */
  expect(id: string | null): Promise<void>
  /** Takes in an announcement, whatever it is about. */
  heard(payload: string): void
}

/** How recently something must have been used to be asked about. A node that is cut off for longer undoes too late. */
export const LATELY = fragment`interval '1 minute'`

// Longer than LATELY, because by the clock of the database the use was a little earlier.
const GENERATION_MS = 90_000
// Time for two round trips to the database and a busy node. A node that is just using the same up says so when it is done.
const WAIT_MS = 1_500
const ASK = 'asked:'
const TELL = 'answered:'

/** @param db announces to the other nodes; hand their announcements to {@link Answers.heard}. */
export function answersOfNodes(db: Db): Answers {
  const node = randomInt(1, 2 ** 31)
  const answered = new RecentIds()
  const gone = new GoneNodes(db)
  /** Names whose requests must have been answered, or be undone. */
  const expected = new Set<string>()
  const asking = new Map<string, Promise<boolean>>()
  const waiting = new Map<string, () => void>()
  const asked = new Map<string, number>()

  const announce = (payload: string) => many(db, sql`select pg_notify('valetkey', ${payload})`)
  // If it fails, the node that asked hears nothing and asks again.
  const tell = (id: string): void => void announce(TELL + id).catch(() => {})

  function forgetOld(): void {
    const now = performance.now()
    for (const [id, at] of asked) if (now - at > WAIT_MS) asked.delete(id)
    if (!answered.turn(now)) return
    expected.clear()
    gone.clear()
  }

  async function ask(id: string): Promise<boolean> {
    const answer = new Promise<boolean>((resolve) => waiting.set(id, () => resolve(true)))
    const told = announce(ASK + id).then(() => answer)
    const isLeft = () => (expected.has(id) ? gone.has(nodeOf(id)) : Promise.resolve(false))
    try {
      // The request has spent time already, so each of the two waits has a limit of its own.
      if (!(await within(told, WAIT_MS)) && !(await within(isLeft(), WAIT_MS))) return false
      // A used code that is sent again and again makes nodes ask only once.
      answered.add(id)
      return true
    } finally {
      waiting.delete(id)
      asking.delete(id)
    }
  }

  async function wasAnswered(id: string): Promise<boolean> {
    if (answered.has(id)) return true
    const answer = asking.get(id) ?? ask(id)
    asking.set(id, answer)
    return answer
  }

  return {
    node,
    newId: () => hexOf(node) + randomUUID().slice(8),
    note(id) {
      forgetOld()
      answered.add(id)
      waiting.get(id)?.()
      if (asked.delete(id)) tell(id)
    },
    wasAnswered,
    async expect(id) {
      if (id === null || answered.has(id)) return
      forgetOld()
      expected.add(id)
      if (!(await wasAnswered(id))) throw new DatabaseUnavailable('what was used up may be given back')
    },
    heard(payload) {
      if (payload.startsWith(TELL)) waiting.get(payload.slice(TELL.length))?.()
      if (!payload.startsWith(ASK)) return
      forgetOld()
      const id = payload.slice(ASK.length)
      if (answered.has(id)) tell(id)
      else asked.set(id, performance.now())
    },
  }
}

/** Remembers ids for one to two generations, in two sets, so that forgetting costs nothing for each id. */
class RecentIds {
  #young = new Set<string>()
  #old = new Set<string>()
  #turnedAt = performance.now()

  add(id: string): void {
    this.#young.add(id)
  }

  has(id: string): boolean {
    return this.#young.has(id) || this.#old.has(id)
  }

  /** Begins the next generation when it is due. @returns whether it did */
  turn(now: number): boolean {
    const age = now - this.#turnedAt
    if (age < GENERATION_MS) return false
    this.#old = age < 2 * GENERATION_MS ? this.#young : new Set()
    this.#young = new Set()
    this.#turnedAt = now
    return true
  }
}

function hexOf(node: number): string {
  return node.toString(16).padStart(8, '0')
}

function nodeOf(id: string): number {
  return Number.parseInt(id.slice(0, 8), 16)
}
