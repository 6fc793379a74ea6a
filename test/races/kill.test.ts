// The power goes at the worst moment. Postgres is made to hold the very statement that matters, the process is killed,
// and another process finds either everything or nothing.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import pg from 'pg'
import { secretsFrom } from '../../src/base/secrets.ts'
import { ensureKeys } from '../../src/core/keys/store.ts'
import { many, one, run, sql } from '../../src/db/pool.ts'
import { authUrl, Browser, isActive, populate, redeem, refresh, type World } from '../support/attack.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { until } from '../support/patience.ts'
import { freePort, SECRET_KEYS, startServer, type TestServer } from '../support/server.ts'

let database: TestDatabase
let world: World
let issuer: string
let survivor: TestServer
let gate: pg.Client
beforeAll(async () => {
  database = await createTestDatabase()
  const { db, url } = database
  world = await populate(db)
  await ensureKeys(db, secretsFrom([SECRET_KEYS]))
  // A statement that inserts waits at the gate, inside of its transaction, while the gate is closed.
  await db.pg.query(`
    create function wait_at_gate() returns trigger language plpgsql as $$
    begin
      perform pg_advisory_xact_lock_shared(4711);
      return new;
    end $$;
    create trigger gate before insert on tokens for each row execute function wait_at_gate();
    create trigger gate before insert on sessions for each row execute function wait_at_gate();
  `)
  // The kernel tells Postgres at once that its client is gone; it looks this often while it waits.
  const { name } = await one<{ name: string }>(db, sql`select current_database() as name`)
  await db.pg.query(`alter database ${name} set client_connection_check_interval = '100ms'`)
  gate = new pg.Client(url)
  await gate.connect()
  const port = await freePort()
  issuer = `http://localhost:${port}`
  survivor = await startServer({ databaseUrl: url, port, env: { PORT: String(port), LOG_LEVEL: 'error' } })
})
afterAll(async () => {
  await gate?.end()
  await survivor?.stop()
  await database?.drop()
})

test('killed between using up a code and issuing tokens: the code is unused, and works at another process', async () => {
  const alice = new Browser(issuer)
  const code = await alice.code(authUrl(world.web), world.alice)
  const before = await tokens()

  await killWhile((node) => redeem(node, world.web, code))

  expect(await tokens()).toEqual(before)
  const redeemed = await redeem(survivor.origin, world.web, code)
  expect(redeemed.status).toBe(200)
  expect(await isActive(survivor.origin, world.web, String(redeemed.body.access_token))).toBe(true)
})

test('killed between using up a refresh token and issuing its successor: it works at another process', async () => {
  const alice = new Browser(issuer)
  const code = await alice.code(authUrl(world.web), world.alice)
  const first = await redeem(survivor.origin, world.web, code)
  const before = await tokens()

  await killWhile((node) => refresh(node, world.web, String(first.body.refresh_token)))

  expect(await tokens()).toEqual(before)
  const refreshed = await refresh(survivor.origin, world.web, String(first.body.refresh_token))
  expect(refreshed.status).toBe(200)
  expect(await isActive(survivor.origin, world.web, String(refreshed.body.access_token))).toBe(true)
})

test('killed while somebody signs in: nobody is signed in, and signing in again works', async () => {
  const alice = new Browser(issuer)
  const page = await alice.open('/account')
  const accepted = await alice.submit(page, 'Sign in', {
    email: world.alice.email,
    password: world.alice.password,
  })
  const before = await sessions()

  await killWhile((node) => {
    alice.node = node
    return alice.get(accepted.next!)
  })
  alice.node = survivor.origin

  expect(await sessions()).toEqual(before)
  // Used, perhaps, and nobody knows whether it was answered: for some seconds the browser is asked to try again.
  await run(database.db, sql`update provider_state set consumed_at = consumed_at - interval '20 seconds'`)
  const again = await alice.open(accepted.next!)
  expect(again.status).toBeLessThan(500)
  expect(again.text).toContain('/account')
  const profile = await alice.signIn(world.alice)
  expect(profile.text).toContain(world.alice.email)
})

