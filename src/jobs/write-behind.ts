// Writes again and again what was collected in memory, so that no request waits for the write. It knows no noun.

/** A write that repeats. */
export interface WriteBehind {
  /** Writes what is still to be written, and stops. */
  close(): Promise<void>
}

/**
 * Calls `flush` again and again, never twice at once.
 * @param everyMs from one beginning to the next
 * @param onError told of a flush that failed; what it should have written is lost, and nothing else
 */
export function writeBehind(
  flush: () => Promise<unknown>,
  everyMs: number,
  onError: (error: unknown) => void,
): WriteBehind {
  let writing: Promise<unknown> = Promise.resolve()
  const next = (): Promise<unknown> => (writing = writing.then(flush).catch(onError))
  const timer = setInterval(next, everyMs)
  timer.unref()
  return {
    async close() {
      clearInterval(timer)
      await next()
    },
  }
}
