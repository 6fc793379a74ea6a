// The clock of what runs in the background: again and again, never twice at once, until it is told to stop.

/** Work that repeats. */
export interface Repeated {
  /** No further round; waits for the one under way. */
  close(): Promise<void>
}

/**
 * Runs `work` again and again with a pause between two rounds; the first one comes after a pause as well.
 * @param work says its failures itself; whatever it throws is swallowed
 * @param intervalSeconds the pause, give or take a quarter; 0: never
 */
export function repeat(work: () => Promise<unknown>, intervalSeconds: number): Repeated {
  let closed = false
  let timer: NodeJS.Timeout | undefined
  let round: Promise<unknown> = Promise.resolve()

  // Many nodes start together; they need not work together.
  const schedule = (): void => {
    if (closed || intervalSeconds === 0) return
    timer = setTimeout(tick, intervalSeconds * 1000 * (0.75 + Math.random() / 2))
    timer.unref()
  }
  const tick = (): void => {
    round = work()
      .catch(() => {})
      .finally(schedule)
  }
  schedule()
  return {
    async close() {
      closed = true
      clearTimeout(timer)
      await round
    },
  }
}
