// The loop of one lane of the queue: it works at once when a job is announced, and every 30 seconds in case an announcement was missed.
import { setTimeout as sleep } from 'node:timers/promises'
import { repeat } from './repeat.ts'

/** A lane whose jobs are worked on. */
export interface Lane {
  /** Looks for work now. */
  wake(): void
  /** Stops after the piece of work under way. */
  close(): Promise<void>
}

/** What is done in a lane. */
export interface LaneWork {
  /** Called before the first piece of a round. */
  begin?(): Promise<void>
  /** Does one piece. @returns after how many milliseconds to call again; undefined: there is nothing to do for now */
  next(): Promise<number | undefined>
  /** Called with the error that broke a round off; another round follows. */
  brokenOff(error: unknown): void
}

const LOOK_SECONDS = 30

/** Works on a lane until it is closed. */
export function startLane({ begin, next, brokenOff }: LaneWork): Lane {
  let closed = false
  let again = false
  let woken = new AbortController()
  let working: Promise<void> | undefined

  const work = async (): Promise<void> => {
    try {
      do {
        again = false
        await begin?.()
        await workOff()
      } while (again && !closed)
    } catch (error) {
      brokenOff(error)
    }
  }
  const workOff = async (): Promise<void> => {
    while (!closed) {
      woken = new AbortController()
      const ms = await next()
      if (ms === undefined) return
      if (ms > 0) await sleep(ms, undefined, { signal: woken.signal }).catch(() => {})
    }
  }
  const wake = (): Promise<void> => {
    again = true
    woken.abort()
    working ??= work().finally(() => {
      working = undefined
    })
    return working
  }
  const looking = repeat(wake, LOOK_SECONDS)
  // Takes up the jobs that a node left when it stopped.
  void wake()
  return {
    wake: () => void wake(),
    async close() {
      closed = true
      woken.abort()
      await looking.close()
      await working
    },
  }
}
