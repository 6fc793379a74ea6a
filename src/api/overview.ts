// What waits for a decision, and what the last day and month were like, over the Admin API.
import { z } from 'zod'
import { countWaiting } from '../core/clients/review.ts'
import { COUNTED, countAll } from '../core/overview/counts.ts'
import { listJobs } from '../db/jobs.ts'
import { type Operation, operation } from './framework/operation.ts'
import { named } from './framework/schemas.ts'

const counts = named('Counts', z.strictObject(Object.fromEntries(COUNTED.map((name) => [name, z.int()]))))
const overview = named(
  'Overview',
  z.strictObject({
    waiting_clients: z.int().meta({ description: 'Apps without a decision; more than 100 count as 100.' }),
    open_jobs: z.int(),
    last_day: counts,
    last_30_days: counts,
  }),
)

/** The overview. */
export const overviewOperations: readonly Operation[] = [
  operation({
    id: 'getOverview',
    method: 'GET',
    path: '/overview',
    tag: 'Overview',
    scope: 'audit:read',
    summary: 'What waits for a decision, and what happened in numbers',
    success: { status: 200, description: 'As it stands now.', schema: overview },
    async run({ db }) {
      const [{ day, month }, waiting_clients, jobs] = await Promise.all([
        countAll(db),
        countWaiting(db),
        listJobs(db, 20),
      ])
      const open_jobs = jobs.filter(({ state }) => state === 'waiting' || state === 'running').length
      return { body: { waiting_clients, open_jobs, last_day: day, last_30_days: month } }
    },
  }),
]
