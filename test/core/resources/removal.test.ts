// Removing a scope that any number of apps hold: it is worth nothing at once, a job takes it from whatever names it, and
// what was allowed before does not come back with it.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { SYSTEM } from '../../../src/base/audit-events.ts'
import { findClient } from '../../../src/core/clients/store.ts'
import { findConsent, giveConsent } from '../../../src/core/grants/consents.ts'
import { findGrant } from '../../../src/core/grants/store.ts'
import { createRegistrationToken } from '../../../src/core/registration/initial-access-tokens.ts'
import { listResources } from '../../../src/core/resources/store.ts'
import { addScope, removeScope } from '../../../src/core/resources/update.ts'
import { findJob } from '../../../src/db/jobs.ts'
import { many, one, run, sql } from '../../../src/db/pool.ts'
import { type AdminFixture, startAdminFixture } from '../../pages/admin/admin-fixture.ts'
import type { Api, App, ServerFixture } from '../../support/flow.ts'
import { heard } from '../../support/heard.ts'
import { until } from '../../support/patience.ts'

const BANK = 'https://bank.example'
const PATH = `/admin/apis/${Buffer.from(BANK).toString('base64url')}`
const PAY = { name: 'bank.pay', sentence: 'Pay' }

let fixture: AdminFixture
let server: ServerFixture
let bank: Api
let app: App
beforeAll(async () => {
  fixture = await startAdminFixture()
  ;({ server } = fixture)
  bank = await server.api({
    identifier: BANK,
    name: 'Bank',
    scopes: [{ name: 'bank.read', sentence: 'See your balance' }, PAY],
  })
  app = await server.app({ scopes: ['openid', 'bank.read', 'bank.pay'] })
})
afterAll(() => server.stop())

test('it is gone at once, also while the job cannot get at the apps, and does not come back meanwhile', async () => {
  const { jamie, ada } = fixture
  const tokens = await app.connect(jamie, { scope: 'openid bank.read bank.pay' })
  const code = await app.code(jamie, { scope: 'openid bank.read bank.pay' })
  const service = await server.app({ type: 'service', scopes: ['bank.pay'] })
  const own = await service.post('/token', { grant_type: 'client_credentials', scope: 'bank.pay' })
  expect((await bank.introspect(own.body.access_token)).scope).toBe('bank.pay')
  const holder = await server.db.pg.connect()
  try {
    await holder.query('begin')
    await holder.query('select from clients where id = $1 for no key update', [app.id])

    const confirm = await ada.open(`${PATH}/scopes/${Buffer.from('bank.pay').toString('base64url')}/remove`)
    const page = await ada.press(confirm, 'Remove this scope')

    expect(page.text).toContain('bank.pay is removed.')
    expect(page.text).toMatch(/Being removed.* bank\.pay Under way See how far/)
    expect((await bank.introspect(tokens.access_token)).scope).toBe('bank.read')
    expect((await bank.introspect(own.body.access_token)).scope).toBeUndefined()
    expect((await findClient(server.db, app.id))!.scopes).toEqual(['openid', 'bank.read'])
    // The node's memory may be a moment behind; the row is not.
    const again = await service.post('/token', { grant_type: 'client_credentials', scope: 'bank.pay' })
    expect(again.body.error).toBe('invalid_scope')
    const redeemed = await app.post('/token', code.form)
    expect(redeemed.body.scope).toBe('openid bank.read')
    const refreshed = await app.refresh(tokens.refresh_token)
    expect(refreshed.body.scope).not.toContain('bank.pay')
    await heard(server)
    const asked = await jamie.open((await app.begin({ scope: 'bank.pay', nonce: undefined })).url)
    expect(asked.away!.searchParams.get('error')).toBe('invalid_scope')

    const back = await ada.press(await ada.open(`${PATH}/scopes/new`), 'Add', {
      scope: 'bank.pay',
      sentence: 'Pay',
    })
    expect(back.status).toBe(409)
    expect(back.text).toContain('bank.pay is still being taken from the apps that had it.')
    const [api] = (await listResources(server.db)).filter(({ identifier }) => identifier === BANK)
    expect(api).toMatchObject({ scopes: [{ name: 'bank.read' }], being_removed: [{ name: 'bank.pay' }] })
    const job = await ada.open(`/admin/jobs/${api!.being_removed[0]!.job_id}`)
    expect(job.text).toContain('Take bank.pay from apps and decisions')
  } finally {
    await holder.query('rollback')
    holder.release()
  }
  await finished()

  // What was allowed before does not come back with it: neither to the app, nor to tokens, nor unasked.
  await addScope(server.db, BANK, PAY, SYSTEM)
  expect((await findClient(server.db, app.id))!.scopes).toEqual(['openid', 'bank.read'])
  await run(server.db, sql`update clients set scopes = array_append(scopes, 'bank.pay') where id = ${app.id}`)
  await heard(server)
  expect((await bank.introspect(tokens.access_token)).scope).toBe('bank.read')
  const later = await app.connect(jamie, { scope: 'openid bank.read' })
  expect(later.scope).not.toContain('bank.pay')
  const consent = await jamie.open((await app.begin({ scope: 'openid bank.read bank.pay' })).url)
  expect(consent.title).toContain('wants access')
  expect(consent.text).toContain('Pay')
})

