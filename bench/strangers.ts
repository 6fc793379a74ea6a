// What strangers can make the database keep: floods an address with requests as large as it takes, from one address of the
// network, and looks at how much the tables have grown.
import { randomBytes } from 'node:crypto'
import { SYSTEM } from '../src/base/audit-events.ts'
import { createClient } from '../src/core/clients/create.ts'
import { createUser } from '../src/core/users/store.ts'
import { type Db, one, sql } from '../src/db/pool.ts'
import { Browser, formWith } from '../test/support/attack.ts'
import { Connection } from './http.ts'
import { drive } from './load.ts'
import { PASSWORD } from './plan.ts'

/** What a flood left behind. */
export interface Flood {
  name: string
  seconds: number
  sent: number
  /** Answers below 400. */
  taken: number
  rows: number
  bytes: number
}

interface Attack {
  name: string
  method: string
  path: string
  headers?: string
  body?: string | (() => string)
}

const FORM = 'content-type: application/x-www-form-urlencoded\r\n'
const CALLBACK = 'https://stranger.example/callback'

/** Runs each flood for so many seconds. */
export async function floods(
  db: Db,
  port: number,
  { seconds, connections }: { seconds: number; connections: number },
): Promise<Flood[]> {
  const results: Flood[] = []
  for (const attack of await attacks(db, `http://localhost:${port}`)) {
    const lines = Array.from({ length: connections }, () => new Connection(port))
    const before = await stored(db)
    let taken = 0
    const { method, path, headers = '', body = '' } = attack
    const { count, seconds: took } = await drive(lines, { seconds }, async (line) => {
      const { status } = await line.send(method, path, headers, typeof body === 'string' ? body : body())
      if (status < 400) taken++
    })
    for (const line of lines) line.close()
    const after = await stored(db)
    const rows = after.rows - before.rows
    results.push({
      name: attack.name,
      seconds: took,
      sent: count,
      taken,
      rows,
      bytes: after.bytes - before.bytes,
    })
  }
  return results
}

/** The table of a run. */
export function floodReport(description: string, results: Flood[]): string {
  const lines = [
    description,
    '',
    '| flood | sent a second | taken a second | rows a second | kB stored a second |',
    '|---|--:|--:|--:|--:|',
  ]
  for (const { name, seconds, sent, taken, rows, bytes } of results) {
    const figures = [sent, taken, rows, bytes / 1000].map((n) => Math.round(n / seconds).toLocaleString('en'))
    lines.push(`| ${name} | ${figures.join(' | ')} |`)
  }
  return lines.join('\n')
}

async function attacks(db: Db, origin: string): Promise<Attack[]> {
  const made = (type: 'spa' | 'device') =>
    createClient(
      db,
      { name: `Any ${type}`, type, scopes: ['openid'], redirect_uris: type === 'spa' ? [CALLBACK] : [] },
      SYSTEM,
    )
  const spa = (await made('spa')).client.id
  const device = (await made('device')).client.id
  const pkce = { code_challenge: 'x'.repeat(43), code_challenge_method: 'S256' }
  const request = (client_id: string, more: Record<string, string>) =>
    new URLSearchParams({
      client_id,
      scope: 'openid',
      response_type: 'code',
      redirect_uri: CALLBACK,
      ...pkce,
      ...more,
    })
  const own = { response_type: 'none', redirect_uri: `${origin}/account/signed-in` }
  const large = { login_hint: noise(50_000) }
  // About as much as is stored of a pushed request.
  const small = { login_hint: noise(4_000) }
  return [
    ...[large, small].flatMap((hint, i): Attack[] => {
      const size = i ? '4 kB' : '50 kB'
      const post = (path: string, form: URLSearchParams) => ({
        method: 'POST',
        path,
        headers: FORM,
        body: `${form}`,
      })
      return [
        {
          name: `\`/device_authorization\`, ${size}`,
          ...post(
            '/device_authorization',
            new URLSearchParams({ client_id: device, scope: 'openid', ...hint }),
          ),
        },
        {
          name: `\`/par\`, built-in client, ${size}`,
          ...post('/par', request('valetkey-account', { ...own, ...hint })),
        },
        { name: `\`/par\`, public client, ${size}`, ...post('/par', request(spa, hint)) },
      ]
    }),
    { name: '`/auth`, 4 kB', method: 'GET', path: `/auth?${request(spa, small)}` },
    { name: '`/device`', method: 'GET', path: '/device' },
    { name: '`/session/end`', method: 'GET', path: '/session/end' },
    await rename(db, origin),
  ]
}

// PostgreSQL compresses what repeats itself.
function noise(characters: number): string {
  return randomBytes(characters).toString('base64url').slice(0, characters)
}

async function rename(db: Db, origin: string): Promise<Attack> {
  const mallory = { email: 'mallory@bench.example', password: PASSWORD }
  const user = await createUser(db, { ...mallory, name: 'Mallory', email_verified: true }, SYSTEM)
  const browser = new Browser(origin)
  const form = formWith(await browser.signIn({ ...mallory, id: user.id }), 'Save name')
  let names = 0
  const headers = `${FORM}cookie: ${browser.jar.header(new URL(form.action))}\r\norigin: ${origin}\r\n`
  return {
    name: 'an account renames itself',
    method: 'POST',
    path: '/account/name',
    headers,
    body() {
      form.fields.set('name', `Mallory the ${++names}th`)
      return `${form.fields}`
    },
  }
}

async function stored(db: Db): Promise<{ rows: number; bytes: number }> {
  const { rows, bytes } = await one<{ rows: string; bytes: string }>(
    db,
    sql`select (select count(*) from provider_state) + (select count(*) from tokens) + (select count(*) from sessions)
               + (select count(*) from audit_events) + (select count(*) from rate_limits) as rows,
               (select sum(pg_total_relation_size(t)) from unnest(
                  array['provider_state', 'tokens', 'sessions', 'audit_events', 'rate_limits']::regclass[]) t) as bytes`,
  )
  return { rows: Number(rows), bytes: Number(bytes) }
}
