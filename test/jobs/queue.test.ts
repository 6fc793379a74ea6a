// The queue on bad days: deadlocks, a database that goes away in the middle, a node that dies, work that fails. Nothing is lost,
// nothing is done twice, and the process goes on.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { pino } from 'pino'
import { type Delivery, takeDelivery } from '../../src/db/deliveries.ts'
import { createJob, findJob, type JobStep } from '../../src/db/jobs.ts'
import { one, openPool, type Pool, run, sql } from '../../src/db/pool.ts'
import { createLogger } from '../../src/http/log.ts'
import { type Deliverer, type Outcome, startDeliveries } from '../../src/jobs/deliveries.ts'
import type { Lane } from '../../src/jobs/lane.ts'
import { startJobRunner } from '../../src/jobs/runner.ts'
import { startSchedule } from '../../src/jobs/schedules.ts'

import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { type DatabaseLink, openDatabaseLink } from '../support/database-link.ts'
import { until } from '../support/patience.ts'

const PATIENCE = { firstPauseSeconds: 60, longestPauseSeconds: 3_600, triedHours: 24 }
const log = createLogger('silent')

let database: TestDatabase
let link: DatabaseLink
/** A node's way to the database, which can be cut. */
let node: Pool
const opened: Lane[] = []
beforeEach(async () => {
  database = await createTestDatabase()
  await run(database.db, sql`create table things (id int primary key, n int not null default 0)`)
  await run(database.db, sql`insert into things values (1), (2)`)
  link = await openDatabaseLink(database.url)
  node = openPool(link.url, 4, 1)
})
afterEach(async () => {
  link.open()
  for (const each of opened.splice(0)) await each.close()
  await node.close()
  link.close()
  await database.drop()
})

test('a batch that PostgreSQL ends for a deadlock is done again; the job does not fail', async () => {
  const { db } = database
  const other = await db.pg.connect()
  await other.query('begin')
  await other.query('update things set n = 7 where id = 2')
  const { id } = await createJob(db, { kind: 'crossing', params: {}, actor: {} })
  let tries = 0
  const lines = start(
    {
      async crossing(t) {
        if (++tries === 1) await run(t, sql`select set_config('deadlock_timeout', '20ms', true)`)
        await run(t, sql`update things set n = n + 1 where id = 1`)
        if (tries === 1) void other.query('update things set n = 7 where id = 1').catch(() => {})
        if (tries === 1) await until(async () => (await waiting()) === 1)
        await run(t, sql`update things set n = n + 1 where id = 2`)
        return { done: 1, total: 1, finished: true }
      },
    },
    db,
  )

  await until(() => lines.some((line) => line.includes('deadlock detected')))
  await other.query('rollback')
  other.release()

  await until(async () => (await findJob(db, id))!.state === 'done')
  expect(await sum()).toBe(2)
})

test('a database that goes away in the middle of a batch: nothing of it stays, and it is done once when it is back', async () => {
  const { db } = database
  const { id } = await createJob(db, { kind: 'counting', params: {}, actor: {} })
  let tries = 0
  start({
    async counting(t) {
      tries++
      await run(t, sql`update things set n = n + 1`)
      if (tries === 1) link.cut()
      return { done: 2, total: 2, finished: true }
    },
  })
  await until(() => tries === 1)
  await until(async () => (await waiting("state like 'idle in transaction%'")) === 0)
  expect(await sum()).toBe(0)

  link.open()
  opened[0]!.wake()
  await until(async () => (await findJob(db, id))!.state === 'done')

  expect(await sum()).toBe(2)
})

test('a database that goes away while something is delivered: it is noted when it is back, and delivered once', async () => {
  const { db } = database
  await queue('a@example.com')
  const made: string[] = []
  deliver(node, {
    async attempt({ recipient }) {
      made.push(recipient)
      if (made.length === 1) link.cut()
      return { is: 'sent' }
    },
  })
  await until(() => made.length === 1)
  await new Promise((resolve) => setTimeout(resolve, 300))
  expect(await states()).toBe('waiting')
  // It is nobody else's meanwhile.
  expect(await takeDelivery(db, 'mail', ['greeting'], PATIENCE)).toBeUndefined()

  link.open()
  await until(async () => (await states()) === 'sent')
  await queue('b@example.com')
  opened[0]!.wake()
  await until(async () => (await states()) === 'sent,sent')

  expect(made).toEqual(['a@example.com', 'b@example.com'])
})

test('a node that is killed while it delivers: another one does, after the pause and not before', async () => {
  const { db, url } = database
  await queue('a@example.com')
  const child = fork(join(import.meta.dirname, 'killed-deliverer.ts'), [url], { execArgv: [] })
  await once(child, 'message')
  child.kill('SIGKILL')
  await once(child, 'exit')

  const taken = () => takeDelivery(db, 'mail', ['greeting'], PATIENCE)
  expect(await taken()).toBeUndefined()
  await run(db, sql`update queued_jobs set next_try_at = next_try_at - interval '1 minute'`)

  expect(await taken()).toMatchObject({ recipient: 'a@example.com', attempts: 2 })
})

