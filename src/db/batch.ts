// Sends statements of many requests as one. A round trip costs this process more time than it costs Postgres, so under load one
// statement carries the keys of all requests that wait. It knows no noun of ours.
import { setTimeout as sleep } from 'node:timers/promises'
import { DatabaseUnavailable } from './errors.ts'

// How many statements of a refused batch are sent at once, so that one that waits delays the others only a little.
const LANES = 4
const MOST_CALLS = 128
const MOST_RUNNING = 2
// A batch that takes longer than this may wait for a lock or a disk, and the batches behind it need not wait for it.
const SLOW_MS = 50
// How long a call waits to be sent, and for how long a row that another transaction locks is tried again.
const PATIENCE_MS = 1_500

/**
 * Joins calls that come while a batch is under way into the next batch; a lone call is sent at once. The larger the batch, the less
 * each call costs, so a second batch is sent beside the first one only when the first one takes long.
 * @param load gives a result for each key, in their order. When Postgres refuses a batch, each call is sent alone, so
 *   that one of them does not fail the others. When the connection is lost, all calls of the batch fail, and so do those that have waited behind it for 1.5 seconds.
 */
export function batched<Key, Result>(
  load: (keys: Key[]) => Promise<Result[]>,
): (key: Key) => Promise<Result> {
  interface Waiting {
    key: Key
    since: number
    resolve: (result: Result) => void
    reject: (error: unknown) => void
  }
  let queue: Waiting[] = []
  let running = 0
  // How many of the running batches have run for long.
  let slow = 0

  const send = async (): Promise<void> => {
    const batch = queue.slice(0, MOST_CALLS)
    queue = queue.slice(MOST_CALLS)
    running++
    let isSlow = false
    const tooLong = setTimeout(() => {
      isSlow = true
      slow++
      sendIfFree()
    }, SLOW_MS)
    try {
      const results = await load(batch.map(({ key }) => key))
      batch.forEach(({ resolve }, i) => {
        resolve(results[i]!)
      })
    } catch (error) {
      const isLost = error instanceof DatabaseUnavailable && error.isOutcomeUnknown
      if (isLost) giveUpLate()
      if (batch.length === 1 || isLost) for (const { reject } of batch) reject(error)
      else await sendAlone(batch)
    } finally {
      clearTimeout(tooLong)
      if (isSlow) slow--
      running--
      sendIfFree()
    }
  }
  const sendIfFree = (): void => {
    if (queue.length > 0 && running === slow && running < MOST_RUNNING) send()
  }
  // The server was silent for the batch before and may be silent for this one, too: do not let a call wait for that twice.
  const giveUpLate = (): void => {
    const tooLate = performance.now() - PATIENCE_MS
    const late = queue.filter(({ since }) => since < tooLate)
    queue = queue.slice(late.length)
    for (const { reject } of late) reject(new DatabaseUnavailable('the database was silent for others'))
  }
  const sendAlone = async (batch: Waiting[]): Promise<void> => {
    const waiting = [...batch]
    const lane = async (): Promise<void> => {
      for (let one = waiting.shift(); one; one = waiting.shift()) {
        const { key, resolve, reject } = one
        await load([key]).then(([result]) => resolve(result!), reject)
      }
    }
    await Promise.all(Array.from({ length: LANES }, lane))
  }
  return (key) =>
    new Promise((resolve, reject) => {
      queue.push({ key, since: performance.now(), resolve, reject })
      sendIfFree()
    })
}

const FIRST_PAUSE_MS = 5
const LONGEST_PAUSE_MS = 200

/**
 * Tries again while a row is locked, without holding a connection meanwhile. @param attempt must change nothing when it returns
 * `locked`. @throws DatabaseUnavailable when the row stays locked
 */
export async function whileLocked<T>(attempt: () => Promise<T | 'locked'>): Promise<T> {
  const deadline = performance.now() + PATIENCE_MS
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    const outcome = await attempt()
    if (outcome !== 'locked') return outcome
    if (performance.now() + pause > deadline) throw new DatabaseUnavailable('a row stayed locked')
    await sleep(pause)
  }
}
