// The tables of jobs and mails become one queue while nodes of the version before go on: what waited is carried over, what those nodes
// send works through the views, and no mail is taken by two.
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import pg from 'pg'
import { queueNotices } from '../../src/core/mail/outbox.ts'
import { takeDelivery } from '../../src/db/deliveries.ts'
import { findJob, listJobs, workOnce } from '../../src/db/jobs.ts'
import { migrate } from '../../src/db/migrate.ts'
import { many, one, run, sql } from '../../src/db/pool.ts'

import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { until } from '../support/patience.ts'

const DIRECTORY = join(import.meta.dirname, '../../migrations')
const OURS = '0052_queue.sql'
const PATIENCE = { firstPauseSeconds: 60, longestPauseSeconds: 3_600, triedHours: 24 }
const UNFINISHED = '11111111-1111-4111-8111-111111111111'
const ROLE = 'queue_upgrade_server'

let database: TestDatabase
let before: string
beforeAll(async () => {
  database = await createTestDatabase({ empty: true })
  before = await mkdtemp(join(tmpdir(), 'migrations-'))
  const files = (await readdir(DIRECTORY)).filter((file) => file < OURS)
  await Promise.all(files.map((file) => cp(join(DIRECTORY, file), join(before, file))))
  const { db, url } = database
  await migrate(db, { directory: before })
  await db.pg.query(BEFORE)
  // A change of an older node is under way: its mail is not there yet, and must not be left behind.
  const older = new pg.Client(url)
  await older.connect()
  await older.query('begin')
  await older.query(
    `insert into mails (recipient, kind, params) values ('late@example.com', 'app_approved', '{}')`,
  )
  const migrated = migrate(db)
  await until(async () => {
    const waiting = await many(
      db,
      sql`select from pg_stat_activity where application_name = 'valetkey migrate' and wait_event_type = 'Lock'`,
    )
    return waiting.length > 0
  })
  await older.query('commit')
  await older.end()
  await migrated
})
afterAll(async () => {
  await database.db.pg.query(`drop owned by ${ROLE}; drop role ${ROLE}`)
  await database.drop()
  await rm(before, { recursive: true })
})

const BEFORE = `
  insert into jobs (id, kind, params, actor, state, done, total) values
    ('${UNFINISHED}', 'long', '{"after": 3}', '{"type": "cli"}', 'running', 3, 4);
  insert into jobs (kind, params, actor, state, done, total, problem, finished_at, created_at) values
    ('take_scope', '{}', '{"type": "cli"}', 'failed', 1, 2, 'It stopped.', now(), now() - interval '1 day');
  insert into mails (recipient, kind, params, attempts, next_try_at, mailbox) values
    ('waiting@example.com', 'owner_invitation', '{"user_id": "u"}', 2, '2020-01-01', 'waiting@example.com');
  insert into mails (recipient, kind, state, attempts, finished_at)
    select 'sent' || n || '@example.com', 'app_approved', 'sent', 1, now() from generate_series(1, 6000) n;
  create role ${ROLE};
  grant select, insert, update, delete on all tables in schema public to ${ROLE};`

test('what waited goes on where it was, and what has ended is still known', async () => {
  const { db } = database

  expect(await listJobs(db)).toEqual([
    expect.objectContaining({ id: UNFINISHED, state: 'running', done: 3, total: 4, params: { after: 3 } }),
    expect.objectContaining({ kind: 'take_scope', state: 'failed', problem: 'It stopped.' }),
  ])
  const mails = await many(
    db,
    sql`select state, count(*)::int as count from queued_jobs where lane = 'mail' group by state order by state`,
  )
  expect(mails).toEqual([
    { state: 'sent', count: 6000 },
    { state: 'waiting', count: 2 },
  ])
  await workOnce(db, { long: async (_, { done }) => ({ done: 1, total: 4, finished: done === 3 }) }, REPORTS)
  expect(await findJob(db, UNFINISHED)).toMatchObject({ state: 'done', done: 4 })
  expect(await takeDelivery(db, 'mail', ['owner_invitation'], PATIENCE)).toMatchObject({
    recipient: 'waiting@example.com',
    attempts: 3,
    params: { user_id: 'u' },
  })
})

test('of mails that both versions queue, both take some and each is taken once', async () => {
  const { db } = database
  await run(
    db,
    sql`update queued_jobs set state = 'withdrawn', params = null, finished_at = now() where state = 'waiting'`,
  )
  await run(
    db,
    sql`insert into mails (recipient, kind, params) select 'a' || n || '@example.com', 'app_approved', '{}' from generate_series(1, 40) n`,
  )
  const taken: string[] = []
  const takeAll = async (take: () => Promise<{ id: string } | undefined>): Promise<number> => {
    let count = 0
    for (let mail = await take(); mail; mail = await take(), count++) taken.push(mail.id)
    return count
  }

  const counts = await Promise.all([
    takeAll(async () => (await db.pg.query(OLDER_TAKES)).rows[0]),
    takeAll(() => takeDelivery(db, 'mail', ['app_approved'], PATIENCE)),
  ])

  expect(Math.min(...counts)).toBeGreaterThan(0)
  expect(taken).toHaveLength(40)
  expect(new Set(taken).size).toBe(40)
})

