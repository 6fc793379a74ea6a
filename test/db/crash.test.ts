// A PostgreSQL that crashes in the middle of a transaction, of its own, because a crash ends the sessions of everybody.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { type Embedded, startEmbedded } from '../../src/db/embedded.ts'
import { DatabaseUnavailable } from '../../src/db/errors.ts'
import { type Db, many, one, openPool, type Pool, run, sql, tx } from '../../src/db/pool.ts'
import { inOneOfFive, until, untilPasses } from '../support/patience.ts'

let dataDir: string
let embedded: Embedded
let db: Pool
let others: Pool
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'valetkey-crash-'))
  // What is not committed does not reach the disk by itself.
  embedded = await startEmbedded(dataDir, {
    settings: { wal_writer_delay: '10s', wal_level: 'minimal', max_wal_senders: '0' },
  })
  db = openPool(embedded.url, 4, 5)
  others = openPool(embedded.url, 4, 5)
  await run(db, sql`create table notes (text text not null)`)
})
afterAll(async () => {
  await others?.close()
  await db?.close()
  await embedded?.stop()
  await rm(dataDir, { recursive: true, force: true })
})

test('a transaction whose number went to another one after a crash is not taken for that one', async () => {
  const { mine, theirs, thrown } = await inOneOfFive(async () => {
    const crashed = await crashedTransaction()
    // Where PostgreSQL wrote before it crashed, the number is not given away, and nothing is proved.
    expect(crashed.theirs).toBe(crashed.mine)
    return crashed
  })

  expect(thrown).toBeInstanceOf(DatabaseUnavailable)
  expect(theirs).toBe(mine)
  expect(await many(db, sql`select text from notes where text = 'mine'`)).toEqual([])
})

/** A transaction in which PostgreSQL crashes, its number, that of the next one, and what came of it. */
async function crashedTransaction() {
  let mine: string | undefined
  let theirs: string | undefined
  const thrown = await tx(db, async (t) => {
    await run(t, sql`insert into notes values ('mine')`)
    mine = await numberOf(t)
    await crash(t)
    theirs = await tx(others, async (o) => {
      await run(o, sql`insert into notes values ('theirs')`)
      return numberOf(o)
    })
    // So that the outcome can be asked for at once.
    await untilPasses(() => many(db, sql`select from notes`))
  }).catch((error: unknown) => error)
  return { mine, theirs, thrown }
}

async function numberOf(db: Db): Promise<string> {
  return (await one<{ number: string }>(db, sql`select pg_current_xact_id()::text as number`)).number
}

/** Kills the process behind a transaction: PostgreSQL ends all sessions and recovers. Resolves when it takes writes again. */
async function crash(t: Db): Promise<void> {
  const { pid } = await one<{ pid: number }>(t, sql`select pg_backend_pid() as pid`)
  const before = await sessions()
  process.kill(pid, 'SIGKILL')
  await until(async () => (await sessions().catch(() => before)) !== before)
}

/** Another one after each crash, because that ends the process in which others read. */
async function sessions(): Promise<number> {
  return (await one<{ pid: number }>(others, sql`select pg_backend_pid() as pid`)).pid
}
