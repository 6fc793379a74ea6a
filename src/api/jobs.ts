// Jobs over the Admin API: how far work in the background has come.
import { z } from 'zod'
import { findJob, listJobs } from '../db/jobs.ts'
import { NotFound } from '../http/errors.ts'
import { type Operation, operation } from './framework/operation.ts'
import { job, jobView, listOf, uuid } from './framework/schemas.ts'

const MOST_JOBS = 100

/** Operations on jobs. */
export const jobOperations: readonly Operation[] = [
  operation({
    id: 'listJobs',
    method: 'GET',
    path: '/jobs',
    tag: 'Jobs',
    scope: 'grants:read',
    summary: 'List the latest jobs, newest first',
    success: { status: 200, description: `At most ${MOST_JOBS}.`, schema: listOf('JobList', job) },
    run: async ({ db }) => ({ body: (await listJobs(db, MOST_JOBS)).map(jobView) }),
  }),
  operation({
    id: 'getJob',
    method: 'GET',
    path: '/jobs/{job_id}',
    tag: 'Jobs',
    scope: 'grants:read',
    summary: 'See how far a job has come',
    params: z.object({ job_id: uuid }),
    success: { status: 200, description: 'The job.', schema: job },
    async run({ db, params }) {
      const found = await findJob(db, params.job_id)
      if (!found) throw new NotFound('There is no such job.')
      return { body: jobView(found) }
    },
  }),
]
