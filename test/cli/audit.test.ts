// valetkey audit: proving the record from the command line, and writing it out.

import { spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { secretsFrom } from '../../src/base/secrets.ts'
import type { AuditReport } from '../../src/core/audit/verify.ts'
import { ensureKeys } from '../../src/core/keys/store.ts'
import { run, sql } from '../../src/db/pool.ts'
import { recordSome, sealAll, settled, tamper } from '../support/audit.ts'
import { createTestDatabase, serverOfItsOwn, type TestDatabase } from '../support/database.ts'
import { BARE } from '../support/environment.ts'
import { against, BIN, ended, failure, SECRET_KEYS } from './run.ts'

const secrets = secretsFrom([SECRET_KEYS])
let postgres: Awaited<ReturnType<typeof serverOfItsOwn>>
let database: TestDatabase
let cli: ReturnType<typeof against>
let dir: string
beforeAll(async () => {
  postgres = await serverOfItsOwn()
  database = await createTestDatabase()
  cli = against(database.url)
  dir = await mkdtemp(join(tmpdir(), 'valetkey-export-'))
  await ensureKeys(database.db, secrets)
  await recordSome(database.db, 3)
  await sealAll(database.db, secrets)
})
afterAll(async () => {
  await database.drop()
  await postgres?.stop()
  await rm(dir, { recursive: true, force: true })
})

describe('verify', () => {
  test('says what is proved, what is not yet, and the head', async () => {
    const { code, stdout } = await cli.run(['audit', 'verify'])

    expect(code).toBe(0)
    expect(stdout).toMatch(/^sealed +7 events in \d+ seals, none changed, removed or added$/m)
    expect(stdout).toMatch(/^not yet sealed +0$/m)
    expect(stdout).toMatch(/^head +[0-9a-f]{64}$/m)
  })

  test('takes a head of earlier, and misses one that is gone', async () => {
    const { head } = await cli.json<AuditReport>(['audit', 'verify'])
    await recordSome(database.db, 1)
    await sealAll(database.db, secrets)

    expect((await cli.run(['audit', 'verify', '--head', head!])).code).toBe(0)
    expect(await cli.run(['audit', 'verify', '--head', 'ab'.repeat(32)])).toEqual(
      failure(1, /no seal has the hash (ab){32}: the end of the chain was removed or made anew/),
    )
    expect(await cli.run(['audit', 'verify', '--head', 'latest'])).toEqual(
      failure(2, /64 hexadecimal digits/),
    )
  })

  test('refuses keys that the server does not have', async () => {
    const env = { SECRET_KEYS: 'another key of an operator who mistyped it' }

    expect(await cli.run(['audit', 'verify'], { env })).toEqual(failure(1, /SECRET_KEYS cannot decrypt/))
  })

  test('names the first event that was changed, and exits with 1', async () => {
    const own = await createTestDatabase()
    try {
      const there = against(own.url)
      await recordSome(own.db, 5)
      await sealAll(own.db, secrets)
      await tamper(own.db, sql`update audit_events set type = 'x' where id in (2, 4)`)

      expect(await there.run(['audit', 'verify'])).toEqual(
        failure(1, /^valetkey: event 2 was changed after it was sealed$/m),
      )
      const asJson = await there.run(['audit', 'verify', '--json'])
      expect(asJson).toMatchObject({ code: 1, stderr: 'valetkey: event 2 was changed after it was sealed\n' })
      expect(JSON.parse(asJson.stdout)).toMatchObject({
        ok: false,
        finding: { problem: 'row_changed', id: '2' },
      })

      await tamper(own.db, sql`delete from audit_events where id = 1`)
      expect(await there.run(['audit', 'verify'])).toEqual(
        failure(1, /event 1 was removed after it was sealed/),
      )
    } finally {
      await own.drop()
    }
  })
})

describe('export', () => {
  beforeEach(() => settled(database.db))

  test('writes CSV or JSON lines to standard output', async () => {
    const csv = await cli.run(['audit', 'export', '--format', 'csv', '--type', 'sign_out'])
    const jsonl = await cli.run(['audit', 'export', '--format', 'jsonl', '--type', 'sign_out'])

    expect(csv).toMatchObject({ code: 0, stderr: '' })
    expect(csv.stdout.split('\r\n')).toHaveLength(6)
    expect(jsonl.stdout.trimEnd().split('\n')).toHaveLength(4)
  })

  test('to a new file, that nobody else can read, and that is whole', async () => {
    const out = join(dir, 'events.csv')
    const args = ['audit', 'export', '--format', 'csv', '--actor', 'system', '--out', out]

    expect(await cli.json(args)).toEqual({ events: 4, file: out })

    expect((await readFile(out, 'utf8')).split('\r\n')).toHaveLength(6)
    expect((await stat(out)).mode & 0o777).toBe(0o600)
    expect(await readdir(dir)).toEqual(['events.csv'])
    expect(await cli.run(args)).toEqual(failure(1, /events\.csv exists already/))
    expect(await cli.run([...args.slice(0, -1), join(dir, 'none', 'x.csv')])).toEqual(
      failure(1, /cannot write .*ENOENT/),
    )
  })

  test('goes on after the last event of the one before', async () => {
    const ids = async (...args: string[]) => {
      const { stdout } = await cli.run(['audit', 'export', '--format', 'jsonl', ...args])
      return stdout
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line).id)
    }
    const all = await ids()

    expect(await ids('--after', '0')).toEqual(all)
    expect(await ids('--after', all.at(-3))).toEqual(all.slice(-2))
    expect(await cli.run(['audit', 'export', '--format', 'csv', '--after', '999999999'])).toEqual(
      failure(1, /There is no event 999999999 to go on after/),
    )
    expect(await cli.run(['audit', 'export', '--format', 'csv', '--after', 'x'])).toEqual(
      failure(2, /the number of an event/),
    )
  })

  test('is no document: --json goes with --out only', async () => {
    expect(await cli.run(['audit', 'export', '--format', 'csv', '--json'])).toEqual(
      failure(2, /--json goes with --out only/),
    )
  })

  describe('of 50,000 events of 2 kB', () => {
    beforeAll(async () => {
      await run(
        database.db,
        sql`insert into audit_events (type, actor_type, client_id, data)
            select 'client.changed', 'system', 'c_many', json_build_object('text', repeat(md5(n::text), 60), 'n', n)
            from generate_series(1, 50000) n`,
      )
    })

    // All of it is more than 100 MB; the command line itself needs some 30, and twice that while it starts.
    const SMALL = { NODE_OPTIONS: '--max-old-space-size=64' }

    test('fits into a process with little memory', async () => {
      const out = join(dir, 'many.jsonl')

      const ran = await cli.run(
        ['audit', 'export', '--format', 'jsonl', '--client', 'c_many', '--out', out],
        { env: SMALL },
      )

      expect(ran).toEqual({ code: 0, stdout: '', stderr: `50000 events in ${out}\n` })
      expect((await stat(out)).size).toBeGreaterThan(100_000_000)
    })

    test('verifying does, too', async () => {
      await sealAll(database.db, secrets)

      const ran = await cli.run(['audit', 'verify'], { env: SMALL })

      expect(ran).toMatchObject({ code: 0, stderr: '' })
      expect(ran.stdout).toMatch(/^sealed +50008 events in \d+ seals/m)
    })

    test('a reader that has seen enough is no failure', async () => {
      const child = spawn(process.execPath, [BIN, 'audit', 'export', '--format', 'csv'], {
        env: { ...BARE, DATABASE_URL: database.url, SECRET_KEYS },
      })
      child.stdout.once('data', () => child.stdout.destroy())

      expect(await ended(child)).toMatchObject({ code: 0, stderr: '' })
    })
  })
})

