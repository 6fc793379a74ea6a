// Waiting on a machine that may stand still for seconds, or be ten times slower than another: what is waited for may take long, and
// what has to be quick is told apart from what is broken by more than a clock.
import { setTimeout as sleep } from 'node:timers/promises'

/** How long whatever is bound to come may take, on the worst of machines. Only a test that fails takes that long. */
export const PATIENCE_MS = 120_000

/** Waits until something is so. @throws Error after two minutes */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited two minutes in vain for ${condition}`)
    await sleep(20)
  }
}

/** Looks again and again until nothing is thrown. @throws what was thrown last, after two minutes */
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
 * For what a machine that stands still at the wrong moment can spoil once, and what is broken spoils each time. Every round begins
 * anew. @throws what the last of five rounds threw
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
