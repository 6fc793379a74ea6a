import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, test } from '@jest/globals'

test('a quick run measures every row on both servers and leaves nothing behind', async () => {
  const before = benchFolders()

  const { code, output } = await bench('--quick', '--seconds', '0.1', '--connections', '4')

  expect(output).toContain('| remove app | ')
  expect(code).toBe(0)
  for (const row of ['client credentials', 'introspection', 'code exchange', 'refresh with rotation']) {
    expect(output).toMatch(new RegExp(`\\| ${row} \\| [\\d,.]+ \\| [\\d,.]+ \\| \\*\\*\\d+\\.\\d\\d\\*\\*`))
  }
  expect(benchFolders()).toEqual(before)
})

test('a full database is compared with an empty one', async () => {
  const { code, output } = await bench('--quick', '--seconds', '0.1', '--connections', '4', '--rows', '2000')

  expect(output).toMatch(/\| introspection \| [\d,.]+ \| [\d,.]+ \| \*\*\d+\.\d\d\*\*/)
  expect(output).toContain('| tokens of the app | median ms |')
  expect(code).toBe(0)
})

test('a row that is not there is one clear line', async () => {
  const { code, output } = await bench('--only', 'everything')

  expect(output).toBe('The bench stops: there is no row everything\n')
  expect(code).toBe(1)
})

async function bench(...options: string[]): Promise<{ code: number; output: string }> {
  const child = spawn(process.execPath, ['bench/main.ts', ...options], { stdio: ['ignore', 'pipe', 'pipe'] })
  const [[code], out, err] = await Promise.all([once(child, 'exit'), text(child.stdout), text(child.stderr)])
  return { code, output: out + err }
}

function benchFolders(): string[] {
  return readdirSync(tmpdir())
    .filter((name) => name.startsWith('valetkey-bench-'))
    .map((name) => join(tmpdir(), name))
}
