// The command line as a whole: help, one clear line for every kind of failure, and the exit codes.

import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { Command } from 'commander'
import { program } from '../../src/cli/index.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { against, failure, inOneProcess, SECRET_KEYS, valetkey } from './run.ts'

let database: TestDatabase
let empty: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
  empty = await createTestDatabase({ empty: true })
})
afterAll(async () => {
  await database.drop()
  await empty.drop()
})

const COMMANDS: Record<string, string[]> = {
  migrate: ['status', 'up'],
  users: ['create', 'list', 'disable', 'enable', 'role', 'set-password', 'send-reset', 'withdraw-reset'],
  clients: [
    ...[
      'create',
      'list',
      'show',
      'suspend',
      'resume',
      'delete',
      'unblock',
      'update',
      'apply',
      'export',
      'approve',
      'reject',
      'verify',
    ],
    ...['secrets list', 'secrets add', 'secrets revoke', 'rotate-secret'],
  ],
  'registration-tokens': ['create', 'list', 'revoke'],
  resources: ['create', 'update', 'show', 'list'],
  grants: ['list', 'revoke'],
  keys: ['list', 'rotate'],
  audit: ['list', 'verify', 'export'],
}

describe('help', () => {
  test('marks what must be given', async () => {
    const { stdout } = await valetkey(['clients', 'reject', '--help'])

    expect(stdout).toMatch(/--reason <text> +why, in words for its owners \(required\)\n/)
    expect(stdout).toMatch(/--json +print one JSON document\n/)
  })

  test('goes to standard output and names every noun', async () => {
    const { code, stdout, stderr } = await valetkey(['--help'])

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    for (const noun of ['serve', ...Object.keys(COMMANDS)])
      expect(stdout).toMatch(new RegExp(`^  ${noun} `, 'm'))
  })

  test('of one command says how it is used', async () => {
    const { code, stdout, stderr } = await valetkey(['clients', 'delete', '--help'])

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^Usage: valetkey clients delete \[options\] <id>$/m)
  })

  test('every command is there, and every one has --json', () => {
    const [serve, ...nouns] = program(async () => 0).commands

    expect(
      Object.fromEntries(nouns.map((noun) => [noun.name(), leavesOf(noun).map(([name]) => name)])),
    ).toEqual(COMMANDS)
    const leaves = [serve!, ...nouns.flatMap((noun) => leavesOf(noun).map(([, leaf]) => leaf))]
    for (const leaf of leaves) expect(leaf.options.map(({ long }) => long)).toContain('--json')
  })

  test('docs/cli.md has an example of every command', async () => {
    const page = await readFile(join(import.meta.dirname, '..', '..', 'docs', 'cli.md'), 'utf8')
    const all = Object.entries(COMMANDS).flatMap(([noun, names]) => names.map((name) => `${noun} ${name}`))

    const missing = ['serve', ...all].filter(
      (words) => !new RegExp(`^\\$ .*valetkey ${words}\\b`, 'm').test(page),
    )
    expect(missing).toEqual([])
  })

  test('--version says which one', async () => {
    expect((await valetkey(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  })
})

/** The commands below a noun, those of a group in it by both their names. */
function leavesOf(noun: Command): [string, Command][] {
  return noun.commands.flatMap((each) =>
    each.commands.length > 0
      ? leavesOf(each).map(([name, leaf]): [string, Command] => [`${each.name()} ${name}`, leaf])
      : [[each.name(), each] as [string, Command]],
  )
}

describe('a mistake in the command line exits with 2 and one line', () => {
  test.each([
    [[], /which command\? See: valetkey --help/],
    [['usres'], /unknown command "usres"/],
    [
      ['users'],
      /users: which command\? There are: create, list, disable, enable, role, set-password, send-reset, withdraw-reset/,
    ],
    [['users', 'lsit'], /users: unknown command "lsit"/],
    [['users', 'list', '--limt', '1'], /unknown option '--limt'/],
    [['users', 'list', '--limit', '0'], /--limit .* from 1 to 1000/],
    [['users', 'list', '--limit', '1e2'], /--limit/],
    [['users', 'disable'], /missing required argument/],
    [['audit', 'list', '--after', 'x'], /--after takes the number of an event/],
    [['users', 'list', '--after', '1.x'], /--after .* is invalid\. It is an id/],
    [['registration-tokens', 'list', '--after', '1.x'], /--after .* is invalid\. It is an id/],
    [['evil\x1b[2J\nsecond line'], /unknown command/],
  ] as [string[], RegExp][])('%j', async (args, line) => {
    expect(await valetkey(args)).toEqual(failure(2, line))
  })
})

test('commands one after another in one process leave nothing behind in the test', async () => {
  const resident = inOneProcess(database.url)
  try {
    const listeners = () => resident.child.eventNames().map((name) => resident.child.listenerCount(name))
    await resident.run(['keys', 'list'])
    const before = listeners()
    for (let i = 0; i < 3; i++) await resident.run(['keys', 'list'])

    expect(listeners()).toEqual(before)
  } finally {
    await resident.stop()
  }
})

test('no option or argument that names something ends in an error of PostgreSQL', async () => {
  const resident = inOneProcess(database.url)
  // What no id is: too short, too long, of another kind, a cursor of another list.
  const wrong = [
    ...['', 'x', '-1', '1.x', `${'9'.repeat(16)}.x`, '9'.repeat(30), 'user:x', '0000-01-01'],
    ...['00000000-0000-0000-0000-00000000000g', 'x'.repeat(3_000)],
  ]
  const looks = Object.entries(COMMANDS).flatMap(([noun, names]) =>
    names.filter((name) => /^(secrets )?(list|show|revoke)$/.test(name)).map((name) => `${noun} ${name}`),
  )
  const said: string[] = []
  try {
    for (const words of looks.map((each) => each.split(' '))) {
      const command = words.reduce(
        below,
        program(async () => 0),
      )
      const taken = command.registeredArguments.length
      const ways = (value: string): string[][] =>
        taken > 0
          ? [['--', ...Array<string>(taken).fill(value)]]
          : command.options.flatMap(({ required, long }) => (required ? [[long!, value]] : []))
      for (const way of wrong.flatMap(ways)) {
        const { code, stderr } = await resident.run([...words, ...way])
        if (![0, 1, 2].includes(code!) || POSTGRES.test(stderr)) said.push(`${[...words, ...way]}: ${stderr}`)
      }
    }
  } finally {
    await resident.stop()
  }

  expect(said).toEqual([])
  expect(looks.length).toBeGreaterThan(8)
})

const POSTGRES =
  /invalid input syntax|out of range|invalid byte sequence|value too long|for type|bind message/

function below(command: Command, name: string): Command {
  return command.commands.find((each) => each.name() === name)!
}

describe('a mistake in the configuration exits with 78', () => {
  test('and one line that names every key', async () => {
    const ran = await valetkey(['users', 'list'], { env: { PORT: 'x', LOG_LEVEL: 'loud' } })

    expect(ran).toEqual(failure(78, /PORT .*LOG_LEVEL /))
  })

  test('serve lists them, as npm start does', async () => {
    const { code, stdout, stderr } = await valetkey(['serve'], { env: { PORT: 'x', LOG_LEVEL: 'loud' } })

    expect({ code, stdout }).toEqual({ code: 78, stdout: '' })
    expect(stderr).toMatch(/2 mistakes/)
  })
})

describe('the database', () => {
  test('that nobody answers for is named, without its password', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    server.close()
    await once(server, 'close')

    const ran = await against(`postgres://someone:hunter22@127.0.0.1:${port}/db`).run(['users', 'list'])

    expect(ran).toEqual(
      failure(1, new RegExp(`the database at 127\\.0\\.0\\.1:${port} cannot be reached: .*ECONNREFUSED`)),
    )
    expect(ran.stderr).not.toContain('hunter22')
  })

  test('that refuses our password is named, without the password', async () => {
    const url = new URL(database.url)
    url.password = 'hunter22'

    const ran = await against(url.href).run(['users', 'list'])

    expect(ran).toEqual(failure(1, /refuses us: password authentication failed/))
    expect(ran.stderr).not.toContain('hunter22')
  })

  test.each([
    ['users', 'list'],
    ['clients', 'show', 'x'],
    ['resources', 'list'],
    ['grants', 'list'],
    ['keys', 'list'],
    ['audit', 'list'],
    ['audit', 'verify'],
  ])('without a schema: %s %s says what to run', async (...args) => {
    expect(await against(empty.url).run(args.filter(Boolean))).toEqual(
      failure(1, /pending; run: valetkey migrate up/),
    )
  })

  test('is brought up to date by migrate up; a second time there is nothing to do', async () => {
    const cli = against(empty.url)
    const before = await cli.json<{ applied: string[]; pending: string[] }>(['migrate', 'status'])

    const up = await cli.json(['migrate', 'up'])

    expect(before.applied).toEqual([])
    expect(up).toEqual({ applied: before.pending })
    expect(await cli.json(['migrate', 'status'])).toEqual({
      applied: before.pending,
      pending: [],
      too_new: [],
    })
    expect(await cli.run(['migrate', 'up'])).toEqual({ code: 0, stdout: 'nothing is pending\n', stderr: '' })
    expect((await cli.run(['migrate', 'status'])).stdout).toMatch(/^0001_users +applied$/m)
    expect(await cli.json(['users', 'list'])).toEqual([])
  })
})

test('without DATABASE_URL, a data directory that holds nothing is not taken for an empty server', async () => {
  const ran = await valetkey(['users', 'list'], { env: { DATA_DIR: '/nonexistent/data', SECRET_KEYS } })

  expect(ran).toEqual(failure(1, /there is no database in \/nonexistent\/data yet; run: valetkey migrate up/))
})