test('killed at any moment under load: every code is used with tokens, or unused without', async () => {
  const alice = new Browser(issuer)
  const codes: string[] = [await alice.code(authUrl(world.spa), world.alice)]
  while (codes.length < 40) codes.push(await alice.code(authUrl(world.spa)))
  const victim = await startVictim()

  const replies = codes.map((code) => redeem(victim.origin, world.spa, code).catch(() => undefined))
  await Promise.race(replies)
  await victim.kill()
  const answered = (await Promise.all(replies)).filter((reply) => reply !== undefined)
  await idle()

  const rows = await many<{ kind: string; consumed: boolean; count: number }>(
    database.db,
    sql`select kind, consumed_at is not null as consumed, count(*)::int as count from tokens
        where client_id = ${world.spa.id} group by 1, 2`,
  )
  const count = (kind: string, consumed: boolean) =>
    rows.find((row) => row.kind === kind && row.consumed === consumed)?.count ?? 0
  const used = count('authorization_code', true)
  expect(used + count('authorization_code', false)).toBe(40)
  expect([count('access_token', false), count('refresh_token', false)]).toEqual([used, used])
  // Nobody was told 200 for something that is not written.
  expect(answered.filter(({ status }) => status === 200).length).toBeLessThanOrEqual(used)
  for (const { status, body } of answered) {
    expect(status).toBe(200)
    expect(await isActive(survivor.origin, world.spa, String(body.access_token))).toBe(true)
  }
})

describe('who asks again with a code that was redeemed at another process', () => {
  test('which was killed since, is refused as soon as nobody can know better, long before a minute', async () => {
    const { victim, code, access_token } = await redeemedElsewhere()
    expect((await redeem(survivor.origin, world.web, code)).status).toBe(503)

    await victim.kill()

    const last = await askedUntilItIsSaid(code)
    expect([last.status, last.body.error]).toEqual([400, 'invalid_grant'])
    expect(await isActive(survivor.origin, world.web, access_token)).toBe(false)
  })

  test('which stands still, is asked to come again until that one says what it did', async () => {
    const { victim, code } = await redeemedElsewhere()
    const began = performance.now()
    // Longer than a process is missed that was killed.
    do {
      expect((await redeem(survivor.origin, world.web, code)).status).toBe(503)
    } while (performance.now() - began < 6_000)

    victim.process.kill('SIGCONT')

    expect((await askedUntilItIsSaid(code)).status).toBe(400)
    await victim.stop()
  })

  /** A code that was redeemed at a process which stands still since. */
  async function redeemedElsewhere() {
    const victim = await startVictim()
    const code = await new Browser(issuer).code(authUrl(world.web), world.alice)
    const { status, body } = await redeem(victim.origin, world.web, code)
    expect(status).toBe(200)
    victim.process.kill('SIGSTOP')
    return { victim, code, access_token: String(body.access_token) }
  }

  async function askedUntilItIsSaid(code: string) {
    for (;;) {
      const reply = await redeem(survivor.origin, world.web, code)
      if (reply.status !== 503) return reply
    }
  }
})

/** Closes the gate, sends a request to a process of its own, kills that process while its statement waits. */
async function killWhile(request: (node: string) => Promise<unknown>): Promise<void> {
  const victim = await startVictim()
  await gate.query('select pg_advisory_lock(4711)')
  const answer = request(victim.origin).then(
    () => 'answered',
    () => 'broken',
  )
  await until(async () => (await waiting()) > 0)
  await victim.kill()
  expect(await answer).toBe('broken')
  await idle()
  await gate.query('select pg_advisory_unlock(4711)')
}

async function startVictim(): Promise<TestServer> {
  const port = await freePort()
  return startServer({
    databaseUrl: database.url,
    port,
    env: { ISSUER_URL: issuer, PORT: String(port), LOG_LEVEL: 'error' },
  })
}

/** Backends that wait at the gate. */
async function waiting(): Promise<number> {
  const { count } = await one<{ count: number }>(
    database.db,
    sql`select count(*)::int as count from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and wait_event = 'advisory'`,
  )
  return count
}

/** Waits until Postgres has dropped what a dead process left unfinished. */
async function idle(): Promise<void> {
  await until(async () => {
    const { busy } = await one<{ busy: number }>(
      database.db,
      sql`select count(*)::int as busy from pg_stat_activity
          where datname = current_database() and state <> 'idle' and pid <> pg_backend_pid()`,
    )
    return busy === 0
  })
}

async function tokens(): Promise<unknown> {
  return many(
    database.db,
    sql`select encode(hash, 'hex') as hash, consumed_at, expires_at from tokens order by issued_at, hash`,
  )
}

async function sessions(): Promise<unknown> {
  return many(database.db, sql`select encode(hash, 'hex') as hash, user_id from sessions order by hash`)
}
