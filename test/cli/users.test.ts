// valetkey users: accounts, their passwords, and what comes in on standard input.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { listEvents } from '../../src/core/audit/store.ts'
import { verifyPassword } from '../../src/core/users/password.ts'
import { findResetLink } from '../../src/core/users/reset-links.ts'
import { findCredentials } from '../../src/core/users/sign-in.ts'
import { findUserByEmail } from '../../src/core/users/store.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { against, failure } from './run.ts'

let database: TestDatabase
let cli: ReturnType<typeof against>
beforeAll(async () => {
  database = await createTestDatabase()
  cli = against(database.url)
})
afterAll(() => database.drop())

const PASSWORD = 'correct horse battery'

function create(email: string, ...more: string[]) {
  const args = ['users', 'create', '--email', email, '--name', 'Ada Lovelace', '--password-stdin', ...more]
  return cli.run(args, { input: `${PASSWORD}\n` })
}

async function passwordWorks(email: string, password: string): Promise<boolean> {
  return verifyPassword((await findCredentials(database.db, { email }))?.password_hash, password)
}

describe('create', () => {
  test('makes an account whose password came on standard input, and shows no password', async () => {
    const ran = await create('Ada@Example.com', '--admin', '--email-verified')

    expect(ran).toMatchObject({ code: 0, stderr: '' })
    expect(ran.stdout).toMatch(/^e-mail +ada@example\.com$/m)
    expect(ran.stdout).not.toContain(PASSWORD)
    const user = await findUserByEmail(database.db, 'ada@example.com')
    expect(user).toMatchObject({ name: 'Ada Lovelace', role: 'admin', email_verified: true })
    expect(await passwordWorks('ada@example.com', PASSWORD)).toBe(true)
  })

  test('--json prints the row', async () => {
    const { code, stdout } = await create('json@example.com', '--json')

    expect(code).toBe(0)
    const user = JSON.parse(stdout)
    expect(user).toMatchObject({
      email: 'json@example.com',
      role: 'user',
      email_verified: false,
      disabled_at: null,
    })
    expect(Object.keys(user).filter((key) => key.includes('password'))).toEqual([])
  })

  test('writes who did it into the audit trail', async () => {
    const [event] = await listEvents(database.db, { type: 'user.created', limit: 1 })

    expect(event).toMatchObject({ actor_type: 'cli', actor_id: expect.stringMatching(/./) })
  })

  test('takes everything but the line end of standard input as the password', async () => {
    const password = ' spaces around, and ünïcode '
    const args = ['users', 'create', '--email', 'spaces@example.com', '--name', 'S', '--password-stdin']

    await cli.run(args, { input: `${password}\r\n` })

    expect(await passwordWorks('spaces@example.com', password)).toBe(true)
  })

  test('refuses an address that is taken', async () => {
    await create('twice@example.com')

    expect(await create('TWICE@example.com')).toEqual(failure(1, /twice@example\.com has an account already/))
  })

  test.each([
    [
      'an address that is none',
      ['--email', 'ada', '--name', 'Ada'],
      1,
      /email: is not an e-mail address, e\.g\./,
    ],
    ['an empty name', ['--email', 'a@example.com', '--name', ' '], 1, /name: is missing, e\.g\./],
    [
      'a name that steers a terminal',
      ['--email', 'a@example.com', '--name', 'A\x1b[2J'],
      1,
      /name: holds control/,
    ],
    ['no name', ['--email', 'a@example.com'], 2, /required option '--name <name>'/],
    [
      'a password as an argument',
      ['--email', 'a@example.com', '--name', 'A', '--password', 'x'],
      2,
      /unknown option/,
    ],
  ])('refuses %s', async (_, args, code, line) => {
    const ran = await cli.run(['users', 'create', ...args, '--password-stdin'], { input: PASSWORD })

    expect(ran).toEqual(failure(code as number, line as RegExp))
  })

  test.each([
    ['nothing', '', /no password came/],
    ['a short password', 'short\n', /Use at least 8 characters/],
    ['two lines', 'correct horse\nbattery staple\n', /more than one line/],
    ['what is not text', Buffer.from([0xff, 0xfe, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80]), /not UTF-8/],
    ['a file', 'x'.repeat(100_000), /too long/],
  ])('refuses %s on standard input, and makes no account', async (_, input, line) => {
    const args = ['users', 'create', '--email', 'nobody@example.com', '--name', 'N', '--password-stdin']

    expect(await cli.run(args, { input })).toEqual(failure(1, line as RegExp))
    expect(await findUserByEmail(database.db, 'nobody@example.com')).toBeUndefined()
  })

  test('does not take a password from standard input unasked', async () => {
    const args = ['users', 'create', '--email', 'nobody@example.com', '--name', 'N']

    expect(await cli.run(args, { input: PASSWORD })).toEqual(failure(2, /--password-stdin/))
  })
})