describe('list', () => {
  const types = async (...args: string[]) =>
    (await cli.json<{ type: string }[]>(['audit', 'list', '--limit', '3', ...args])).map(({ type }) => type)

  test('takes who did it, and from when to when', async () => {
    const tomorrow = new Date(Date.now() + 86_400_000).toISOString()

    expect(await types('--actor', 'user')).toEqual(['sign_out', 'sign_out', 'sign_out'])
    expect(await types('--actor', 'user:nobody')).toEqual([])
    expect(await types('--actor', 'system', '--type', 'key.created')).toHaveLength(3)
    expect(await types('--since', tomorrow)).toEqual([])
    expect(await types('--until', '2020-01-01')).toEqual([])
    expect(await types('--since', '2020-01-01', '--until', tomorrow)).toHaveLength(3)
  })

  test('a type that no event has is refused: it would look as if nothing had happened', async () => {
    expect(await cli.run(['audit', 'list', '--type', 'sign_in.fialed'])).toEqual(
      failure(2, /There is no such type; there are sign_in\.failed, sign_in\.limited, sign_in\.succeeded/),
    )
  })

  test.each([
    [['--actor', 'root'], /--actor .*user, client, cli or system/],
    [['--since', 'yesterday'], /--since .*a day or a time with its zone/],
    [['--since', '2026-11-22T20:00:00'], /with its zone/],
    [['--until', '2026-13-01'], /--until/],
  ] as [string[], RegExp][])('%j is a mistake', async (args, line) => {
    expect(await cli.run(['audit', 'list', ...args])).toEqual(failure(2, line))
  })
})
