// Statements that many requests send at once, sent as one. Each round trip costs this process more time than it costs
// Postgres, so under load one statement carries the keys of all requests that wait. It knows no noun of ours.

/**
 * Joins calls that come while an earlier batch is under way into the next one; a lone call goes out at once.
 * @param load gives a result for each key, in their order; when it throws, every call of that batch fails.
 */
export function batched<Key, Result>(
  load: (keys: Key[]) => Promise<Result[]>,
  { inFlight = 1, size = 128 }: { inFlight?: number; size?: number } = {},
): (key: Key) => Promise<Result> {
  interface Waiting {
    key: Key
    resolve: (result: Result) => void
    reject: (error: unknown) => void
  }
  let queue: Waiting[] = []
  let running = 0

  const send = async (): Promise<void> => {
    const batch = queue.slice(0, size)
    queue = queue.slice(size)
    running++
    try {
      const results = await load(batch.map(({ key }) => key))
      batch.forEach(({ resolve }, i) => {
        resolve(results[i]!)
      })
    } catch (error) {
      for (const { reject } of batch) reject(error)
    } finally {
      running--
      if (queue.length > 0) send()
    }
  }
  return (key) =>
    new Promise((resolve, reject) => {
      queue.push({ key, resolve, reject })
      if (running < inFlight) send()
    })
}
