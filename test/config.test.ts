// The configuration: all mistakes at once, secrets from files, and documents that cannot drift from the code.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { ConfigError, loadConfig } from '../src/base/config.ts'
import { SETTINGS, type Setting } from '../src/base/config-keys.ts'

const root = join(import.meta.dirname, '..')
const LONG_KEY = 'a-key-of-thirty-two-characters-or-more'
let dir: string
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'valetkey-config-'))
})
afterAll(() => rm(dir, { recursive: true, force: true }))

test('without any key it is a server for this machine only', () => {
  const config = loadConfig({})

  expect(config).toMatchObject({
    host: '127.0.0.1',
    port: 3000,
    databaseUrl: undefined,
    dataDir: './data',
    secretKeys: undefined,
    workers: 1,
    trustedProxies: [],
    ttl: { authorizationCodeSeconds: 60, accessTokenSeconds: 600 },
  })
  expect(config.issuerUrl.origin).toBe('http://localhost:3000')
})

test('an empty value counts as absent, so that KEY= in a file does no harm', () => {
  expect(loadConfig({ PORT: '', SECRET_KEYS: ' ', BRAND_NAME: '' }).brand.name).toBe('Valetkey')
})

test('every mistake is listed at once, each with its key, what is wrong and an example', () => {
  const mistakes = mistakesOf({
    ISSUER_URL: 'http://id.example.com',
    PORT: '70000',
    DATABASE_URL: 'mysql://db',
    SECRET_KEYS: 'short',
    TRUSTED_PROXIES: '10.0.0.0/33',
    WORKERS: 'many',
    LOG_LEVEL: 'loud',
    BRAND_ACCENT: 'blue',
    BRAND_LOGO_URL: 'http://example.com/logo.png',
    SUPPORT_ADDRESS: 'nobody',
    ACCESS_TOKEN_TTL_SECONDS: '10m',
  })

  expect(mistakes.map(({ key }) => key).sort()).toEqual([
    'ACCESS_TOKEN_TTL_SECONDS',
    'BRAND_ACCENT',
    'BRAND_LOGO_URL',
    'DATABASE_URL',
    'ISSUER_URL',
    'LOG_LEVEL',
    'PORT',
    'SECRET_KEYS',
    'SUPPORT_ADDRESS',
    'TRUSTED_PROXIES',
    'WORKERS',
  ])
  expect(mistakes.find(({ key }) => key === 'PORT')).toEqual({
    key: 'PORT',
    problem: 'must be a whole number from 1 to 65535',
    example: '3000',
  })
  expect(mistakes.every(({ problem, example }) => problem.startsWith('must ') && example)).toBe(true)
})

test('the message names every mistake and shows no secret', () => {
  const error = new ConfigError(
    mistakesOf({ SECRET_KEYS: 'my-secret', DATABASE_URL: 'mysql://me:hunter2@db' }),
  )

  expect(error.message).toContain('2 mistakes')
  expect(error.message).toContain('SECRET_KEYS must be keys of at least 32 characters each')
  expect(error.message).not.toMatch(/my-secret|hunter2/)
})

test.each([
  ['http://id.example.com', 'must be https'],
  ['https://id.example.com/auth', 'must be an origin'],
  ['https://id.example.com?x', 'must be an origin'],
  ['https://me:pw@id.example.com', 'must be an origin'],
  ['id.example.com', 'must be an https address'],
  ['http://localhost.example.com', 'must be https'],
  ['http://127.0.0.1.example.com', 'must be https'],
])('the issuer %s is refused: it %s', (ISSUER_URL, problem) => {
  expect(mistakesOf({ ISSUER_URL, SECRET_KEYS: LONG_KEY })).toEqual([
    expect.objectContaining({ key: 'ISSUER_URL', problem: expect.stringContaining(problem) }),
  ])
})

test.each([
  ['http://localhost:8080', 8080],
  ['http://127.0.0.1:4567', 4567],
  ['http://[::1]:9000', 9000],
  ['http://id.localhost', 80],
  ['https://id.example.com', 3000],
])('with the issuer %s it listens on port %i', (ISSUER_URL, port) => {
  expect(loadConfig({ ISSUER_URL, SECRET_KEYS: LONG_KEY }).port).toBe(port)
})

