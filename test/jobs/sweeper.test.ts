// The sweeper takes the dead away and leaves the living, however much there is, however many sweep, whoever is busy.
import { randomBytes } from 'node:crypto'
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import { one, run, sql } from '../../src/db/pool.ts'
import {
  authUrl,
  Browser,
  isActive,
  populate,
  redeem,
  refresh,
  until,
  type World,
} from '../support/attack.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { startApp, type TestApp } from '../support/server.ts'

let database: TestDatabase
let world: World
let app: TestApp
let alice: Browser
/** Servers that sweep once a second. */
const sweeping: TestApp[] = []
beforeAll(async () => {
  database = await createTestDatabase()
  world = await populate(database.db)
  app = await startApp({ db: database.db })
  alice = new Browser(app.origin)
})
afterEach(async () => {
  for (const each of sweeping.splice(0)) await each.stop()
})
afterAll(async () => {
  await app?.stop()
  await database?.drop()
})

test('dead rows of every kind go, living ones of the same kind stay', async () => {
  const { db } = database
  const live = await redeem(app.origin, world.web, await alice.code(authUrl(world.web), world.alice))
  const old = "now() - interval '200 days'"
  const hash = () => `decode('${randomBytes(32).toString('hex')}', 'hex')`
  // A removed app of long ago with its device, a deleted client, and one expired row of every other kind.
  await db.pg.query(`
    insert into clients (id, name, type, deleted_at) values ('gone', 'Gone', 'service', ${old});
    insert into consents (id, user_id, client_id, scopes, client_name, client_host, revoked_at)
      values ('00000000-0000-0000-0000-00000000dead', '${world.bob.id}', '${world.web.id}', '{openid}', 'x', 'x', ${old});
    insert into grants (id, consent_id, user_id, client_id, payload, device_id, expires_at, revoked_at)
      values ('dead', '00000000-0000-0000-0000-00000000dead', '${world.bob.id}', '${world.web.id}', '{}', 'x', ${old}, ${old});
    insert into tokens (hash, kind, client_id, grant_id, payload, expires_at)
      values (${hash()}, 'access_token', '${world.web.id}', 'dead', '{}', ${old}),
             (${hash()}, 'client_credentials', '${world.service.id}', null, '{}', ${old});
    insert into provider_state (hash, kind, payload, expires_at) values
      (${hash()}, 'interaction', '{}', ${old}), (${hash()}, 'replay_detection', '{}', ${old}),
      (${hash()}, 'pushed_authorization_request', '{}', ${old});
    insert into sessions (hash, uid, payload, expires_at) values (${hash()}, 'dead', '{}', ${old});
    insert into user_links (hash, purpose, expires_at) values (${hash()}, 'setup', ${old}),
      (${hash()}, 'setup', now() + interval '1 hour');
    insert into client_refusals (client_id, at, attested, source, endpoint, error, kind, expected, came)
      values ('${world.web.id}', ${old}, true, 0, '/token', 'x', 'other', '', ''),
             ('${world.web.id}', now(), true, 0, '/token', 'x', 'other', '', '');
    insert into client_usage_days (client_id, day) values ('${world.web.id}', ${old}), ('${world.web.id}', now());
    insert into rate_limits (key, points, expire) values ('dead', 1, 1000), ('living', 1, 4102444800000);
    insert into signing_keys (kid, alg, public_jwk, private_jwk_encrypted, state, retired_at)
      select 'dead', alg, public_jwk, private_jwk_encrypted, 'retired', ${old} from signing_keys limit 1;
  `)
  const before = await counts()

  await startSweeping()
  await until(async () => (await dead()) === 0)

  const after = await counts()
  const gone = Object.fromEntries(Object.keys(before).map((table) => [table, before[table]! - after[table]!]))
  expect(gone).toEqual({
    clients: 1,
    consents: 1,
    grants: 1,
    tokens: 2,
    provider_state: 3,
    sessions: 1,
    user_links: 1,
    rate_limits: 1,
    signing_keys: 1,
  })
  expect(
    await one(
      db,
      sql`select (select count(*)::int from client_refusals) as refusals,
                 (select count(*)::int from client_usage_days where client_id = ${world.web.id}) as days`,
    ),
  ).toEqual({ refusals: 1, days: 1 })
  expect(await isActive(app.origin, world.web, String(live.body.access_token))).toBe(true)
  expect((await alice.get('/account')).status).toBe(200)
  expect((await refresh(app.origin, world.web, String(live.body.refresh_token))).status).toBe(200)
})

