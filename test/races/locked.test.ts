// Somebody holds a row: a grant, a client. Whoever needs it is told to come back and has lost nothing; nobody else notices; and
// what was answered as failed does not happen when the row is free. Two processes on one database.
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import pg from 'pg'
import { digest } from '../../src/base/credentials.ts'
import { secretsFrom } from '../../src/base/secrets.ts'
import { ensureKeys } from '../../src/core/keys/store.ts'
import { one, sql } from '../../src/db/pool.ts'
import {
  authUrl,
  Browser,
  call,
  isActive,
  populate,
  redeem,
  refresh,
  untilAnswered,
  type World,
} from '../support/attack.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { inOneOfFive } from '../support/patience.ts'
import { freePort, SECRET_KEYS, startServer, type TestServer } from '../support/server.ts'

const OTHERS = 8
// As many as a stranger has.
const ATTEMPTS = 5

let database: TestDatabase
let world: World
let nodes: TestServer[]
let holder: pg.Client
beforeAll(async () => {
  database = await createTestDatabase()
  world = await populate(database.db)
  await ensureKeys(database.db, secretsFrom([SECRET_KEYS]))
  const port = await freePort()
  const issuer = `http://localhost:${port}`
  const env = { LOG_LEVEL: 'error', ISSUER_URL: issuer }
  const isImpatient = true
  nodes = [
    await startServer({ databaseUrl: database.url, port, isImpatient, env: { ...env, PORT: String(port) } }),
    await startServer({ databaseUrl: database.url, isImpatient, env: { LOG_LEVEL: 'error' } }),
  ]
  holder = new pg.Client(database.url)
  await holder.connect()
})
afterAll(async () => {
  await holder?.end()
  await Promise.all((nodes ?? []).map((node) => node.stop()))
  await database?.drop()
})
afterEach(() => holder.query('rollback'))

test('a locked grant: its refresh is 503 and gives tokens afterwards; refreshes of others go on at both nodes', async () => {
  const mine = await connected()
  const others: string[] = []
  while (others.length < OTHERS) others.push((await connected()).refresh_token)
  await hold('select from grants where id = $1 for update', [await grantOf(mine)])

  await inOneOfFive(async () => {
    let isRefused = false
    const waiting = refresh(nodes[0]!.origin, world.web, mine.refresh_token).finally(() => (isRefused = true))
    const replies = await Promise.all(
      others.map((token, i) =>
        untilAnswered(() => refresh(nodes[i % 2]!.origin, world.web, token)).then(({ status, body }) => {
          others[i] = String(body.refresh_token)
          return [status, isRefused ? 'late' : 'meanwhile']
        }),
      ),
    )
    // It is told so while the lock is held, which ends below.
    const refused = await waiting

    expect([refused.status, refused.body.error]).toEqual([503, 'temporarily_unavailable'])
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    // They did not wait for the locked one to be given up.
    expect(replies).toEqual(Array(OTHERS).fill([200, 'meanwhile']))
  })

  await holder.query('rollback')
  await new Promise((resolve) => setTimeout(resolve, 500))
  const again = await refresh(nodes[1]!.origin, world.web, mine.refresh_token)
  expect(again.status).toBe(200)
  expect(await isActive(nodes[0]!.origin, world.web, String(again.body.access_token))).toBe(true)
})

test('a grant that is locked for a moment only: the refresh waits for it', async () => {
  const mine = await connected()
  await hold('select from grants where id = $1 for update', [await grantOf(mine)])
  const waiting = refresh(nodes[0]!.origin, world.web, mine.refresh_token)
  setTimeout(() => holder.query('rollback'), 300)

  // On a machine that stood still the moment may have been too long, which is said, and nothing is lost.
  const first = await waiting
  if (first.status !== 503) expect(first.status).toBe(200)
  else
    expect((await untilAnswered(() => refresh(nodes[0]!.origin, world.web, mine.refresh_token))).status).toBe(
      200,
    )
})

test('a locked client: its tokens are 503, those of other clients are issued', async () => {
  const machine = { grant_type: 'client_credentials', scope: 'photos.read' }
  const mine = await connected()
  await hold('select from clients where id = $1 for update', [world.service.id])

  await inOneOfFive(async () => {
    let isRefused = false
    const waiting = call(nodes[0]!.origin, '/token', world.service, machine).finally(() => (isRefused = true))
    const other = await untilAnswered(() => refresh(nodes[0]!.origin, world.web, mine.refresh_token))
    const when = isRefused ? 'late' : 'meanwhile'
    mine.refresh_token = String(other.body.refresh_token)

    expect((await waiting).status).toBe(503)
    expect([other.status, when]).toEqual([200, 'meanwhile'])
  })
  await holder.query('rollback')
  expect((await call(nodes[0]!.origin, '/token', world.service, machine)).status).toBe(200)
})

test('a revocation that met a locked grant is 503; the same again ends everything', async () => {
  const mine = await connected()
  await hold('select from grants where id = $1 for update', [await grantOf(mine)])
  const revoke = () => call(nodes[0]!.origin, '/revoke', world.web, { token: mine.refresh_token })

  expect((await revoke()).status).toBe(503)
  await holder.query('rollback')
  expect(await isActive(nodes[1]!.origin, world.web, mine.access_token)).toBe(true)
  expect((await revoke()).status).toBe(200)

  expect(await isActive(nodes[1]!.origin, world.web, mine.access_token)).toBe(false)
  expect((await refresh(nodes[1]!.origin, world.web, mine.refresh_token)).status).toBe(400)
})

test('a locked account: the right password that was 503 again and again is good when it is free', async () => {
  const { email, password } = world.bob
  const browser = new Browser(nodes[0]!.origin)
  const page = await browser.open(authUrl(world.web))
  const signIn = () => browser.submit(page, 'Sign in', { email, password })
  await hold('select from users where id = $1 for update', [world.bob.id])

  for (let i = 0; i < ATTEMPTS; i++) expect((await signIn()).status).toBe(503)

  await holder.query('rollback')
  expect((await signIn()).status).toBe(303)
})

interface Connected {
  access_token: string
  refresh_token: string
}

/** One more grant of alice: in a browser of its own, because one browser has one grant of an app. */
async function connected(): Promise<Connected> {
  const code = await new Browser(nodes[0]!.origin).code(authUrl(world.web), world.alice)
  const { status, body } = await redeem(nodes[0]!.origin, world.web, code)
  expect(status).toBe(200)
  return { access_token: String(body.access_token), refresh_token: String(body.refresh_token) }
}

async function grantOf({ access_token }: Connected): Promise<string> {
  const row = await one<{ grant_id: string }>(
    database.db,
    sql`select grant_id from tokens where hash = ${digest(access_token)}`,
  )
  return row.grant_id
}

async function hold(statement: string, values: string[]): Promise<void> {
  await holder.query('begin')
  await holder.query(statement, values)
}