test.each([
  ['in production', { NODE_ENV: 'production' }],
  ['with a public issuer', { ISSUER_URL: 'https://id.example.com' }],
])('%s it demands SECRET_KEYS', (_when, env) => {
  expect(mistakesOf(env)).toEqual([expect.objectContaining({ key: 'SECRET_KEYS' })])
  expect(loadConfig({ ...env, SECRET_KEYS: `${LONG_KEY}, ${LONG_KEY}2` }).secretKeys).toHaveLength(2)
})

test.each([
  [{}, 0],
  [{ NODE_ENV: 'production', SECRET_KEYS: LONG_KEY }, 5],
  [{ ISSUER_URL: 'https://id.example.com', SECRET_KEYS: LONG_KEY }, 5],
  [{ ISSUER_URL: 'https://id.example.com', SECRET_KEYS: LONG_KEY, DRAIN_SECONDS: '0' }, 0],
  [{ DRAIN_SECONDS: '12' }, 12],
])('with %j it drains for %i seconds', (env, seconds) => {
  expect(loadConfig(env).drainSeconds).toBe(seconds)
})

test('a refresh token cannot outlive the limit of refreshing', () => {
  expect(mistakesOf({ REFRESH_TOKEN_TTL_SECONDS: '3600', REFRESH_TOKEN_MAX_TTL_SECONDS: '60' })).toEqual([
    expect.objectContaining({ key: 'REFRESH_TOKEN_MAX_TTL_SECONDS' }),
  ])
})

describe('mail', () => {
  const MAIL_FROM = 'Example ID <no-reply@example.com>'
  const mailOf = (SMTP_URL: string, more = {}) => loadConfig({ SMTP_URL, MAIL_FROM, ...more }).mail

  test('is off without a server for it', () => {
    expect(loadConfig({ MAIL_FROM }).mail).toBeUndefined()
  })

  test.each([
    ['smtp://mail.example.com', { host: 'mail.example.com', port: 587, secure: false, auth: undefined }],
    ['smtps://mail.example.com/', { port: 465, secure: true }],
    ['smtp://me:p%40ss%3A%2F@mail.example.com:2525', { port: 2525, auth: { user: 'me', pass: 'p@ss:/' } }],
    ['smtp://[::1]:25', { host: '::1', port: 25, isLoopback: true }],
    ['smtp://localhost.example.com', { isLoopback: false }],
  ])('goes to %s', (url, expected) => {
    expect(mailOf(url)).toMatchObject(expected)
  })

  test.each([
    ['no-reply@example.com', { name: '', address: 'no-reply@example.com' }],
    [MAIL_FROM, { name: 'Example ID', address: 'no-reply@example.com' }],
    ['"Example, Inc." <id@example.com>', { name: 'Example, Inc.', address: 'id@example.com' }],
  ])('comes from %s', (from, expected) => {
    expect(mailOf('smtp://localhost', { MAIL_FROM: from })?.from).toEqual(expected)
  })

  test.each([
    ['smtp://mail.example.com', {}, false],
    ['smtp://mail.example.com', { NODE_ENV: 'production', SECRET_KEYS: LONG_KEY }, true],
    ['smtp://mail.example.com', { ISSUER_URL: 'https://id.example.com', SECRET_KEYS: LONG_KEY }, true],
    ['smtp://127.0.0.1:25', { NODE_ENV: 'production', SECRET_KEYS: LONG_KEY }, false],
  ])('at %s with %j: STARTTLS required is %s', (url, env, required) => {
    expect(mailOf(url, env)?.requireTls).toBe(required)
  })

  test.each([
    [{ SMTP_URL: 'mail.example.com', MAIL_FROM }, 'SMTP_URL', 'must be an smtp:// or smtps:// address'],
    [{ SMTP_URL: 'https://me:hunter2@mail.example.com', MAIL_FROM }, 'SMTP_URL', 'must be an smtp://'],
    [
      { SMTP_URL: 'smtp://me:hunter2@x?tls.rejectUnauthorized=false', MAIL_FROM },
      'SMTP_URL',
      'without a path',
    ],
    [{ SMTP_URL: 'smtp://me:hunter2%@x', MAIL_FROM }, 'SMTP_URL', 'percent-encoded'],
    [{ SMTP_URL: 'smtp://localhost' }, 'MAIL_FROM', 'must be set'],
    [{ SMTP_URL: 'smtp://localhost', MAIL_FROM: 'Example ID' }, 'MAIL_FROM', 'must be an e-mail address'],
    [{ SMTP_URL: 'smtp://localhost', MAIL_FROM: 'a@x.example, b@x.example' }, 'MAIL_FROM', 'must be'],
    [{ SMTP_URL: 'smtp://localhost', MAIL_FROM: 'X\nBcc: m <a@x.example>' }, 'MAIL_FROM', 'must be'],
  ])('%j is a mistake, told without its secret', (env, key, problem) => {
    const mistakes = mistakesOf(env as Record<string, string>)

    expect(mistakes).toEqual([expect.objectContaining({ key, problem: expect.stringContaining(problem) })])
    expect(new ConfigError(mistakes).message).not.toContain('hunter2')
  })

  test('its server can stand in a file, as other secrets do', async () => {
    await writeFile(join(dir, 'smtp'), 'smtps://me:secret@mail.example.com\n')

    const { mail } = loadConfig({ SMTP_URL_FILE: join(dir, 'smtp'), MAIL_FROM })

    expect(mail?.auth).toEqual({ user: 'me', pass: 'secret' })
  })
})

