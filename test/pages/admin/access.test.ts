// Who allowed what, ended one by one and in bulk: a job that goes on without the page that asked for it, on any node.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { SYSTEM } from '../../../src/base/audit-events.ts'
import { END_ACCESS, endAccessStep, endAllAccess } from '../../../src/core/grants/revoke.ts'
import { createJob, findJob, workOnce } from '../../../src/db/jobs.ts'
import { one, run, sql, tx } from '../../../src/db/pool.ts'
import { createTestDatabase } from '../../support/database.ts'
import type { App, Page, Person, ServerFixture } from '../../support/flow.ts'
import { until, untilPasses } from '../../support/patience.ts'
import { startApp } from '../../support/server.ts'
import { type AdminFixture, startAdminFixture } from './admin-fixture.ts'

let fixture: AdminFixture
let server: ServerFixture
let ada: Person
let jamie: Person
let app: App
beforeAll(async () => {
  fixture = await startAdminFixture()
  ;({ server, ada } = fixture)
})
afterAll(() => fixture.server.stop())
beforeEach(async () => {
  app = await server.app()
  jamie = await server.person('Jamie')
})

test('lists who allowed what to whom since when, last used, and filters by person and app', async () => {
  const robin = await server.person('Robin')
  await app.connect(jamie, {}, { keep: 'month' })
  await app.connect(jamie.elsewhere())
  await app.connect(robin)

  const list = async (query: Record<string, string>): Promise<string> =>
    (await ada.open(`/admin/consents?${new URLSearchParams(query)}`)).text

  const both = await list({ app: app.id })
  expect(both).toContain(jamie.email)
  expect(both).toContain(robin.email)
  expect(both).toContain('2 devices')
  expect(both).toContain('openid, profile, email, photos.read')
  const one = await list({ app: app.id, user: jamie.email })
  expect(one).toContain(jamie.email)
  expect(one).not.toContain(robin.email)
  expect(await list({ user: robin.id })).toContain('Photo Printer')
  expect(await list({ user: 'nobody@example.com' })).toContain('No account has this email address or id.')
  expect(await list({ app: 'c_none' })).toContain('No app has this client id.')
})

test('one is ended: on all devices, and it must be allowed again', async () => {
  const here = await app.connect(jamie)
  const there = await app.connect(jamie.elsewhere())
  const { id } = await one<{ id: string }>(
    server.db,
    sql`select id from consents where user_id = ${jamie.id}`,
  )

  const confirm = await ada.open(`/admin/consents/${id}/end`)
  expect(confirm.text).toContain('This ends it on all 2 devices.')
  const page = await ada.press(confirm, 'End access')

  expect(page.text).toContain(`Photo Printer has no access to ${jamie.email} any more.`)
  for (const { access_token, refresh_token } of [here, there]) {
    expect(await fixture.server.photos.introspect(access_token)).toEqual({ active: false })
    expect((await app.refresh(refresh_token)).body.error).toBe('invalid_grant')
  }
  expect((await jamie.open((await app.begin()).url)).title).toContain('wants access')
  expect((await jamie.open('/account/activity')).text).toContain('The access of Photo Printer was ended')
  expect((await ada.press(confirm, 'End access')).status).toBe(404)
  const [event] = await server.events({ type: 'consent.revoked', user_id: jamie.id })
  expect(event).toMatchObject({ actor_id: ada.id, client_id: app.id, data: { grants: 2 } })
})

describe('in bulk', () => {
  test('all of an app end in the background, and the page tells how far it has come', async () => {
    const { access_token } = await app.connect(jamie)
    await crowd(app.id, 1_300)
    const { body } = await app.post('/token', { grant_type: 'client_credentials', scope: 'photos.read' })
    const other = await server.app()
    const kept = await other.connect(jamie)

    const confirm = await ada.open(`/admin/clients/${app.id}/end-access`)
    const begun = await ada.press(confirm, 'End all access')

    expect(begun.url.pathname).toMatch(/^\/admin\/jobs\//)
    const page = await finished(begun)
    expect(page.text).toContain('1,301 of 1,301 done')
    expect(await living(app.id)).toBe(0)
    expect(await fixture.server.photos.introspect(access_token)).toEqual({ active: false })
    expect(await fixture.server.photos.introspect(body.access_token)).toEqual({ active: false })
    expect((await fixture.server.photos.introspect(kept.access_token)).active).toBe(true)
    const [started] = await server.events({ type: 'job.started', client_id: app.id })
    expect(started).toMatchObject({ actor_type: 'user', actor_id: ada.id })
    const [ended] = await server.events({ type: 'consent.revoked', client_id: app.id })
    expect(ended).toMatchObject({ actor_id: ada.id, data: { job_id: page.url.pathname.split('/').at(-1) } })
    expect((await ada.open('/admin/jobs')).text).toContain('End the access of Photo Printer')
  })

  test('all of a filter, from the list', async () => {
    const other = await server.app({ name: 'Other App' })
    const { access_token } = await app.connect(jamie)
    const kept = await other.connect(jamie)
    const list = await ada.open(`/admin/consents?${new URLSearchParams({ user: jamie.email, app: app.id })}`)
    const href = /href="(\/admin\/consents\/end\?[^"]*)"/.exec(list.html)![1]!.replaceAll('&amp;', '&')

    const confirm = await ada.open(href)
    expect(confirm.text).toContain(`End the access of Photo Printer to the account of ${jamie.email}?`)
    await finished(await ada.press(confirm, 'End all of it'))

    expect(await fixture.server.photos.introspect(access_token)).toEqual({ active: false })
    expect((await fixture.server.photos.introspect(kept.access_token)).active).toBe(true)
  })

  test('never everything: a form without its filter ends nothing', async () => {
    await app.connect(jamie)
    const csrf = /name="csrf" value="([^"]*)"/.exec((await ada.open('/account')).html)![1]!

    const page = await ada.post('/admin/consents/end', { csrf })

    expect(page.status).toBe(404)
    expect(await living(app.id)).toBe(1)
    expect(() => endAllAccess(server.db, {}, SYSTEM)).toThrow('everything is too much')
  })
})