test('what was removed lately stays on record', async () => {
  const code = await alice.code(authUrl(world.spa), world.alice)
  await redeem(app.origin, world.spa, code)
  await run(database.db, sql`update grants set revoked_at = now() where client_id = ${world.spa.id}`)
  await run(database.db, sql`update consents set revoked_at = now() where client_id = ${world.spa.id}`)
  const before = await counts()

  await mark()
  await startSweeping()
  await until(async () => (await dead()) === 0)

  expect((await counts()).grants).toBe(before.grants)
  expect((await counts()).consents).toBe(before.consents)
})

test('thousands of dead rows go in batches while two sweep and people go on using the living', async () => {
  const first = await redeem(app.origin, world.web, await alice.code(authUrl(world.web), world.alice))
  await database.db.pg.query(`
    insert into provider_state (hash, kind, payload, expires_at)
      select sha256(n::text::bytea), 'replay_detection', '{}', now() - interval '1 minute' from generate_series(1, 7000) n;
    insert into tokens (hash, kind, client_id, payload, expires_at)
      select sha256(('t' || n)::bytea), 'client_credentials', '${world.service.id}', '{}', now() - interval '1 minute'
      from generate_series(1, 7000) n;
  `)

  await Promise.all([startSweeping(), startSweeping()])
  let token = String(first.body.refresh_token)
  let uses = 0
  await until(async () => {
    const refreshed = await refresh(app.origin, world.web, token)
    expect(refreshed.status).toBe(200)
    token = String(refreshed.body.refresh_token)
    uses++
    return (await dead()) === 0
  })

  expect(uses).toBeGreaterThan(3)
  expect(await isActive(app.origin, world.web, token)).toBe(true)
})

test('a dead row that somebody holds is left for the next time, and holds nobody up', async () => {
  await mark()
  const holder = await database.db.pg.connect()
  await holder.query('begin')
  await holder.query(`select from provider_state where payload::text = '"held"' for update`)
  await mark('free')

  await startSweeping()
  await until(async () => (await dead()) === 1)
  await holder.query('rollback')
  holder.release()

  await until(async () => (await dead()) === 0)
})

/** A server over the same database whose sweeper works every second. */
async function startSweeping(): Promise<void> {
  sweeping.push(await startApp({ db: database.db, env: { SWEEP_INTERVAL_SECONDS: '1' } }))
}

/** One dead row to see a sweep by. */
async function mark(name = 'held'): Promise<void> {
  await run(
    database.db,
    sql`insert into provider_state (hash, kind, payload, expires_at)
        values (${randomBytes(32)}, 'replay_detection', ${JSON.stringify(name)}, now() - interval '1 second')`,
  )
}

async function dead(): Promise<number> {
  const { dead } = await one<{ dead: number }>(
    database.db,
    sql`select ((select count(*) from tokens where expires_at < now())
              + (select count(*) from provider_state where expires_at < now())
              + (select count(*) from sessions where expires_at < now())
              + (select count(*) from user_links where expires_at < now())
              + (select count(*) from rate_limits where key = 'dead')
              + (select count(*) from grants where id = 'dead')
              + (select count(*) from consents where revoked_at < now() - interval '100 days')
              + (select count(*) from clients where id = 'gone')
              + (select count(*) from client_refusals where at < now() - interval '100 days')
              + (select count(*) from client_usage_days where day < now() - interval '100 days')
              + (select count(*) from signing_keys where kid = 'dead'))::int as dead`,
  )
  return dead
}

async function counts(): Promise<Record<string, number>> {
  const tables =
    'clients consents grants tokens provider_state sessions user_links rate_limits signing_keys'.split(' ')
  const pairs = tables.map(async (table) => {
    const { rows } = await database.db.pg.query<{ n: number }>(`select count(*)::int as n from ${table}`)
    return [table, rows[0]!.n] as const
  })
  return Object.fromEntries(await Promise.all(pairs))
}