test('every key can stand in a file', async () => {
  await writeFile(join(dir, 'keys'), `${LONG_KEY}\n`)
  await writeFile(join(dir, 'port'), '4000\n')

  const config = loadConfig({ SECRET_KEYS_FILE: join(dir, 'keys'), PORT_FILE: join(dir, 'port') })

  expect(config.secretKeys).toEqual([LONG_KEY])
  expect(config.port).toBe(4000)
})

test('a key given twice, and a file that is not there, are mistakes', async () => {
  await writeFile(join(dir, 'keys'), LONG_KEY)

  expect(
    mistakesOf({
      SECRET_KEYS: LONG_KEY,
      SECRET_KEYS_FILE: join(dir, 'keys'),
      PORT_FILE: join(dir, 'missing'),
    }),
  ).toEqual([
    expect.objectContaining({ key: 'PORT', problem: expect.stringContaining('ENOENT') }),
    expect.objectContaining({ key: 'SECRET_KEYS', problem: expect.stringContaining('given twice') }),
  ])
})

test('WORKERS=auto is a process for each core', () => {
  expect(loadConfig({ WORKERS: 'auto' }).workers).toBe(availableParallelism())
})

test('the defaults and the examples are right themselves', () => {
  for (const [key, { fallback, example, parse }] of all) {
    if (fallback) expect([key, parse.safeParse(fallback).success]).toEqual([key, true])
    // An example of a secret that worked would be used as it stands.
    expect([key, parse.safeParse(example).success]).toEqual([key, key !== 'SECRET_KEYS'])
  }
})

test('the table of the README is the one of the code', async () => {
  const rows = all.map(([key, { fallback, fallbackNote, meaning }]) => {
    const shown = fallbackNote ?? (fallback ? `\`${fallback}\`` : 'none')
    return `| \`${key}\` | ${shown} | ${meaning} |`
  })

  expect(await readFile(join(root, 'README.md'), 'utf8')).toContain(
    ['| Key | Default | Meaning |', '|---|---|---|', ...rows].join('\n'),
  )
})

test('.env.example names every key with its meaning, and is the defaults when it is used as it stands', async () => {
  const text = await readFile(join(root, '.env.example'), 'utf8')

  for (const [key, { fallback, example, meaning }] of all) {
    expect(text).toContain(`# ${meaning.replaceAll('`', '')}\n# ${key}=${fallback || example}\n`)
  }
  expect(text.split('\n').filter((line) => line && !line.startsWith('#'))).toEqual([])
})

test.each(['https://app.example', 'app.example:443', '10.0.0.1', '*', 'App.example', 'localhost'])(
  'a list of hosts holds names: not %s',
  (hosts) => {
    expect(mistakesOf({ CLIENT_ID_METADATA_HOSTS: `app.example,${hosts}` })).toMatchObject([
      { key: 'CLIENT_ID_METADATA_HOSTS' },
    ])
  },
)

const all = Object.entries(SETTINGS) as [string, Setting][]

function mistakesOf(env: Record<string, string>) {
  try {
    loadConfig(env)
  } catch (error) {
    if (error instanceof ConfigError) return error.mistakes
    throw error
  }
  return []
}
