// Each request of test/races/cut.test.ts with a connection that breaks at every place and in every way. A run of the tests tries
// each place in one way only.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

/** What it is about, for the list of scenarios and the page. */
export const ABOUT =
  'each request of `test/races/cut.test.ts`, its connection broken before, after and in the middle of each statement’s answer, alone and with all others'

const ROOT = join(import.meta.dirname, '..')

/** Runs it. @returns how many requests stood it in how many ways, and what jest said of those that did not */
export async function everyPlace(): Promise<{ passed: number; failed: number; output: string }> {
  const jest = join(ROOT, 'node_modules/jest/bin/jest.js')
  const args = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning', jest]
  const child = spawn(process.execPath, [...args, '--maxWorkers=1', 'test/races/cut.test.ts'], {
    cwd: ROOT,
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, CUT: 'all', NO_COLOR: '1' },
  })
  const [output] = await Promise.all([text(child.stderr), once(child, 'exit')])
  const count = (what: string) => Number(new RegExp(`^Tests: .*?(\\d+) ${what}`, 'm').exec(output)?.[1] ?? 0)
  // A file that does not even load is a failure, too.
  const failed = child.exitCode === 0 ? 0 : Math.max(1, count('failed'))
  return { passed: count('passed'), failed, output }
}
