// Exporting: every event once and in order, in a form that no program and no spreadsheet misreads, whatever its size.
import { randomUUID } from 'node:crypto'
import { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type ExportFormat, exportAudit } from '../../../src/core/audit/export.ts'
import { type EventFilter, record } from '../../../src/core/audit/store.ts'
import { type Db, many, type Pool, run, sql, tx } from '../../../src/db/pool.ts'
import { highestId, settled } from '../../support/audit.ts'
import { createTestDatabase, serverOfItsOwn, type TestDatabase } from '../../support/database.ts'
import { until } from '../../support/patience.ts'

let postgres: Awaited<ReturnType<typeof serverOfItsOwn>>
let database: TestDatabase
let db: Pool
const ada = randomUUID()
beforeAll(async () => {
  postgres = await serverOfItsOwn()
  database = await createTestDatabase()
  db = database.db
})
afterAll(async () => {
  await database?.drop()
  await postgres?.stop()
})

async function exported(format: ExportFormat, filter: EventFilter = {}): Promise<string> {
  await settled(db)
  let text = ''
  for await (const chunk of await exportAudit(db, { filter, format })) text += chunk.text
  return text
}

test('of nothing is a header line, or nothing', async () => {
  expect(await exported('csv')).toBe(
    'id,at,type,actor_type,actor_id,user_id,client_id,ip,user_agent,request_id,data\r\n',
  )
  expect(await exported('jsonl')).toBe('')
})

