// Drives work over many connections at once and keeps the time of each piece. It knows nothing of what the work is.

/** What one or more rounds gave. */
export interface Measured {
  count: number
  seconds: number
  /** Milliseconds of each piece of work. */
  latencies: number[]
}

/** How long a round lasts: a time, or until every worker has done its share. */
export type Extent = { seconds: number } | { count: number }

/**
 * Runs `work` on each of the workers, again and again, each waiting for its own answer before it asks anew. The first
 * error ends the round: a figure never comes from errors.
 */
export async function drive<Worker>(
  workers: Worker[],
  extent: Extent,
  work: (worker: Worker) => Promise<void>,
): Promise<Measured> {
  const latencies: number[] = []
  const start = performance.now()
  const end = 'seconds' in extent ? start + extent.seconds * 1000 : Number.POSITIVE_INFINITY
  let left = 'count' in extent ? extent.count : Number.POSITIVE_INFINITY
  let failed = false
  await Promise.all(
    workers.map(async (worker) => {
      while (!failed && left-- > 0) {
        const begun = performance.now()
        if (begun >= end) return
        try {
          await work(worker)
        } catch (error) {
          failed = true
          throw error
        }
        latencies.push(performance.now() - begun)
      }
    }),
  )
  return { count: latencies.length, seconds: (performance.now() - start) / 1000, latencies }
}

/** Takes several rounds together. */
export function together(rounds: Measured[]): Measured {
  return {
    count: sum(rounds.map(({ count }) => count)),
    seconds: sum(rounds.map(({ seconds }) => seconds)),
    latencies: rounds.flatMap(({ latencies }) => latencies),
  }
}

/** Pieces of work a second. */
export function rate({ count, seconds }: Measured): number {
  return count / seconds
}

/** The latency that a share of the work stayed within, in milliseconds. @param share 0.5 for the median. */
export function percentile({ latencies }: Measured, share: number): number {
  const sorted = Float64Array.from(latencies).sort()
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

export function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
