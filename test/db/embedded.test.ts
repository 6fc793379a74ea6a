// The embedded PostgreSQL: safe on disk, shared by whoever needs it, and left to nobody when a server is killed.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { startEmbedded, THROW_AWAY } from '../../src/db/embedded.ts'
import { one, openPool, run, sql } from '../../src/db/pool.ts'
import { until } from '../support/patience.ts'

let dataDir: string
beforeEach(async () => {
  dataDir = join(await mkdtemp(join(tmpdir(), 'valetkey-embedded-')), 'data')
})
afterEach(() => rm(join(dataDir, '..'), { recursive: true, force: true }))

const start = () => startEmbedded(dataDir, { settings: THROW_AWAY })

test('a second start finds what the first one left, and nobody else may look at it', async () => {
  const first = await start()
  await inDatabase(first.url, (db) => run(db, sql`create table kept as select 42 as answer`))
  await first.stop()
  expect(await postmaster()).toBeUndefined()

  const second = await start()
  const { answer } = await inDatabase(second.url, (db) =>
    one<{ answer: number }>(db, sql`select answer from kept`),
  )
  await second.stop()

  expect(answer).toBe(42)
  expect(second.url).toBe(first.url)
  for (const [path, mode] of [
    ['', 0o700],
    ['postgres', 0o700],
    ['postgres/cluster', 0o700],
    ['postgres/password', 0o600],
    ['postgres/log', 0o600],
  ] as const) {
    expect([path, (await stat(join(dataDir, path))).mode & 0o777]).toEqual([path, mode])
  }
})

test('a wrong password does not open it, not even for the same system user', async () => {
  const embedded = await start()
  const url = new URL(embedded.url)
  url.password = 'guess'

  await expect(inDatabase(url.href, (db) => one(db, sql`select 1`))).rejects.toThrow(
    'password authentication failed',
  )

  await embedded.stop()
})

test('three starts on an empty folder share one server, and the last to leave stops it', async () => {
  const all = await Promise.all([start(), start(), start()])
  const pid = await postmaster()
  expect(new Set(all.map(({ url }) => url)).size).toBe(1)
  expect((await readdir(dataDir)).sort()).toEqual(['postgres'])

  const [last, ...others] = all
  await Promise.all(others.map(({ stop }) => stop()))
  expect(await postmaster()).toBe(pid)
  expect(await inDatabase(last!.url, (db) => one(db, sql`select 1 as up`))).toEqual({ up: 1 })

  await last!.stop()
  expect(await postmaster()).toBeUndefined()
})

test('the database of a killed server is taken over by the next start, which stops it in the end', async () => {
  const server = spawn(process.execPath, ['--input-type=module', '-e', HOLD_FOR_EVER, dataDir])
  await once(server.stdout, 'data')
  const pid = await postmaster()
  server.kill('SIGKILL')
  await once(server, 'exit')
  expect(pid).toBeDefined()
  expect(await postmaster()).toBe(pid)

  const next = await start()
  expect(await postmaster()).toBe(pid)
  await next.stop()

  expect(await postmaster()).toBeUndefined()
})

test('a file left by a crash does not keep it from starting, whoever has that process number now', async () => {
  await (await start()).stop()
  await writeFile(pidFile(), `${process.pid}\n`, { mode: 0o600 })

  const embedded = await start()

  expect(await postmaster()).not.toBe(process.pid)
  await embedded.stop()
})

test('when it dies while in use it comes back at the same address', async () => {
  const embedded = await start()
  const pid = (await postmaster())!
  process.kill(pid, 'SIGKILL')

  await until(async () => ((await postmaster()) ?? pid) !== pid)
  await until(() => inDatabase(embedded.url, (db) => one(db, sql`select 1`)).then(Boolean, () => false))

  await embedded.stop()
  expect(await postmaster()).toBeUndefined()
})

const HOLD_FOR_EVER = `
  const { startEmbedded } = await import(${JSON.stringify(join(import.meta.dirname, '../../src/db/embedded.ts'))})
  await startEmbedded(process.argv[1])
  process.stdout.write('up')
  setInterval(() => {}, 1000)
`

const pidFile = () => join(dataDir, 'postgres', 'cluster', 'postmaster.pid')

/** The process number of the server of this folder, if there is one and it lives. */
async function postmaster(): Promise<number | undefined> {
  if (
    !(await access(pidFile()).then(
      () => true,
      () => false,
    ))
  )
    return undefined
  const pid = Number((await readFile(pidFile(), 'utf8')).split('\n')[0])
  try {
    process.kill(pid, 0)
    return pid
  } catch {
    return undefined
  }
}

async function inDatabase<T>(url: string, work: (db: ReturnType<typeof openPool>) => Promise<T>): Promise<T> {
  const db = openPool(url, 1)
  try {
    return await work(db)
  } finally {
    await db.close()
  }
}
