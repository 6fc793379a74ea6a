// An earlier version serves, and is replaced node by node: the first new one migrates while the old one goes on.
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Scenario } from '../drill.ts'

const ROOT = join(import.meta.dirname, '../..')

/** @param from what is upgraded; absent: the last tag, or the state before the newest migration. */
export function upgrade(from = lastVersion()): Scenario {
  return {
    name: 'upgrade',
    about: `both nodes of ${describe(from)} replaced by this version, one after the other, under load; clients follow \`/readyz\``,
    choice: 'ready',
    async version() {
      const dir = await mkdtemp(join(tmpdir(), 'valetkey-earlier-'))
      const archive = git('archive', from, 'src', 'migrations', 'views', 'public', 'package.json')
      execFileSync('tar', ['-x', '-C', dir], { input: archive })
      await symlink(join(ROOT, 'node_modules'), join(dir, 'node_modules'))
      return { dir, remove: () => rm(dir, { recursive: true, force: true }) }
    },
    async run({ cluster, fault }) {
      for (const node of cluster.nodes) {
        await fault(async () => {
          await node.stop()
          await node.start()
        })
      }
    },
  }
}

function lastVersion(): string {
  const tags = git('tag', '--merged', 'HEAD', '--sort=-creatordate').toString().trim()
  if (tags) return tags.split('\n')[0]!
  const newest = git('log', '-1', '--diff-filter=A', '--format=%H', '--', 'migrations').toString().trim()
  return `${newest}^`
}

function describe(ref: string): string {
  return git('log', '-1', '--format=%h (%cs)', ref).toString().trim()
}

function git(...args: string[]): Buffer {
  return execFileSync('git', ['-C', ROOT, ...args], { maxBuffer: 1 << 28 })
}