describe('a job', () => {
  test('is worked off by several nodes at once, each batch once, and what a broken one did is kept', async () => {
    const database = await createTestDatabase()
    try {
      await run(database.db, sql`create table work (n int primary key, done_by int)`)
      await run(database.db, sql`insert into work (n) select generate_series(1, 100)`)
      const job = await createJob(database.db, { kind: 'count', params: {}, actor: {} })
      let calls = 0
      const step =
        (node: number): Parameters<typeof workOnce>[1][string] =>
        async (t) => {
          const done = await run(
            t,
            sql`update work set done_by = ${node}
                where n in (select n from work where done_by is null order by n limit 10)`,
          )
          // A node that goes away in the middle of a batch.
          if (++calls === 4) throw Object.assign(new Error('gone'), { code: '57P01' })
          return { done, total: 100, finished: done < 10 }
        }
      const failures: unknown[] = []
      const note = (error: unknown) => failures.push(error)
      const node = async (n: number): Promise<void> => {
        for (let i = 0; i < 200; i++) {
          try {
            await workOnce(database.db, { count: step(n) }, { failed: note, heldUp: note })
          } catch (error) {
            failures.push(error)
          }
          if ((await findJob(database.db, job.id))!.state !== 'running' && i > 20) break
        }
      }
      await Promise.all([node(1), node(2), node(3)])

      const after = await findJob(database.db, job.id)
      expect(failures).toHaveLength(1)
      // The one that failed for a reason of its own says so, and nothing of its batch counts.
      const { done } = await one<{ done: number }>(
        database.db,
        sql`select count(done_by)::int as done from work`,
      )
      expect(after).toMatchObject({ state: 'failed', done })
      expect(done % 10).toBe(0)
    } finally {
      await database.drop()
    }
  })

  test('ends what an app does without people a batch at a time, and nothing that came after it was asked for', async () => {
    const service = await server.app({ type: 'service', scopes: ['photos.read'] })
    const issue = (count: number, kind: string) =>
      run(
        server.db,
        sql`insert into tokens (hash, kind, client_id, payload, issued_at, expires_at)
            select sha256((${kind}::text || n)::bytea), 'client_credentials', ${service.id}, '{}', clock_timestamp(), now() + interval '1 hour'
            from generate_series(1, ${count}::int) n`,
      )
    await issue(10_001, 'before')
    const job = await createJob(server.db, {
      kind: 'end_access_later',
      params: { client_id: service.id },
      actor: { type: 'cli' },
    })
    await issue(1, 'after')
    const left = async () => {
      const { count } = await one<{ count: number }>(
        server.db,
        sql`select count(*)::int as count from tokens where client_id = ${service.id}`,
      )
      return count
    }

    expect(await tx(server.db, (t) => endAccessStep(t, job))).toMatchObject({ finished: false })
    expect(await left()).toBe(2)
    expect(await tx(server.db, (t) => endAccessStep(t, job))).toMatchObject({ finished: true })
    expect(await left()).toBe(1)
  })

  test('that nobody has finished is taken up by the next server that starts', async () => {
    await crowd(app.id, 700)
    const job = await createJob(server.db, {
      kind: 'end_access_later',
      params: { client_id: app.id },
      actor: { type: 'cli' },
    })
    // One batch by a node that then goes away, unless the server of this test is faster.
    await run(server.db, sql`update jobs set kind = ${END_ACCESS}, state = 'waiting' where id = ${job.id}`)
    await workOnce(server.db, { [END_ACCESS]: endAccessStep }, { failed() {}, heldUp() {} })
    const next = await startApp({ db: server.db })
    try {
      await until(async () => (await findJob(server.db, job.id))!.state === 'done')
    } finally {
      await next.stop()
    }

    expect(await findJob(server.db, job.id)).toMatchObject({ state: 'done', done: 700, total: 700 })
    expect(await living(app.id)).toBe(0)
  })
})

/** Many people who allow an app, each on one device. */
async function crowd(client_id: string, people: number): Promise<void> {
  await server.db.pg.query(
    `with people as (
       insert into users (email, name) select 'p' || n || '.${client_id.toLowerCase()}@crowd.example', 'P' from generate_series(1, ${people}) n
       returning id
     ), allowed as (
       insert into consents (user_id, client_id, scopes, client_name, client_host)
       select id, '${client_id}', '{openid}', 'x', 'x' from people returning id, user_id
     )
     insert into grants (id, consent_id, user_id, client_id, payload, device_id, expires_at)
     select 'g_' || id, id, user_id, '${client_id}', '{}', 'd', now() + interval '1 day' from allowed`,
  )
}

async function living(client_id: string): Promise<number> {
  const { count } = await one<{ count: number }>(
    server.db,
    sql`select (select count(*) from consents where client_id = ${client_id} and revoked_at is null)::int
             + (select count(*) from grants where client_id = ${client_id} and revoked_at is null
                  and not exists (select from consents s where s.id = consent_id and s.revoked_at is null))::int as count`,
  )
  return count
}

async function finished(begun: Page): Promise<Page> {
  return untilPasses(async () => {
    const page = await ada.open(begun.url)
    if (page.text.includes('Look again')) throw new Error('the job did not end')
    return page
  })
}
