// Runs background work again and again, never twice at once, until it is closed.

/** Work that repeats. */
export interface Repeated {
  /** No further round; waits for the one under way. */
  close(): Promise<void>
}

/**
 * Runs `work` again and again with a pause between two rounds; the first one comes after a pause as well.
 * @param work must log its own failures: whatever it throws is ignored
 * @param intervalSeconds the pause, give or take a quarter; 0: never
 */
export function repeat(work: () => Promise<unknown>, intervalSeconds: number): Repeated {
  let closed = false
  let timer: NodeJS.Timeout | undefined
  let round: Promise<unknown> = Promise.resolve()

  // Nodes often start together; random pauses keep them from working at the same moments.
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
