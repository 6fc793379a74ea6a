// What a person at a terminal is asked. The terminal is a real one, made by script(1) of util-linux.

import { spawn, spawnSync } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { SYSTEM } from '../../src/base/audit-events.ts'
import { createClient } from '../../src/core/clients/create.ts'
import { findClient } from '../../src/core/clients/store.ts'
import { verifyPassword } from '../../src/core/users/password.ts'
import { findCredentials } from '../../src/core/users/sign-in.ts'
import { createUser, findUserByEmail } from '../../src/core/users/store.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { BARE } from '../support/environment.ts'
import { BIN, SECRET_KEYS } from './run.ts'

const SCRIPT = 'script'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())

/** Answers each question as it appears. @returns the exit code and all that the terminal showed. */
function atTerminal(args: string[], answers: [question: string, keys: string][]) {
  const command = [process.execPath, BIN, ...args].map((word) => `'${word}'`).join(' ')
  const env = { ...BARE, DATABASE_URL: database.url, SECRET_KEYS }
  const child = spawn(SCRIPT, ['--quiet', '--return', '--command', command, '/dev/null'], { env })
  const left = [...answers]
  let shown = ''
  let seen = 0
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    shown += text
    const [next] = left
    const at = next ? shown.indexOf(next[0], seen) : -1
    if (at < 0) return
    left.shift()
    seen = at + next![0].length
    child.stdin.write(next![1])
  })
  return new Promise<{ code: number | null; shown: string }>((resolve) => {
    child.once('close', (code) => resolve({ code, shown }))
  })
}

const hasScript = spawnSync(SCRIPT, ['--version'], { encoding: 'utf8' }).stdout?.includes('util-linux')
const onTerminal = hasScript ? describe : describe.skip

onTerminal('a new password', () => {
  const create = (email: string) => ['users', 'create', '--email', email, '--name', 'Ada']

  test('is asked for twice and never shown', async () => {
    const { code, shown } = await atTerminal(create('ada@example.com'), [
      ['Password: ', 'correct horsX\x7fe battery\r'],
      ['Again: ', 'correct horse battery\r'],
    ])

    expect(code).toBe(0)
    expect(shown).toContain('ada@example.com')
    expect(shown).not.toContain('horse')
    const { password_hash } = (await findCredentials(database.db, { email: 'ada@example.com' }))!
    expect(await verifyPassword(password_hash, 'correct horse battery')).toBe(true)
  })

  test('may be pasted together with its repetition', async () => {
    const twice = 'correct horse battery\rcorrect horse battery\r'

    const { code, shown } = await atTerminal(create('paste@example.com'), [['Password: ', twice]])

    expect({ code, shown }).toMatchObject({ code: 0, shown: expect.not.stringContaining('horse') })
  })

  test('that is typed differently the second time is refused', async () => {
    const { code, shown } = await atTerminal(create('typo@example.com'), [
      ['Password: ', 'correct horse battery\r'],
      ['Again: ', 'correct house battery\r'],
    ])

    expect(code).toBe(1)
    expect(shown).toContain('valetkey: the two passwords differ')
    expect(await findUserByEmail(database.db, 'typo@example.com')).toBeUndefined()
  })

  test('can be broken off with Ctrl-C', async () => {
    const user = await createUser(database.db, { email: 'stop@example.com', name: 'S' }, SYSTEM)

    const { code, shown } = await atTerminal(
      ['users', 'set-password', user.email],
      [['Password: ', 'corr\x03']],
    )

    expect(code).toBe(130)
    expect(shown).toContain('valetkey: interrupted')
  })
})

onTerminal('deleting a client', () => {
  test.each([
    ['no', '\r', 1, true],
    ['yes', 'y\r', 0, false],
  ] as const)('asks, and %s means it', async (_, keys, exit, stays) => {
    const registration = { name: 'Photo Printer', redirect_uris: ['https://app.example/cb'] }
    const { client } = await createClient(database.db, { ...registration, type: 'web' }, SYSTEM)

    const { code, shown } = await atTerminal(['clients', 'delete', client.id], [['[y/N] ', keys]])

    expect(code).toBe(exit)
    expect(shown).toContain(`Delete Photo Printer (${client.id})?`)
    expect((await findClient(database.db, client.id)) !== undefined).toBe(stays)
  })

  test('is not done when the question is broken off', async () => {
    const registration = { name: 'Photo Printer', redirect_uris: ['https://app.example/cb'] }
    const { client } = await createClient(database.db, { ...registration, type: 'web' }, SYSTEM)

    const { code } = await atTerminal(['clients', 'delete', client.id], [['[y/N] ', '\x03']])

    expect(code).toBe(1)
    expect(await findClient(database.db, client.id)).toBeDefined()
  })
})

onTerminal('a decision', () => {
  test('is made about what was shown', async () => {
    const redirect_uris = ['https://app.example/cb']
    const { client } = await createClient(
      database.db,
      { name: 'Decided', type: 'spa', redirect_uris },
      SYSTEM,
    )
    const verify = ['clients', 'verify', client.id]

    const no = await atTerminal(verify, [['Verify this? [y/N] ', 'n\r']])
    expect([no.code, (await findClient(database.db, client.id))!.verified_at]).toEqual([1, null])
    expect(no.shown).toContain('https://app.example/cb')
    const yes = await atTerminal(verify, [['Verify this? [y/N] ', 'y\r']])

    expect([yes.code, (await findClient(database.db, client.id))!.verified_at]).toEqual([0, expect.any(Date)])
  })
})
