// The disk is full: first rows find no place, then the log of the database, which stops and cannot start until there is room.
import { execFileSync } from 'node:child_process'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { run, sql } from '../../src/db/pool.ts'
import { type Scenario, untilWritable } from '../drill.ts'

let mounted = ''

export const fullDisk: Scenario = {
  name: 'full-disk',
  about:
    'PostgreSQL on a file system in memory (tmpfs) that a file fills for 8 s, without and with a new segment of its log',
  async cannot() {
    const { dir, remove } = await mount(1).catch(() => ({ dir: '', remove: async () => {} }))
    await remove()
    return dir ? undefined : 'no file system may be mounted here'
  },
  async place() {
    const made = await mount(300)
    mounted = made.dir
    return made
  },
  async run({ cluster, quick, fault }) {
    const file = join(mounted, 'filler')
    for (const alsoLog of quick ? [true] : [false, true, true]) {
      await fault(async () => {
        await fill(file)
        if (alsoLog)
          for (let i = 0; i < 20; i++) await run(cluster.db, sql`select pg_switch_wal()`).catch(() => {})
        await sleep(quick ? 5_000 : 8_000)
        await rm(file)
        await untilWritable(cluster)
      })
    }
  },
}

async function mount(mebibytes: number): Promise<{ dir: string; remove(): Promise<void> }> {
  const dir = await mkdtemp(join(tmpdir(), 'valetkey-drill-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m,mode=0711`, 'tmpfs', dir], {
      stdio: 'pipe',
    })
  } catch (error) {
    await rm(dir, { recursive: true })
    throw error
  }
  return {
    dir,
    async remove() {
      execFileSync('umount', [dir])
      await rm(dir, { recursive: true })
    },
  }
}

async function fill(path: string): Promise<void> {
  const file = await open(path, 'w')
  try {
    for (const size of [1 << 20, 4096]) {
      const block = Buffer.alloc(size)
      for (;;) await file.write(block)
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  } finally {
    await file.close()
  }
}
