// `npm run demo` as a whole: a real process, a real database, every HTTP step.
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, expect, test } from '@jest/globals'
import { startDemoProcess } from './process.ts'

let output: string
let code: number | null

beforeAll(async () => {
  const demo = await startDemoProcess(['--walk'])
  code = await demo.ended()
  output = demo.output()
})

test('the walk goes from signing in to access that is over, and says so', () => {
  expect(output).toMatch(/^ 1 {2}GET {2}http:\/\/localhost:\d+\/ → 200 “Photo Printer”/m)
  expect(output).toMatch(
    /Photo Printer shows Jamie Doe, you@example\.com and the photos Sunrise over the bay/,
  )
  expect(output).toMatch(/Photo Printer: POST \S+\/prints .*→ 403 insufficient_scope/)
  expect(output).toMatch(/Photos API: POST \S+\/introspect .*→ 200 active=false/)
  expect(output).toMatch(/Photo Printer: GET \S+\/photos .*→ 401 invalid_token/)
  expect(output).toMatch(
    /Photo Printer: POST \S+\/token .*grant_type=refresh_token → 400 error=invalid_grant/,
  )
  expect(output).toMatch(/The API refused the app \d{1,3} ms after the access was removed/)
  expect(output).toMatch(
    /“Your access was removed\. Valetkey said invalid_grant\. Sign in again to reconnect\.”/,
  )
  expect(output.trimEnd()).toMatch(/\nThe walk is complete: \d+ steps, access removed and really over\.$/)
  expect(code).toBe(0)
})

test('the walk never prints a secret, a token or a code in full', () => {
  const shown = output.match(/vk_[a-z]{2}_\w+/g) ?? []
  expect(shown.length).toBeGreaterThan(5)
  expect(shown.filter((credential) => credential.length > 10)).toEqual([])
})

test('a port in use gives one clear line', async () => {
  const other = createServer()
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  const { port } = other.address() as { port: number }

  const demo = await startDemoProcess([`--app-port=${port}`])

  expect(await demo.ended()).toBe(1)
  expect(demo.output()).toBe(
    `Port ${port} (Photo Printer) is in use. Stop the program that uses it, or choose another: --app-port PORT\n`,
  )
  other.close()
})

test('an unknown option is refused with the ones there are', async () => {
  const demo = await startDemoProcess(['--wallk'])

  expect(await demo.ended()).toBe(1)
  expect(demo.output()).toMatch(/'--wallk'/)
  expect(demo.output()).toMatch(/--walk +go through the demo without a browser/)
})

test.each(['SIGINT', 'SIGTERM'] as const)('%s ends the demo and leaves nothing behind', async (signal) => {
  const temporary = await mkdtemp(join(tmpdir(), 'demo-test-'))
  const demo = await startDemoProcess([], { TMPDIR: temporary })
  await demo.printed(/Ctrl-C stops everything/)
  expect(await readdir(temporary)).not.toEqual([])

  demo.process.kill(signal)

  expect(await demo.ended()).toBe(0)
  expect(await readdir(temporary)).toEqual([])
  await rm(temporary, { recursive: true })
})