test('an attempt that throws is a failed one: others are delivered, and it is tried again', async () => {
  await queue('broken@example.com')
  const lines: string[] = []
  deliver(
    database.db,
    {
      async attempt({ recipient }) {
        if (recipient.startsWith('broken')) throw new Error('no such template')
        return { is: 'sent' }
      },
    },
    lines,
  )
  await until(() => lines.some((line) => line.includes('no such template')))
  await queue('fine@example.com')
  opened[0]!.wake()

  await until(async () => (await states()) === 'waiting,sent')
  const { attempts } = await one<{ attempts: number }>(
    database.db,
    sql`select attempts from queued_jobs where recipient = 'broken@example.com'`,
  )
  expect(attempts).toBe(1)
})

test('what is too old is given up with its record, or not at all', async () => {
  const { db } = database
  await run(db, sql`alter table things add check (n < 2)`)
  await queue('old@example.com', 25)
  const lost: string[] = []
  let refuse = true
  deliver(db, {
    attempt: async () => ({ is: 'given_up', why: {} }),
    async lost(t, { recipient }) {
      lost.push(recipient)
      await run(t, sql`update things set n = n + 1 where id = 1`)
      if (refuse) throw new Error('the record cannot be written')
    },
  })
  await until(() => lost.length === 1)
  expect([await states(), await sum()]).toEqual(['waiting', 0])

  refuse = false
  opened[0]!.wake()
  await until(async () => (await states()) === 'given_up')

  expect(await sum()).toBe(1)
})

test('a scheduled job is done once an interval, however many nodes there are', async () => {
  let times = 0
  const scheduled = { kind: 'counting', everySeconds: 600, work: async () => void times++ }
  for (let n = 0; n < 5; n++) opened.push(startSchedule({ db: database.db, log }, scheduled))
  await until(() => times === 1)

  for (let round = 2; round < 5; round++) {
    for (const each of opened) each.wake()
    await until(async () => (await schedule()).attempts === 0)
    expect(times).toBe(round - 1)
    await run(database.db, sql`update queued_jobs set next_try_at = now()`)
    for (const each of opened) each.wake()
    await until(() => times === round)
  }
})

test('a scheduled job that fails is tried again, ever later up to its interval, and is never given up', async () => {
  let times = 0
  let fails = true
  const lines: string[] = []
  const work = async (): Promise<void> => {
    times++
    if (fails) throw new Error('not today')
  }
  opened.push(
    startSchedule({ db: database.db, log: into(lines) }, { kind: 'failing', everySeconds: 300, work }),
  )
  for (const [failures, pause] of [60, 120, 240, 300].entries()) {
    await until(async () => lines.length === failures + 1 && (await schedule()).pause === pause)
    fails = failures < 3
    await run(database.db, sql`update queued_jobs set next_try_at = now()`)
    opened[0]!.wake()
  }

  await until(async () => (await schedule()).attempts === 0)
  expect(times).toBe(5)
  expect(await schedule()).toMatchObject({ pause: 300 })
})

/** Works on jobs as a node whose database can be cut off; gives what it logs. */
function start(kinds: Record<string, JobStep>, db = node): string[] {
  const lines: string[] = []
  opened.push(startJobRunner({ db, log: into(lines) }, kinds))
  return lines
}

function deliver(
  db: Pool,
  parts: { attempt(d: Delivery): Promise<Outcome>; lost?: Deliverer['lost'] },
  lines: string[] = [],
): void {
  const deliverer: Deliverer = {
    lane: 'mail',
    kinds: ['greeting'],
    patience: PATIENCE,
    lost: async () => {},
    gaveUp() {},
    ...parts,
  }
  opened.push(startDeliveries({ db, log: into(lines) }, deliverer))
}

function into(lines: string[]) {
  return pino({ level: 'debug' }, { write: (line: string) => void lines.push(line) })
}

async function queue(recipient: string, hoursAgo = 0): Promise<void> {
  await run(
    database.db,
    sql`insert into queued_jobs (lane, kind, recipient, params, created_at)
        values ('mail', 'greeting', ${recipient}, '{}', now() - make_interval(hours => ${hoursAgo}::int))`,
  )
}

async function states(): Promise<string> {
  const { states } = await one<{ states: string }>(
    database.db,
    sql`select string_agg(state, ',' order by created_at) as states from queued_jobs`,
  )
  return states
}

function schedule(): Promise<{ attempts: number; pause: number }> {
  return one(
    database.db,
    sql`select attempts, round(extract(epoch from next_try_at - now()) / 60)::int * 60 as pause from queued_jobs`,
  )
}

async function sum(): Promise<number> {
  return (await one<{ n: number }>(database.db, sql`select sum(n)::int as n from things`)).n
}

async function waiting(what = "wait_event_type = 'Lock'"): Promise<number> {
  const { rows } = await database.db.pg.query(
    `select from pg_stat_activity where datname = current_database() and ${what}`,
  )
  return rows.length
}