test('a job takes it from everything that names it, a window at a time, and records how many apps there were', async () => {
  await addScope(server.db, BANK, { name: 'bank.lend', sentence: 'Lend' }, SYSTEM)
  const { token } = await createRegistrationToken(
    server.db,
    { scopes: ['openid', 'bank.lend'], maxUses: 5, days: 1 },
    SYSTEM,
  )
  await crowd(2_500)
  const before = await one<{ version: number }>(
    server.db,
    sql`select version from clients where id = 'crowd7'`,
  )

  const job = await removeScope(server.db, BANK, 'bank.lend', SYSTEM)
  await finished()

  const left = await many(
    server.db,
    sql`select id from clients where 'bank.lend' = any(scopes)
        union all select client_id from client_registrations where 'bank.lend' = any(allowed_scopes)
        union all select id::text from registration_tokens where 'bank.lend' = any(scopes)
        union all select id::text from consents where 'bank.lend' = any(scopes || rejected_scopes)
        union all select id from grants where payload::text like '%bank.lend%'`,
  )
  expect(left).toEqual([])
  const rows = await one(
    server.db,
    sql`select (select scopes from clients where id = 'crowd7') as of_client,
               (select version from clients where id = 'crowd7') as version,
               (select allowed_scopes from client_registrations where client_id = 'crowd7') as of_registration,
               (select scopes from registration_tokens where id = ${token.id}) as of_token,
               (select scopes from consents where client_id = 'crowd7') as of_consent,
               (select rejected_scopes from consents where client_id = 'crowd8') as of_refusal,
               (select payload from grants where client_id = 'crowd7') as of_grant,
               (select payload from grants where client_id = 'crowd8') as of_rejected`,
  )
  expect(rows).toEqual({
    of_client: ['openid', 'bank.read'],
    version: before.version + 1,
    of_registration: ['openid'],
    of_token: ['openid'],
    of_consent: ['openid', 'bank.read'],
    of_refusal: ['bank.read'],
    of_grant: { openid: { scope: 'openid' }, resources: { [BANK]: 'bank.read' } },
    of_rejected: { resources: {}, rejected: { resources: { [BANK]: '' } } },
  })
  expect((await server.events({ type: 'resource.scope_taken' }))[0]!.data).toEqual({
    resource: BANK,
    scope: 'bank.lend',
    clients: 2_500,
    job_id: job!.id,
  })
})

