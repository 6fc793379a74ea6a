// Works jobs off in the background: at once when one is announced, and now and then in case an announcement was missed.
import { setTimeout as sleep } from 'node:timers/promises'
import { type JobReports, type JobStep, workOnce } from '../db/jobs.ts'
import type { Pool } from '../db/pool.ts'
import type { Logger } from '../http/log.ts'
import { repeat } from './repeat.ts'

/** A runner at work. */
export interface JobRunner {
  /** Looks for work now. */
  wake(): void
  /** Stops after the batch under way. */
  close(): Promise<void>
}

const LOOK_SECONDS = 30
// Leaves Postgres and this process alone between two batches.
const PAUSE_MS = 20

/** @param kinds what each kind of job does, a batch a call. */
export function startJobRunner(parts: { db: Pool; log: Logger }, kinds: Record<string, JobStep>): JobRunner {
  const { db, log } = parts
  let closed = false
  let again = false
  let woken = new AbortController()
  let working: Promise<void> | undefined

  const work = async (): Promise<void> => {
    try {
      do {
        again = false
        await workOff()
      } while (again && !closed)
    } catch (error) {
      log.warn({ err: error }, 'working on jobs was broken off, it is taken up again')
    }
  }
  const workOff = async (): Promise<void> => {
    while (!closed) {
      woken = new AbortController()
      const ms = await workOnce(db, kinds, reports)
      if (ms === undefined) return
      await sleep(Math.max(PAUSE_MS, ms), undefined, { signal: woken.signal }).catch(() => {})
    }
  }
  const reports: JobReports = {
    heldUp: (error, { id, kind }) =>
      log.warn({ err: error, job: id, kind }, 'a batch of a job was broken off, it is tried again'),
    failed: (error, { id, kind }) => log.error({ err: error, job: id, kind }, 'a job failed'),
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
  // What a node that went away has left.
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