describe('list', () => {
  test('shows aligned columns, oldest first', async () => {
    const { code, stdout } = await cli.run(['users', 'list'])

    expect(code).toBe(0)
    const [head, first, second] = stdout.split('\n')
    expect(head).toMatch(/^ID +E-MAIL +NAME +ROLE +CREATED +LAST SIGN-IN +DISABLED$/)
    expect(first).toContain('ada@example.com')
    expect(first!.indexOf('ada@')).toBe(head!.indexOf('E-MAIL'))
    expect(second!.indexOf('json@')).toBe(head!.indexOf('E-MAIL'))
    expect(first).toMatch(/ \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ /)
  })

  test('goes on after the last one of a page, and says how', async () => {
    const page = await cli.run(['users', 'list', '--limit', '1'])
    const [, id] = /^more: --after (\S+)\n$/.exec(page.stderr) ?? []

    const rest = await cli.json<{ email: string }[]>(['users', 'list', '--after', id!])

    expect(page.stdout).toContain('ada@example.com')
    expect(rest.map((user) => user.email)).toEqual(expect.arrayContaining(['json@example.com']))
    expect(rest.map((user) => user.email)).not.toContain('ada@example.com')
  })

  test('the last page has no next one', async () => {
    const all = await cli.json<unknown[]>(['users', 'list'])

    const page = await cli.run(['users', 'list', '--limit', `${all.length}`])

    expect(page).toMatchObject({ code: 0, stderr: '' })
  })

  test('refuses a cursor that is nobody', async () => {
    expect(await cli.run(['users', 'list', '--after', 'nobody'])).toEqual(
      failure(1, /no account has .*"nobody"/),
    )
  })
})

describe('disable and enable', () => {
  test('by e-mail address, whatever its case; twice does no harm', async () => {
    await create('gone@example.com')

    const first = await cli.json(['users', 'disable', 'GONE@example.com'])
    const again = await cli.run(['users', 'disable', 'gone@example.com'])

    expect(first).toMatchObject({ email: 'gone@example.com', disabled_at: expect.stringMatching(/Z$/) })
    expect(again).toMatchObject({ code: 0, stdout: 'gone@example.com was disabled already\n' })
  })

  test('enable by id', async () => {
    const user = await findUserByEmail(database.db, 'gone@example.com')

    const { code } = await cli.run(['users', 'enable', user!.id])

    expect(code).toBe(0)
    expect(await findUserByEmail(database.db, 'gone@example.com')).toMatchObject({ disabled_at: null })
  })

  test.each(['nobody@example.com', '00000000-0000-4000-8000-000000000000', "' or true --", 'x'])(
    'refuses %s, whom nobody knows',
    async (who) => {
      expect(await cli.run(['users', 'disable', who])).toEqual(
        failure(1, /no account has the e-mail address or id/),
      )
    },
  )
})

describe('set-password', () => {
  test('sets the one from standard input', async () => {
    await create('new@example.com')

    const args = ['users', 'set-password', 'new@example.com', '--password-stdin']
    const ran = await cli.run(args, { input: 'another password' })

    expect(ran).toMatchObject({ code: 0, stderr: '' })
    expect(await passwordWorks('new@example.com', PASSWORD)).toBe(false)
    expect(await passwordWorks('new@example.com', 'another password')).toBe(true)
  })

  test('an unknown address is told before a password is asked for', async () => {
    const ran = await cli.run(['users', 'set-password', 'nobody@example.com', '--password-stdin'])

    expect(ran).toEqual(failure(1, /no account has .*"nobody@example\.com"/))
  })

  test('a password as an argument is refused and not repeated', async () => {
    const ran = await cli.run(['users', 'set-password', 'new@example.com', PASSWORD])

    expect(ran).toEqual(failure(2, /too many arguments/))
    expect(ran.stderr).not.toContain(PASSWORD)
  })
})

describe('withdraw-reset', () => {
  test('ends the link that was made, and says so when there is none', async () => {
    await create('linked@example.com')
    const { link } = await cli.json<{ link: string }>(['users', 'send-reset', 'linked@example.com'])
    expect(link).toContain('/reset/')

    const first = await cli.json(['users', 'withdraw-reset', 'linked@example.com'])
    const again = await cli.run(['users', 'withdraw-reset', 'linked@example.com'])

    expect(first).toMatchObject({ email: 'linked@example.com', withdrawn: true })
    expect(again.stdout).toBe('the link of linked@example.com was used, or is over\n')
    expect(await findResetLink(database.db, link.split('/').at(-1)!)).toBeUndefined()
  })
})
