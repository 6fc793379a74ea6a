// The sweeper takes the dead away and leaves the living, however much there is, however many sweep, whoever is busy.
import { randomBytes } from 'node:crypto'
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import { sweepClients } from '../../src/core/clients/lifecycle.ts'
import { many, one, run, sql } from '../../src/db/pool.ts'
import { SWEEP_BATCH } from '../../src/db/sweep.ts'
import { createLogger } from '../../src/http/log.ts'
import { startSweeper } from '../../src/jobs/sweeper.ts'
import { sweepState } from '../../src/protocol/storage/state.ts'
import { authUrl, Browser, isActive, populate, redeem, refresh, type World } from '../support/attack.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { inOneOfFive, until } from '../support/patience.ts'
import { startApp, startServer, type TestApp } from '../support/server.ts'

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
    insert into known_devices (device_id, user_id, sign_in_epoch, expires_at)
      values ('dead', '${world.bob.id}', 0, ${old}), ('living', '${world.bob.id}', 0, now() + interval '1 day');
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
    known_devices: 1,
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
  const dying = `
    insert into provider_state (hash, kind, payload, expires_at)
      select sha256(n::text::bytea), 'replay_detection', '{}', now() - interval '1 minute' from generate_series(1, 7000) n;
    insert into tokens (hash, kind, client_id, payload, expires_at)
      select sha256(('t' || n)::bytea), 'client_credentials', '${world.service.id}', '{}', now() - interval '1 minute'
      from generate_series(1, 7000) n;
  `

  await Promise.all([startSweeping(), startSweeping()])
  let token = String(first.body.refresh_token)
  await inOneOfFive(async () => {
    await database.db.pg.query(dying)
    let uses = 0
    await until(async () => {
      const refreshed = await refresh(app.origin, world.web, token)
      expect(refreshed.status).toBe(200)
      token = String(refreshed.body.refresh_token)
      uses++
      return (await dead()) === 0
    })

    expect(uses).toBeGreaterThan(3)
  })
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

test('one sweep that fails stops no other, and the log says which', async () => {
  const { db } = database
  const held = randomBytes(32)
  await run(
    db,
    sql`insert into tokens (hash, kind, client_id, payload, expires_at)
        values (${held}, 'client_credentials', ${world.service.id}, '{}', now() - interval '1 minute')`,
  )
  await db.pg.query(`
    create function refuse() returns trigger language plpgsql as $$ begin raise exception 'a broken disk'; end $$;
    create trigger refuse before delete on tokens for each row execute function refuse();
  `)
  await mark()
  const server = await startServer({
    databaseUrl: database.url,
    env: { SWEEP_INTERVAL_SECONDS: '1', LOG_LEVEL: 'warn' },
  })
  try {
    await until(async () => (await dead()) === 1)
    await until(() => /"kind":"tokens","msg":"a sweep failed/.test(server.output()))

    await db.pg.query('drop trigger refuse on tokens')

    await until(async () => (await dead()) === 0)
    expect(server.output()).not.toMatch(/"kind":"(?!tokens")/)
  } finally {
    await server.stop()
  }
})

test('one that does not come to an end leaves the others their turn', async () => {
  const endless = async () => SWEEP_BATCH
  const sweeper = startSweeper(
    { db: database.db, log: createLogger('silent') },
    { endless, sweepState },
    0,
    0.2,
  )

  await inOneOfFive(async () => {
    await mark()

    const swept = await sweeper.sweep()

    expect(swept.endless).toBeGreaterThan(SWEEP_BATCH)
    expect(swept.sweepState).toBe(1)
  })
})

test('of deleted apps that many used, what hangs on them goes first, in batches', async () => {
  const { db } = database
  const [people, each] = [3_000, 1_700]
  await db.pg.query(`
    insert into clients (id, name, type, deleted_at)
      select 'loved-' || n, 'Loved', 'native', now() - interval '91 days' from generate_series(1, 3) n;
    insert into users (id, email, name)
      select gen_random_uuid(), 'fan' || n || '@example.com', 'Fan' from generate_series(1, ${people}) n;
    insert into consents (user_id, client_id, scopes, client_name, client_host)
      select id, 'loved-1', '{openid}', 'Loved', 'x' from users where name = 'Fan';
    insert into client_refusals (client_id, at, attested, source, endpoint, error, kind, expected, came)
      select 'loved-2', now(), true, 0, '/token', 'x', 'other', '', '' from generate_series(1, ${each});
    insert into client_usage_days (client_id, day)
      select 'loved-2', current_date - n from generate_series(1, ${each}) n;
    insert into tokens (hash, kind, client_id, payload, expires_at)
      values (sha256('kept'), 'client_credentials', 'loved-3', '{}', now() + interval '1 hour');
  `)
  const left = () =>
    many(db, sql`select id from clients where name = 'Loved' order by id`).then((rows) => rows.length)
  const batches: number[] = []

  do batches.push(await sweepClients(db))
  while (batches.at(-1)! >= SWEEP_BATCH)

  // One full batch of a table ends a statement's turn; the clients go with the last one.
  expect(batches.length).toBe(6)
  expect(Math.max(...batches)).toBeLessThanOrEqual(2 * SWEEP_BATCH)
  expect(await left()).toBe(1)
  expect(await sweepClients(db)).toBe(0)
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
              + (select count(*) from known_devices where expires_at < now())
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
    'clients consents grants tokens provider_state sessions user_links known_devices rate_limits signing_keys'.split(
      ' ',
    )
  const pairs = tables.map(async (table) => {
    const { rows } = await database.db.pg.query<{ n: number }>(`select count(*)::int as n from ${table}`)
    return [table, rows[0]!.n] as const
  })
  return Object.fromEntries(await Promise.all(pairs))
}
