// /readyz asks for what a write needs: a server that answers every question and takes no write is not ready.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import pg from 'pg'
import { type Embedded, startEmbedded } from '../../src/db/embedded.ts'
import { migrate } from '../../src/db/migrate.ts'
import { openPool, type Pool } from '../../src/db/pool.ts'
import { send } from '../support/attack.ts'
import { inOneOfFive, until } from '../support/patience.ts'
import { startApp, type TestApp } from '../support/server.ts'
import { statementsOf } from '../support/statements.ts'

// A check takes three seconds at most, and what it looks at is given up after eight.
const MOST_MS = 6_000

let dataDir: string
// A server of its own: what is done to it would be done to the databases of all tests.
let embedded: Embedded
let operator: pg.Client
let db: Pool
let app: TestApp
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'valetkey-ready-'))
  embedded = await startEmbedded(dataDir, { settings: { fsync: 'off' } })
  db = openPool(embedded.url, 4, 2)
  await migrate(db)
  operator = new pg.Client(embedded.url)
  await operator.connect()
  app = await startApp({ db })
})
afterAll(async () => {
  await app?.stop()
  await db?.close()
  await operator?.end()
  await embedded?.stop()
  await rm(dataDir, { recursive: true, force: true })
})
beforeEach(() => until(async () => (await ready()).status === 200))

async function ready(): Promise<{ status: number; ms: number; body: Record<string, unknown> }> {
  const started = performance.now()
  const { status, text } = await send('GET', app.origin, '/readyz')
  return { status, ms: performance.now() - started, body: JSON.parse(text) }
}

/** Settings of the server for new and standing sessions, until the work is done. */
async function withSetting(name: string, value: string, work: () => Promise<void>): Promise<void> {
  const reload = () => operator.query('select pg_reload_conf()')
  await operator.query(`alter system set ${name} = '${value}'`)
  await reload()
  try {
    await work()
  } finally {
    await operator.query(`alter system reset ${name}`)
    await reload()
  }
}

test('a server that takes writes', async () => {
  const { status, body } = await ready()

  expect(status).toBe(200)
  expect(body).toEqual({
    status: 'ok',
    database: 'ok',
    pending_migrations: 0,
    too_new_migrations: 0,
    writes: 'ok',
    announcements: 'ok',
    clock: 'ok',
    clock_ahead_seconds: 0,
  })
})

describe.each([
  ['is read-only', 'default_transaction_read_only', 'on', 'read_only'],
  ['has no room on its disk', 'temp_file_limit', '0', 'disk_full'],
  ['waits for a standby that is gone', 'synchronous_standby_names', 'gone', 'unfinished'],
])('a server that %s', (_name, setting, value, writes) => {
  test('is not ready, says so soon, and is ready again afterwards', async () => {
    await withSetting(setting, value, async () => {
      let last = await ready()
      await until(async () => {
        last = await ready()
        return last.status === 503
      })
      expect(last.body).toMatchObject({ status: 'unavailable', database: 'ok', writes })
      await inOneOfFive(async () => {
        for (let i = 0; i < 3; i++) {
          const { status, ms } = await ready()
          expect(status).toBe(503)
          expect(ms).toBeLessThan(MOST_MS)
        }
      })
    })

    await until(async () => (await ready()).status === 200)
  })
})

test('however often it is asked, the database is asked once a second, and one row is written again and again', async () => {
  const rows = async () => (await operator.query('select slot, xmin::text from write_checks')).rows
  const before = await rows()
  const changed = new Set<string>()
  const started = performance.now()
  let most = 0
  const sent = await statementsOf(async () => {
    // As many times as would be far too many if each asked the database.
    for (let asked = 0; most < 4 || asked < 10 * most; asked += 5) {
      await Promise.all(Array.from({ length: 5 }, ready))
      for (const { slot, xmin } of await rows())
        if (!before.some((row) => row.slot === slot && row.xmin === xmin)) changed.add(slot)
      // One under way at the beginning, and one for each second, however long that took.
      most = 2 + Math.floor((performance.now() - started) / 1000)
    }
  })

  expect(sent.filter(({ text }) => text.includes('update write_checks')).length).toBeLessThanOrEqual(most)
  expect(changed.size).toBe(1)
  expect(await rows()).toHaveLength(64)
})

test('a session that waits for a standby does not stay behind when it is given up', async () => {
  const waiting = async (): Promise<number[]> => {
    const { rows } = await operator.query(`select pid from pg_stat_activity where wait_event = 'SyncRep'`)
    return rows.map(({ pid }) => pid)
  }
  await withSetting('synchronous_standby_names', 'gone', async () => {
    const seen = new Set<number>()
    await until(async () => {
      await ready()
      for (const pid of await waiting()) seen.add(pid)
      return seen.size > 1
    })
    // The first was given up when the second came, and would wait for as long as the standby is away.
    const [first] = seen
    await until(async () => !(await waiting()).includes(first!))
  })
})