test('a decision that is being stored meanwhile does not bring it back either', async () => {
  const { jamie } = fixture
  await addScope(server.db, BANK, { name: 'bank.move', sentence: 'Move' }, SYSTEM)
  const mover = await server.app({ scopes: ['openid', 'bank.read', 'bank.move'] })
  await heard(server)
  await mover.connect(jamie, { scope: 'openid bank.read' })
  const page = await jamie.open((await mover.begin({ scope: 'openid bank.read bank.move' })).url)
  const holder = await server.db.pg.connect()
  try {
    await holder.query('begin')
    await holder.query('select from consents where client_id = $1 for update', [mover.id])
    const allowing = jamie.press(page, 'Allow').catch(() => {})
    await waitsForLock()
    const removing = removeScope(server.db, BANK, 'bank.move', SYSTEM).then(finished)
    await Promise.race([removing, new Promise((resolve) => setTimeout(resolve, 1_000))])
    await holder.query('rollback')
    await Promise.all([allowing, removing])
  } finally {
    holder.release()
  }

  expect(await naming('bank.move')).toEqual([])
})

test('a decision of a node that has not heard of it yet leaves it out', async () => {
  const { id: user_id } = await server.person('Robin')
  const client = { id: app.id, name: 'App', host: 'app.example' }
  await addScope(server.db, BANK, { name: 'bank.give', sentence: 'Give' }, SYSTEM)
  await removeScope(server.db, BANK, 'bank.give', SYSTEM)
  await finished()

  const grant_id = await giveConsent(
    server.db,
    {
      user_id,
      client,
      scopes: ['openid', 'bank.read', 'bank.give'],
      rejected_scopes: [],
      expires_at: null,
      granted: { openid: { scope: 'openid' }, resources: { [BANK]: 'bank.give bank.read' } },
      device: { id: 'd', name: 'A device' },
    },
    { type: 'user', id: user_id },
  )

  expect(await naming('bank.give')).toEqual([])
  expect((await findConsent(server.db, user_id, app.id))!.scopes.sort()).toEqual(['bank.read', 'openid'])
  expect((await findGrant(server.db, grant_id))!.payload).toEqual({
    openid: { scope: 'openid' },
    resources: { [BANK]: 'bank.read' },
  })
})

describe('a job that has failed', () => {
  const BROKEN = { name: 'bank.break', sentence: 'Break' }
  const scopePath = `scopes/${Buffer.from(BROKEN.name).toString('base64url')}`

  /** Removes it with a job that a fault ends behind its first table. */
  async function failing(client_id: string): Promise<string> {
    await run(
      server.db,
      sql`update clients set scopes = array_append(scopes, ${BROKEN.name}) where id = ${client_id}`,
    )
    await server.db.pg.query(
      `create function break_down() returns trigger language plpgsql as $$ begin raise 'a fault'; end $$;
       create trigger break_down before update on client_registrations execute function break_down()`,
    )
    try {
      const job = await removeScope(server.db, BANK, BROKEN.name, SYSTEM)
      await finished()
      expect(await findJob(server.db, job!.id)).toMatchObject({ state: 'failed' })
      return job!.id
    } finally {
      await server.db.pg.query('drop function break_down cascade')
    }
  }

  beforeEach(async () => {
    await addScope(server.db, BANK, BROKEN, SYSTEM)
    await run(
      server.db,
      sql`update client_registrations set allowed_scopes = array_append(allowed_scopes, ${BROKEN.name})
          where client_id = 'crowd7'`,
    )
  })

  test('says so on its page, on that of the API and on the first one, and the same button goes on with it', async () => {
    const { ada } = fixture
    const job = await failing(app.id)

    const first = await ada.open('/admin')
    expect(first.text).toContain('A bulk removal has failed')
    const failed = await ada.open(`/admin/jobs/${job}`)
    expect(failed.text).toContain('Ask for it once more: that goes on with what is left.')
    const api = await ada.open(`${PATH}`)
    expect(api.text).toContain('bank.break Failed See why Go on')
    expect(api.html).toContain(`${PATH}/${scopePath}/remove`)
    const added = await ada.press(await ada.open(`${PATH}/scopes/new`), 'Add', {
      scope: BROKEN.name,
      sentence: BROKEN.sentence,
    })
    expect(added.status).toBe(409)
    expect(added.text).toContain(
      'Taking bank.break from the apps that had it has failed. Remove it once more',
    )

    const confirm = await ada.open(`${PATH}/${scopePath}/remove`)
    const done = await ada.press(confirm, 'Go on')
    expect(confirm.title).toContain('Go on removing bank.break from ')
    expect(done.text).toContain('Removing bank.break goes on.')
    await finished()

    expect(await registrationsWith(BROKEN.name)).toBe(0)
    const [started] = await server.events({ type: 'job.started' })
    expect(started).toMatchObject({ actor_id: ada.id, data: { kind: 'take_scope' } })
    // The apps were through before the fault; they count all the same.
    expect((await server.events({ type: 'resource.scope_taken' }))[0]!.data).toMatchObject({
      scope: BROKEN.name,
      clients: 1,
      job_id: started!.data.job_id,
    })
    await addScope(server.db, BANK, BROKEN, SYSTEM)
    await removeScope(server.db, BANK, BROKEN.name, SYSTEM)
    await finished()
  })

  test('goes on once, however many ask for it at once', async () => {
    await failing(app.id)

    const jobs = await Promise.all([1, 2, 3].map(() => removeScope(server.db, BANK, BROKEN.name, SYSTEM)))
    await finished()

    expect(jobs.filter(Boolean)).toHaveLength(1)
    expect(await registrationsWith(BROKEN.name)).toBe(0)
  })
})