describe('what others chose', () => {
  const AGENTS = [
    '=HYPERLINK("http://evil.example","click")',
    '+1',
    '-2+3',
    '@SUM(A1)',
    '\t=1+1',
    '\r=1+1',
    '＝1+1',
    'plain',
    'with, comma',
    'with "quotes"',
    'two\r\nlines',
    "'quoted already",
    'grüße 👋',
  ]
  beforeAll(async () => {
    for (const user_agent of AGENTS) {
      await record(db, { type: 'sign_in.failed', reason: 'unknown' }, { type: 'user', user_agent })
    }
  })

  test('comes back from CSV as it was, and nothing is left that begins a formula', async () => {
    const [header, ...rows] = parsed(await exported('csv'))

    const agents = rows.map((row) => row[header!.indexOf('user_agent')]!)
    expect(agents.map((cell) => (/^'[=+\-@\t\r＝]/.test(cell) ? cell.slice(1) : cell))).toEqual(AGENTS)
    expect(rows.flat().filter((cell) => /^[=+\-@\t\r\n＝＋－＠]/.test(cell))).toEqual([])
    expect(JSON.parse(rows[0]![header!.indexOf('data')]!)).toEqual({ reason: 'unknown' })
  })

  test('a formula is quoted with an apostrophe in front', async () => {
    expect(await exported('csv')).toContain(
      `,"'=HYPERLINK(""http://evil.example"",""click"")",,"{""reason"":""unknown""}"\r\n`,
    )
  })

  test('comes back from JSON lines as it was', async () => {
    const text = await exported('jsonl')

    const rows = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(rows.map(({ user_agent }) => user_agent)).toEqual(AGENTS)
    expect(rows[0]).toMatchObject({ type: 'sign_in.failed', actor_type: 'user', data: { reason: 'unknown' } })
  })
})

describe('a filter', () => {
  beforeAll(async () => {
    await record(db, { type: 'user.disabled', user_id: ada }, { type: 'cli', id: 'root' })
    await record(db, { type: 'client.suspended', client_id: 'c_1' }, { type: 'cli', id: 'eve' })
    await record(db, { type: 'sign_out', user_id: ada }, { type: 'user', id: ada })
    await run(
      db,
      sql`insert into audit_events (at, type, actor_type) values ('2020-02-01T00:00:00Z', 'key.rotated', 'system')`,
    )
  })
  const at = (text: string) => new Date(text)

  test.each<[EventFilter, string[]]>([
    [{ type: 'user.disabled' }, ['user.disabled']],
    [{ actor_type: 'cli' }, ['user.disabled', 'client.suspended']],
    [{ actor_type: 'cli', actor_id: 'eve' }, ['client.suspended']],
    [{ user_id: ada }, ['user.disabled', 'sign_out']],
    [{ client_id: 'c_1' }, ['client.suspended']],
    [{ until: at('2020-02-01T00:00:00Z') }, []],
    [{ until: at('2020-02-01T00:00:00.001Z') }, ['key.rotated']],
    [{ since: at('2020-02-01T00:00:00Z'), until: at('2021-01-01T00:00:00Z') }, ['key.rotated']],
    [{ user_id: ada, actor_type: 'user' }, ['sign_out']],
    [{ user_id: randomUUID() }, []],
  ])('%j gives %j', async (filter, types) => {
    const lines = (await exported('jsonl', filter)).split('\n').filter(Boolean)

    expect(lines.map((line) => JSON.parse(line).type)).toEqual(types)
  })
})

describe('of 50,000 events', () => {
  const MANY = { filter: { client_id: 'c_many' }, format: 'jsonl' } as const
  beforeAll(async () => {
    await run(
      db,
      sql`insert into audit_events (type, actor_type, client_id, data)
          select 'client.changed', 'system', 'c_many', json_build_object('n', n) from generate_series(1, 50000) n`,
    )
  })

  test('has each of them once, in order, and none that came later', async () => {
    const seen: number[] = []
    for await (const { text, events } of await exportAudit(db, MANY)) {
      if (seen.length === 0)
        await record(
          db,
          { type: 'client.changed', client_id: 'c_many', fields: [], changes: [], loosened: [] },
          { type: 'cli' },
        )
      const rows = text
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line))
      expect(rows).toHaveLength(events)
      seen.push(...rows.map(({ data }) => data.n))
    }

    expect(seen).toEqual(Array.from({ length: 50_000 }, (_, i) => i + 1))
  })

  test('reads no further than it is read, and holds no transaction meanwhile', async () => {
    let queries = 0
    const counting = {
      ...db,
      query: ((query) => {
        queries++
        return db.query(query)
      }) as Pool['query'],
    }
    const first = Promise.withResolvers<void>()
    const goOn = Promise.withResolvers<void>()
    let taken = 0
    const slow = new Writable({
      objectMode: true,
      highWaterMark: 1,
      async write(_chunk, _encoding, done) {
        if (++taken === 1) {
          first.resolve()
          await goOn.promise
        }
        done()
      },
    })
    const chunks = await exportAudit(counting, MANY)
    queries = 0
    const whole = pipeline(Readable.from(chunks, { highWaterMark: 1 }), slow)
    await first.promise
    await sleep(300)

    // What the two buffers hold.
    expect(queries).toBeLessThan(5)
    const open = await many(
      db,
      sql`select from pg_stat_activity
          where datname = current_database() and state like 'idle in transaction%'`,
    )
    expect(open).toEqual([])

    goOn.resolve()
    await whole
    expect(queries).toBeGreaterThan(100)
  })
})

describe('whoever goes on after the last event', () => {
  const CLIENT = { filter: { client_id: 'c_followed' }, format: 'jsonl' } as const
  const recordOn = (t: Db) =>
    record(t, { type: 'client.suspended', client_id: 'c_followed' }, { type: 'system' })
  /** The ids behind one, in the order of the export. */
  const behind = async (after: string): Promise<string[]> => {
    let text = ''
    for await (const chunk of await exportAudit(db, { ...CLIENT, after })) text += chunk.text
    return text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line).id)
  }
  const recorded = async () =>
    (
      await many<{ id: string }>(
        db,
        sql`select id from audit_events where client_id = 'c_followed' order by id`,
      )
    ).map(({ id }) => id)

  test('gets each event once, also those whose transaction begins early and commits late', async () => {
    const before = await highestId(db)
    const begun = Promise.withResolvers<void>()
    const goOn = Promise.withResolvers<void>()
    const late = tx(db, async (t) => {
      await recordOn(t)
      begun.resolve()
      await goOn.promise
      await recordOn(t)
    })
    await begun.promise
    for (let i = 0; i < 3; i++) await recordOn(db)

    let after = before
    const seen: string[] = []
    const poll = async () => {
      const ids = await behind(after)
      seen.push(...ids)
      after = ids.at(-1) ?? after
    }
    await poll()
    await poll()
    goOn.resolve()
    await late
    await recordOn(db)
    // Transactions of other test files hold it up, too.
    await until(async () => {
      await poll()
      return seen.length >= 6
    })

    expect([...seen].sort()).toEqual((await recorded()).sort())
    expect(await behind(after)).toEqual([])
  })

  test('an export that is not followed waits a moment for a transaction under way', async () => {
    const whole = async () => {
      const late = tx(db, async (t) => {
        await recordOn(t)
        await sleep(300)
      })
      await sleep(100)
      await recordOn(db)
      const last = (await recorded()).at(-1)
      let text = ''
      for await (const chunk of await exportAudit(db, CLIENT)) text += chunk.text
      await late
      return text.includes(`{"id":"${last}"`)
    }

    // A transaction of another test file may take longer than that.
    let isWhole = false
    for (let tries = 0; !isWhole && tries < 5; tries++) isWhole = await whole()

    expect(isWhole).toBe(true)
  })

  test('is told when there is no such event', async () => {
    await expect(behind('999999999999')).rejects.toThrow('There is no event 999999999999 to go on after.')
  })

  test('what came along in a restored dump is there, in front of what was recorded since', async () => {
    const restored = await createTestDatabase()
    try {
      // Numbers of transactions that this cluster will not reach for long.
      await run(
        restored.db,
        sql`insert into audit_events (tx, type, actor_type)
            select (9000000000 - n)::text::xid8, 'sign_out', 'system' from generate_series(1, 3) as n`,
      )
      await record(restored.db, { type: 'sign_out', user_id: ada }, { type: 'system' })
      await settled(restored.db)
      const ids = async (after?: string) => {
        let text = ''
        for await (const chunk of await exportAudit(restored.db, { filter: {}, format: 'jsonl', after })) {
          text += chunk.text
        }
        return [...text.matchAll(/"id":"(\d+)"/g)].map(([, id]) => id)
      }

      expect(await ids()).toEqual(['3', '2', '1', '4'])
      expect(await ids('1')).toEqual(['4'])
    } finally {
      await restored.drop()
    }
  })
})

/** Reads RFC 4180 to the letter. @throws Error where it is not */
function parsed(text: string): string[][] {
  const rows: string[][] = [[]]
  const cell = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/y
  while (cell.lastIndex < text.length) {
    const at = cell.lastIndex
    const [, quoted, plain, end] = cell.exec(text) ?? []
    if (end === undefined) throw new Error(`not CSV at ${at}: ${text.slice(at, at + 40)}`)
    rows.at(-1)!.push(quoted?.replaceAll('""', '"') ?? plain!)
    if (end === '\r\n') rows.push([])
  }
  if (rows.pop()!.length > 0) throw new Error('the last line has no end')
  if (new Set(rows.map((row) => row.length)).size > 1) throw new Error('lines differ in length')
  return rows
}