test('both versions count into one summary', async () => {
  const { db } = database
  const to = 'busy@example.com'
  const change = {
    kind: 'account_changed',
    to,
    params: { name: 'B', user_id: 'u', what: 'disabled', by: '' },
  } as const
  await queueNotices(
    db,
    Array.from({ length: 22 }, () => change),
  )

  await db.pg.query(OLDER_SUMS_UP, [to])
  await queueNotices(db, [change])

  const { counts } = await one<{ counts: unknown }>(
    db,
    sql`select params -> 'counts' as counts from queued_jobs where recipient = ${to} and kind = 'more_notices'`,
  )
  expect(counts).toEqual({ 'account_changed:disabled': 3, owner_came: 1 })
})

test('an older node makes a job, works on it and ends it, and does not see mails among jobs', async () => {
  const { db } = database
  const { rows } = await db.pg.query(
    `insert into jobs (kind, params, actor) values ('older', '{"n": 1}', '{"type": "cli"}') returning *`,
  )
  const { id } = rows[0]

  const client = await db.pg.connect()
  await client.query('begin')
  const next = await client.query(OLDER_NEXT_JOB, [['older']])
  // A newer one passes over it meanwhile.
  expect(await workOnce(db, { older: async () => ({ done: 9, total: 9, finished: true }) }, REPORTS)).toBe(
    undefined,
  )
  await client.query(
    `update jobs set state = 'done', done = done + 1, total = 1, params = '{}', next_try_at = now(), finished_at = now() where id = $1`,
    [id],
  )
  await client.query('commit')
  client.release()

  expect(next.rows).toEqual([expect.objectContaining({ id, params: { n: 1 } })])
  expect(await findJob(db, id)).toMatchObject({ state: 'done', done: 1 })
  expect((await db.pg.query('select kind from jobs')).rows).toHaveLength(3)
})

test('an older node gives up, withdraws and forgets mails; what it queues is announced', async () => {
  const { db, url } = database
  const ear = new pg.Client(url)
  const heard: (string | undefined)[] = []
  ear.on('notification', ({ payload }) => heard.push(payload))
  await ear.connect()
  await ear.query('listen valetkey')
  const insert = `insert into mails (recipient, kind, params, created_at) values ($1, 'password_reset', '{"user_id": "w"}', $2)`
  await db.pg.query(insert, ['old@example.com', new Date(Date.now() - 25 * 3_600_000)])
  await db.pg.query(insert, ['new@example.com', new Date()])

  const gone = await db.pg.query(OLDER_GIVES_UP)
  await db.pg.query(
    `update mails set state = 'withdrawn', params = null, finished_at = now()
     where state = 'waiting' and kind = 'password_reset' and params ->> 'user_id' = 'w'`,
  )
  const swept = await db.pg.query(OLDER_SWEEPS)

  expect(gone.rows).toEqual([expect.objectContaining({ kind: 'password_reset', user_id: 'w' })])
  expect(swept.rowCount).toBe(1_000)
  const states = await many(
    db,
    sql`select state from queued_jobs where kind = 'password_reset' order by recipient`,
  )
  expect(states).toEqual([{ state: 'withdrawn' }, { state: 'given_up' }])
  await until(() => heard.length === 2)
  expect(heard).toEqual(['mails', 'mails'])
  await ear.end()
})

test('a role that was given rights on the tables has them on the queue and the views', async () => {
  const { rows } = await database.db.pg.query(
    `select t, p from unnest(array['queued_jobs', 'jobs', 'mails']) t, unnest(array['select', 'insert', 'update', 'delete']) p
     where not has_table_privilege('${ROLE}', t, p)`,
  )

  expect(rows).toEqual([])
})

const REPORTS = { heldUp() {}, failed: (error: unknown) => Promise.reject(error) }

// As version 0.1.0 sends them, with its values.
const OLDER_TAKES = `
  update mails
  set attempts = attempts + 1,
      next_try_at = now() + make_interval(secs => least(3600::int, 60::int * 2 ^ least(attempts, 20)))
  where id = (
    select id from mails
    where state = 'waiting' and next_try_at <= now() and kind = any('{app_approved}')
    order by next_try_at limit 1
    for update skip locked)
  returning id, recipient as to, kind, params, attempts, created_at`
const OLDER_NEXT_JOB = `
  select *, greatest(0, ceil(extract(epoch from next_try_at - now()) * 1000))::int as wait_ms,
         set_config('lock_timeout', '500ms', true)
  from jobs
  where state in ('waiting', 'running') and kind = any($1)
  order by next_try_at limit 1
  for update skip locked`
const OLDER_SUMS_UP = `
  insert into mails (recipient, kind, params, next_try_at)
  values ($1, 'more_notices', '{"name": "B", "counts": {"owner_came": 1}}', now() + interval '15 minutes')
  on conflict (recipient) where kind = 'more_notices' and state = 'waiting' and attempts = 0
  do update set params = jsonb_set(mails.params, '{counts}', mails.params -> 'counts' || (excluded.params -> 'counts'))`
const OLDER_GIVES_UP = `
  with old as (
    select id, params from mails
    where state = 'waiting' and created_at < now() - make_interval(hours => 24)
      and (select min(created_at) from mails where state = 'waiting') < now() - make_interval(hours => 24)
    limit 1000
    for update skip locked)
  update mails m set state = 'given_up', params = null, finished_at = now()
  from old where m.id = any(array(select id from old)) and m.id = old.id
  returning m.id, m.kind, m.attempts, old.params ->> 'client_id' as client_id, old.params ->> 'user_id' as user_id`
const OLDER_SWEEPS = `
  delete from mails where id = any(array(
    select id from mails
    where state <> 'waiting' and finished_at < now() + interval '1 minute'
    limit 1000 for update skip locked))`
