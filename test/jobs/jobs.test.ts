// Jobs take turns, and one that waits for what somebody else holds delays none of the others.
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { createJob, findJob, type JobStep } from '../../src/db/jobs.ts'
import { run, sql } from '../../src/db/pool.ts'
import { createLogger } from '../../src/http/log.ts'
import type { Lane } from '../../src/jobs/lane.ts'
import { startJobRunner } from '../../src/jobs/runner.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { until } from '../support/patience.ts'

let database: TestDatabase
let runner: Lane | undefined
beforeEach(async () => {
  database = await createTestDatabase()
})
afterEach(async () => {
  await runner?.close()
  await database.drop()
})

const whole: JobStep = async () => ({ done: 1, total: 1, finished: true })

test('a batch that runs into a locked row is broken off and tried again, and later jobs are done meanwhile', async () => {
  const { db } = database
  await run(db, sql`create table things (id int primary key)`)
  await run(db, sql`insert into things values (1)`)
  const holder = await db.pg.connect()
  try {
    await holder.query('begin')
    await holder.query('select from things for update')
    const stuck = await createJob(db, { kind: 'stuck', params: {}, actor: {} })
    start({
      async stuck(t) {
        await run(t, sql`update things set id = 2`)
        return { done: 1, total: 1, finished: true }
      },
    })
    const later = await createJob(db, { kind: 'whole', params: {}, actor: {} })
    runner!.wake()
    await isDone(later.id)

    expect(await findJob(db, stuck.id)).toMatchObject({ state: 'waiting', done: 0, problem: null })
    await holder.query('rollback')
    await isDone(stuck.id)
  } finally {
    await holder.query('rollback')
    holder.release()
  }
})

test('a batch that leaves out locked rows says so, and later jobs are done meanwhile', async () => {
  const { db } = database
  let isHeldUp = true
  const stuck = await createJob(db, { kind: 'stuck', params: {}, actor: {} })
  start({ stuck: async () => ({ done: 0, total: 1, finished: !isHeldUp, isHeldUp }) })
  const later = await createJob(db, { kind: 'whole', params: {}, actor: {} })
  runner!.wake()
  await isDone(later.id)

  expect(await findJob(db, stuck.id)).toMatchObject({ done: 0, finished_at: null })
  isHeldUp = false
  await isDone(stuck.id)
})

test('jobs of many batches take turns', async () => {
  const { db } = database
  const worked: string[] = []
  const long: JobStep = async (_, { params, done }) => {
    worked.push(String(params.name))
    return { done: 1, total: 3, finished: done === 2 }
  }
  const jobs = []
  for (const name of ['a', 'b']) jobs.push(await createJob(db, { kind: 'long', params: { name }, actor: {} }))
  start({ long })
  for (const { id } of jobs) await isDone(id)

  expect(worked.join('')).toBe('ababab')
})

function start(kinds: Record<string, JobStep>): void {
  runner = startJobRunner({ db: database.db, log: createLogger('silent') }, { whole, ...kinds })
}

function isDone(id: string): Promise<void> {
  return until(async () => (await findJob(database.db, id))!.state === 'done')
}
