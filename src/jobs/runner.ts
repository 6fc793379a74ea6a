// Works jobs off in the background: at once when one is announced, and now and then in case an announcement was missed.
import { setTimeout as sleep } from 'node:timers/promises'
import { type JobStep, workOnce } from '../db/jobs.ts'
import type { Pool } from '../db/pool.ts'
import type { Logger } from '../web/log.ts'
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
  let working: Promise<void> | undefined

  const work = async (): Promise<void> => {
    try {
      do {
        again = false
        while (!closed && (await workOnce(db, kinds, failed))) await sleep(PAUSE_MS)
      } while (again && !closed)
    } catch (error) {
      log.warn({ err: error }, 'working on a job was broken off, it is taken up again')
    }
  }
  const failed = (error: unknown, job: { id: string; kind: string }): void =>
    log.error({ err: error, job: job.id, kind: job.kind }, 'a job failed')
  const wake = (): Promise<void> => {
    again = true
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
      await looking.close()
      await working
    },
  }
}
