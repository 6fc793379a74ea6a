// Waiting, on machines that may stall for seconds or be ten times slower than others. What a test waits for may take long, and no clock
// alone decides whether something is too slow.
import { setTimeout as sleep } from 'node:timers/promises'

/** How long to wait for something that is certain to come, on the slowest machine. Only a failing test takes that long. */
export const PATIENCE_MS = 120_000

/** Waits until a condition is true. @throws Error after two minutes */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited two minutes in vain for ${condition}`)
    await sleep(20)
  }
}

/** Repeats `look` until it throws nothing. @throws its last error, after two minutes */
export async function untilPasses<T>(look: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + PATIENCE_MS
  for (;;) {
    try {
      return await look()
    } catch (error) {
      if (performance.now() > deadline) throw error
      await sleep(20)
    }
  }
}

/**
 * For tests that a stall at the wrong moment may fail once, and a defect each time. Every round starts anew.
 * @throws the error of the last of five rounds
 */
export async function inOneOfFive<T>(round: () => Promise<T>): Promise<T> {
  for (let left = 4; ; left--) {
    try {
      return await round()
    } catch (error) {
      if (left === 0) throw error
    }
  }
}