async function registrationsWith(scope: string): Promise<number> {
  const { count } = await one<{ count: number }>(
    server.db,
    sql`select count(*)::int as count from client_registrations where ${scope} = any(allowed_scopes)`,
  )
  return count
}

/** Apps that registered themselves and hold bank.lend, and people who allowed it, or refused it. */
async function crowd(count: number): Promise<void> {
  await run(
    server.db,
    sql`insert into clients (id, name, type, scopes, registered_by)
        select 'crowd' || n, 'Crowd', 'spa', '{openid,bank.lend,bank.read}', 'itself' from generate_series(1, ${count}::int) n`,
  )
  const { id: user_id } = fixture.jamie
  await run(
    server.db,
    sql`with token as (
          insert into registration_tokens (hash, prefix, scopes, max_uses, expires_at)
          values (sha256('x'), 'x', '{openid}', 1, now()) returning id
        ), registered as (
          insert into client_registrations (client_id, access_hash, token_id, allowed_scopes, grant_types, token_endpoint_auth_method)
          select 'crowd' || n, sha256(n::text::bytea), token.id, '{openid,bank.lend}', '{}', 'none'
          from token, generate_series(1, ${count}::int) n
        ), decided as (
          insert into consents (user_id, client_id, scopes, rejected_scopes, client_name, client_host)
          select ${user_id}, 'crowd' || n,
                 case when n % 2 = 1 then '{openid,bank.lend,bank.read}'::text[] else '{openid}' end,
                 case when n % 2 = 1 then '{}'::text[] else '{bank.lend,bank.read}' end, 'x', 'x'
          from generate_series(1, ${count}::int) n returning id, user_id, client_id, scopes
        )
        insert into grants (id, consent_id, user_id, client_id, payload, device_id, expires_at)
        select 'g' || client_id, id, user_id, client_id,
               case when 'bank.lend' = any(scopes)
                    then json_build_object('openid', json_build_object('scope', 'openid'),
                                           'resources', json_build_object(${BANK}::text, 'bank.lend bank.read'))
                    else json_build_object('resources', json_build_object(),
                                           'rejected', json_build_object('resources', json_build_object(${BANK}::text, 'bank.lend')))
                    end,
               'd', now() + interval '1 day' from decided`,
  )
}

/** Decisions and grants that name a scope. */
function naming(scope: string): Promise<{ id: string }[]> {
  return many(
    server.db,
    sql`select id::text from consents where ${scope} = any(scopes || rejected_scopes)
        union all select id from grants where strpos(payload::text, ${scope}) > 0`,
  )
}

/** Resolves when some statement waits for a lock. */
async function waitsForLock(): Promise<void> {
  await until(async () => {
    const waiting = await many(
      server.db,
      sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    )
    return waiting.length > 0
  })
}

async function finished(): Promise<void> {
  await until(async () => {
    const open = await many(server.db, sql`select from jobs where state in ('waiting', 'running')`)
    return open.length === 0
  })
}
