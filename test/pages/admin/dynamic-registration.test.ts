// What administrators do about apps that register themselves: tokens that let them, and cleaning up after them.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { SYSTEM } from '../../../src/base/audit-events.ts'
import { findClient } from '../../../src/core/clients/store.ts'
import { cleanUpApps } from '../../../src/core/registration/cleanup.ts'
import { many, run, sql } from '../../../src/db/pool.ts'
import type { Page, Person, ServerFixture } from '../../support/flow.ts'
import { until } from '../../support/patience.ts'
import { type AdminFixture, startAdminFixture } from './admin-fixture.ts'

let fixture: AdminFixture
let server: ServerFixture
let ada: Person
beforeAll(async () => {
  fixture = await startAdminFixture({ LOG_LEVEL: 'error', DYNAMIC_REGISTRATION: 'token' })
  ;({ server, ada } = fixture)
})
afterAll(() => server.stop())

const MARKUP = '<img src=x onerror=alert(1)>'

describe('a registration token', () => {
  const make = async (fields: Record<string, string | string[]>): Promise<Page> =>
    ada.press(await ada.open('/admin/registration-tokens/new'), 'Make the token', fields)
  const shown = (page: Page): string => /vk_ri_[\w-]+/.exec(page.text)![0]
  const register = async (token: string) =>
    fetch(`${server.origin}/register`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${token}` },
      body: JSON.stringify({ client_name: 'Printer', redirect_uris: ['https://printer.example/cb'] }),
    })

  test('is made with its limits, shown once, lets so many in, and is revoked', async () => {
    const page = await make({
      name: `Team ${MARKUP}`,
      uses: '2',
      days: '3',
      scope: ['openid', 'photos.read'],
    })
    const value = shown(page)
    expect(page.headers.get('cache-control')).toBe('no-store')
    expect(await (await register(value)).json()).toMatchObject({ scope: 'openid photos.read' })

    const list = await ada.open('/admin/registration-tokens')
    expect(list.html).not.toContain(value)
    expect(list.html).not.toContain('<img src=x')
    expect(list.text).toContain(`Team ${MARKUP} Live 1 of 2 openid photos.read`)
    const href = /href="([^"]*\/revoke)"/.exec(list.html)![1]!
    const done = await ada.press(await ada.open(href), 'Revoke this token')

    expect(done.text).toContain('The token is revoked.')
    expect(done.text).toContain('Revoked 1 of 2')
    expect((await register(value)).status).toBe(401)
    expect((await ada.press(await ada.open(href), 'Revoke this token')).text).toContain('revoked already')
    expect((await server.events({ type: 'registration_token.created' }))[0]).toMatchObject({
      actor_id: ada.id,
      data: { max_uses: 2, scopes: ['openid', 'photos.read'], client_credentials: false },
    })
    expect((await server.events({ type: 'registration_token.revoked' }))[0]).toMatchObject({
      actor_id: ada.id,
    })
  })

  test.each([
    [{ uses: '0' }, 'Apps: give a number from 1 to 10,000.'],
    [{ days: '4000' }, 'Days: give a number from 1 to 3,650.'],
    [{ scope: 'photos.burn' }, 'Scopes: "photos.burn" belongs to no API'],
    [{ name: 'x'.repeat(101) }, 'Whom it is for: has more than 100 characters'],
  ])('%j is refused, and what was typed stays', async (wrong, words) => {
    const page = await make({ name: 'Team', ...wrong })

    expect(page.status).toBe(422)
    expect(page.text).toContain(words)
    if (!('name' in wrong)) expect(page.html).toContain('value="Team"')
  })

  test('one that there is not is not revoked', async () => {
    const nobody = '00000000-0000-4000-8000-000000000000'

    expect((await ada.open(`/admin/registration-tokens/${nobody}/revoke`)).status).toBe(404)
    expect((await ada.open('/admin/registration-tokens/x/revoke')).status).toBe(404)
  })

  test('is linked from the apps only where apps may register themselves', async () => {
    const off = await startAdminFixture()
    try {
      expect((await ada.open('/admin/clients')).html).toContain('/admin/registration-tokens')
      expect((await off.ada.open('/admin/clients')).html).not.toContain('/admin/registration-tokens')
      expect((await off.ada.open('/admin/registration-tokens')).text).toContain('DYNAMIC_REGISTRATION is off')
    } finally {
      await off.server.stop()
    }
  })
})

describe('cleaning up', () => {
  /** Apps that registered themselves, so many days ago. */
  async function itself(prefix: string, count: number, days: number, more = sql`select`): Promise<void> {
    await run(
      server.db,
      sql`insert into clients (id, name, type, redirect_uris, registered_by, created_at)
          select ${prefix} || n, 'Stray ' || n, 'web', array['https://' || n || '.stray.example/cb'], 'itself',
                 now() - make_interval(days => ${days})
          from generate_series(1, ${count}) n`,
    )
    await run(
      server.db,
      sql`insert into client_registrations (client_id, access_hash, grant_types, token_endpoint_auth_method)
          select ${prefix} || n, sha256((${prefix} || n)::bytea), '{authorization_code}', 'none'
          from generate_series(1, ${count}) n`,
    )
    await run(server.db, more)
  }
  const left = async (): Promise<string[]> =>
    (
      await many<{ id: string }>(
        server.db,
        sql`select id from clients where registered_by = 'itself' and deleted_at is null and id like 's\\_%' order by id`,
      )
    ).map(({ id }) => id)

  async function finished(page: Page): Promise<Page> {
    let now = page
    await until(async () => {
      if (now.text.includes('Look again')) now = await ada.open(page.url)
      return !now.text.includes('Look again')
    })
    return now
  }

  test('takes away the unused and unverified ones, in the background, each on record', async () => {
    await itself('s_old_', 230, 60)
    await itself('s_young_', 3, 5)
    await itself('s_seen_', 1, 60, sql`update clients set last_used_at = now() where id = 's_seen_1'`)
    await itself('s_verified_', 1, 60, sql`update clients set verified_at = now() where id = 's_verified_1'`)
    const form = await ada.open('/admin/clients/clean-up?days=30')
    expect(form.text).toContain('Delete 230 apps?')
    expect(form.text).toContain('and 220 more')
    expect(form.text).toMatch(/Stray \d+ Registered itself \d+\.stray\.example/)

    const wrong = await ada.press(form, 'Delete them', { confirm: '229' })
    expect(wrong.status).toBe(422)
    expect(wrong.text).toContain('How many: type 230.')
    expect(await left()).toHaveLength(235)
    const begun = await ada.press(await ada.open('/admin/clients/clean-up?days=30'), 'Delete them', {
      confirm: '230',
    })

    expect(begun.url.pathname).toMatch(/^\/admin\/jobs\//)
    const page = await finished(begun)
    expect(page.text).toContain('230 of 230 done')
    expect(page.text).toContain('Delete apps that registered themselves and were not used for 30 days')
    expect(await left()).toEqual(['s_seen_1', 's_verified_1', 's_young_1', 's_young_2', 's_young_3'])
    const events = await many<{ client_id: string }>(
      server.db,
      sql`select client_id from audit_events
          where type = 'client.deleted' and actor_id = ${ada.id} and client_id like 's\\_old%'`,
    )
    expect(events).toHaveLength(230)
    expect(await findClient(server.db, fixture.app.id)).toBeDefined()
    expect((await ada.open('/admin/clients/clean-up?days=30')).text).toContain('There is nothing to clean up')
  })

  test.each(['0', '-1', 'all', '4000', '1.5'])('%s days are refused', async (days) => {
    const page = await ada.open(`/admin/clients/clean-up?days=${days}`)

    expect(page.status).toBe(422)
    expect(page.text).toContain('Days: must be a whole number from 1 to 3650, e.g. 30.')
    expect(() => cleanUpApps(server.db, Number(days), SYSTEM)).toThrow('days: ')
  })

  test('the list and the page of an app name the host that it sends people to, not the one it claims', async () => {
    await run(
      server.db,
      sql`update clients set homepage_uri = 'https://bank.example/' where id = 's_young_1'`,
    )

    const list = await ada.open('/admin/clients?by=itself&q=s_young_1')
    const page = await ada.open('/admin/clients/s_young_1')

    expect(list.text).toContain('Registered itself 1.stray.example')
    expect(list.text).not.toContain('bank.example')
    expect(page.text).toMatch(/Registered itself [^.]*1\.stray\.example/)
  })
})
