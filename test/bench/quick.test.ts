import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, jest, test } from '@jest/globals'

// A run may take long while the other tests take the processor.
jest.setTimeout(900_000)

test('a short run measures every row on both servers and leaves nothing behind', async () => {
  const temporary = await mkdtemp(join(tmpdir(), 'bench-test-'))

  const { code, output } = await bench(temporary, '--quick', '--connections', '2', '--seconds', '0.05')

  expect(output).toContain('| remove app | ')
  expect(code).toBe(0)
  for (const row of ['client credentials', 'introspection', 'code exchange', 'refresh with rotation']) {
    expect(output).toMatch(new RegExp(`\\| ${row} \\| [\\d,.]+ \\| [\\d,.]+ \\| \\*\\*\\d+\\.\\d\\d\\*\\*`))
  }
  expect(await readdir(temporary)).toEqual([])
  await rm(temporary, { recursive: true })
})

test('a full database is compared with an empty one', async () => {
  const rows = [
    '--rows',
    '2000',
    '--only',
    'remove-app',
    '--quick',
    '--connections',
    '2',
    '--seconds',
    '0.05',
  ]

  const { code, output } = await bench(tmpdir(), ...rows)

  expect(output).toMatch(/\| remove app \| [\d,.]+ \| [\d,.]+ \| \*\*\d+\.\d\d\*\*/)
  expect(output).toContain('| tokens of the app | median ms |')
  expect(code).toBe(0)
})

test('the administrators’ pages are timed', async () => {
  const { code, output } = await bench(tmpdir(), '--console', '--quick')

  expect(output).toMatch(/\| audit log \| `\/admin\/audit` \| [\d.]+ \| [\d.]+ \|/)
  expect(code).toBe(0)
})

test('what strangers leave behind is counted', async () => {
  const { code, output } = await bench(tmpdir(), '--strangers', '--quick', '--connections', '2')

  expect(output).toMatch(/\| `\/par`, public client, 4 kB \| [\d,]+ \| [\d,]+ \| [\d,]+ \| [\d,]+ \|/)
  expect(output).toMatch(/\| an account renames itself \|/)
  expect(code).toBe(0)
})

test('a row that is not there is one clear line', async () => {
  const { code, output } = await bench(tmpdir(), '--only', 'everything')

  expect(output).toBe('The bench stops: there is no row everything\n')
  expect(code).toBe(1)
})

async function bench(temporary: string, ...options: string[]): Promise<{ code: number; output: string }> {
  const child = spawn(process.execPath, ['bench/main.ts', ...options], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TMPDIR: temporary },
  })
  const [[code], out, err] = await Promise.all([once(child, 'exit'), text(child.stdout), text(child.stderr)])
  return { code, output: out + err }
}
