// npm run bench -- --console: how long the administrators' pages take with very many apps, grants and events. Apps, people
// and decisions are made by SQL; the pages are asked for over HTTP by somebody who is signed in.
import { SYSTEM } from '../src/base/audit-events.ts'
import { createClient } from '../src/core/clients/create.ts'
import { createResource } from '../src/core/resources/store.ts'
import { setRole } from '../src/core/users/roles.ts'
import { createUser } from '../src/core/users/store.ts'
import { type Db, one, run, sql } from '../src/db/pool.ts'
import { PASSWORD, Person, PHOTOS } from '../test/support/flow.ts'
import { percentile } from './load.ts'
import { settle } from './seed.ts'

/** How much there is. */
export interface Size {
  apps: number
  people: number
  /** Decisions and grants, one of each. A tenth of them is about one app, which most people use. */
  grants: number
  events: number
}

/** An installation that is larger than most will be. */
export const FULL: Size = { apps: 100_000, people: 200_000, grants: 1_000_000, events: 500_000 }

/** A look that takes seconds. */
export const SMALL: Size = { apps: 1_000, people: 500, grants: 4_000, events: 1_000 }

/** A page and how long it took, in milliseconds, from asking to the last byte. */
export interface PageTime {
  page: string
  path: string
  times: number[]
}

const REPEATS = 11

/** Fills a migrated database. @returns the addresses of the pages to ask for, by what they show. */
export async function fillConsole(db: Db, size: Size): Promise<[page: string, path: string][]> {
  await createResource(db, PHOTOS, SYSTEM)
  const { client: hot } = await createClient(
    db,
    { name: 'Photo Printer', type: 'web', redirect_uris: ['https://printer.example/cb'] },
    SYSTEM,
  )
  await run(
    db,
    sql`insert into users (id, email, email_verified, name, created_at)
        select md5('user ' || i)::uuid, 'person-' || i || '@bench.example', true, 'Person ' || i,
               now() - make_interval(secs => i * 60)
        from generate_series(1, ${size.people}::int) i`,
  )
  await run(
    db,
    sql`insert into clients (id, name, type, redirect_uris, scopes, homepage_uri, registered_by, state, suspended_at,
                             created_at, last_used_at)
        select 'bench-' || i, (array['Photo', 'Mail', 'Calendar', 'Bank', 'Travel'])[i % 5 + 1] || ' App ' || i,
               (array['web', 'spa', 'native', 'service'])[i % 4 + 1],
               case when i % 4 = 3 then '{}' else array['https://app-' || i || '.example/callback'] end,
               '{openid,photos.read}', 'https://app-' || i || '.example/',
               (array['admin', 'developer', 'developer', 'itself', 'itself'])[i % 5 + 1],
               case when i % 500 = 0 then 'pending' when i % 700 = 0 then 'rejected' else 'active' end,
               case when i % 300 = 0 then now() end,
               now() - make_interval(secs => i * 120),
               case when i % 3 > 0 then now() - make_interval(mins => i) end
        from generate_series(1, ${size.apps}::int) i`,
  )
  await run(
    db,
    sql`insert into client_owners (client_id, user_id)
        select 'bench-' || i, md5('user ' || i % ${size.people}::int + 1)::uuid
        from generate_series(1, ${size.apps}::int) i`,
  )
  await run(
    db,
    sql`insert into client_secrets (client_id, hash, prefix)
        select 'bench-' || i, sha256(('secret ' || i)::bytea), 'vk_cs_' || left(md5(i::text), 6)
        from generate_series(1, ${size.apps}::int) i where i % 4 in (0, 3)`,
  )
  await run(
    db,
    sql`insert into client_registrations (client_id, access_hash, grant_types, token_endpoint_auth_method)
        select id, sha256(id::bytea), '{authorization_code}', 'none' from clients where registered_by = 'itself'`,
  )
  await run(
    db,
    sql`insert into client_usage_days (client_id, day, tokens, refused)
        select c.id, current_date - d, d * 10, d from clients c, generate_series(0, 89) d
        where c.id = ${hot.id} or c.id like 'bench-10__'`,
  )
  // Each person decides about some apps, the n-th time about another one.
  await run(
    db,
    sql`insert into consents (id, user_id, client_id, scopes, client_name, client_host, created_at)
        select md5('consent ' || i)::uuid, md5('user ' || i % ${size.people}::int + 1)::uuid,
               case when i < ${size.grants}::int / 10 then ${hot.id}
                    else 'bench-' || (i % ${size.people}::int * 17 + i / ${size.people}::int * 7919) % ${size.apps}::int + 1
               end,
               '{openid,photos.read}', 'An app', 'app.example', now() - make_interval(secs => i)
        from generate_series(0, ${size.grants}::int - 1) i
        on conflict do nothing`,
  )
  await run(
    db,
    sql`insert into grants (id, consent_id, user_id, client_id, payload, device_id, device, created_at, expires_at)
        select md5('grant ' || id::text), id, user_id, client_id, '{"openid": {"scope": "openid"}}', md5(id::text),
               'Firefox on Linux', created_at, now() + interval '30 days'
        from consents`,
  )
  await run(
    db,
    sql`insert into audit_events (at, type, actor_type, actor_id, user_id, client_id, ip, data)
        select now() - make_interval(secs => i * 5),
               (array['sign_in.succeeded', 'app.allowed', 'sign_in.failed', 'app.removed'])[i % 4 + 1], 'user',
               md5('user ' || i % ${size.people}::int + 1), md5('user ' || i % ${size.people}::int + 1)::uuid,
               'bench-' || i % ${size.apps}::int + 1, '192.0.2.1', '{}'
        from generate_series(1, ${size.events}::int) i`,
  )
  await settle(db)
  const { id: person } = await one<{ id: string }>(db, sql`select md5('user 7')::uuid::text as id`)
  const { total } = await one<{ total: number }>(db, sql`select count(*)::int as total from grants`)
  console.log(`${total.toLocaleString('en')} grants, ${size.apps.toLocaleString('en')} apps`)
  const after = `bench-${Math.floor(size.apps / 2)}`
  return [
    ['overview', '/admin'],
    ['apps, newest first', '/admin/clients'],
    ['apps, from the middle on', `/admin/clients?after=${after}`],
    ['apps by a name that a fifth has', '/admin/clients?q=photo'],
    ['apps by a name that one has', `/admin/clients?q=app%20${size.apps - 3}`],
    ['apps by redirect URI', `/admin/clients?q=app-${size.apps - 5}.example`],
    ['apps by what every one has', '/admin/clients?q=example'],
    ['apps by what none has', '/admin/clients?q=nothing-like-it'],
    ['apps by owner', '/admin/clients?q=person-77@bench'],
    ['apps that wait', '/admin/clients?state=pending'],
    ['apps that are suspended', '/admin/clients?state=suspended'],
    ['apps that registered themselves, unused for 90 days', '/admin/clients?by=itself&unused=90'],
    ['native apps by developers with a name', '/admin/clients?q=calendar&type=native&by=developer'],
    ['apps with a change that waits', '/admin/clients?state=changed'],
    ['cleaning up after apps that registered themselves', '/admin/clients/clean-up?days=90'],
    ['registration tokens', '/admin/registration-tokens'],
    ['one app', '/admin/clients/bench-7'],
    ['errors of an app', `/admin/clients/${hot.id}/errors`],
    ['usage of an app', `/admin/clients/${hot.id}/usage`],
    ['the app that most people use', `/admin/clients/${hot.id}`],
    ['editing an app', '/admin/clients/bench-7/edit'],
    ['ending the access of the app that most use', `/admin/clients/${hot.id}/end-access`],
    ['deleting the app that most use', `/admin/clients/${hot.id}/delete`],
    ['people', '/admin/users'],
    ['people by a name that all have', '/admin/users?q=person'],
    ['people by address', `/admin/users?q=person-${size.people - 9}@`],
    ['one person', `/admin/users/${person}`],
    ['access, newest first', '/admin/consents'],
    ['access of the app that most people use', `/admin/consents?app=${hot.id}`],
    ['access of one person', `/admin/consents?user=${person}`],
    ['jobs', '/admin/jobs'],
    ['APIs', '/admin/apis'],
    ['signing keys', '/admin/keys'],
    ['audit log', '/admin/audit'],
    ['audit log of one type', '/admin/audit?type=sign_in.failed'],
    ['audit log of one person', `/admin/audit?user=${person}`],
    ['audit log of one app', '/admin/audit?app=bench-7'],
  ]
}

/** Asks for each page several times, one after the other, as an administrator. */
export async function timePages(db: Db, origin: string, pages: [string, string][]): Promise<PageTime[]> {
  const email = 'admin@bench.example'
  const input = { email, name: 'Ada', password: PASSWORD, email_verified: true }
  const user = await createUser(db, input, SYSTEM)
  await setRole(db, user.id, 'admin', SYSTEM)
  const ada = new Person(origin, user.id, email)
  await ada.account('/admin')
  const timed: PageTime[] = []
  for (const [page, path] of pages) {
    const times: number[] = []
    for (let i = 0; i < REPEATS; i++) {
      const start = performance.now()
      const { status } = await ada.open(path)
      times.push(performance.now() - start)
      if (status !== 200) throw new Error(`${path} answered ${status}`)
    }
    timed.push({ page, path, times })
  }
  return timed
}

/** The table of a run. */
export function consoleReport(description: string, size: Size, pages: PageTime[]): string {
  const lines = [
    description,
    `- ${size.apps.toLocaleString('en')} apps, ${size.people.toLocaleString('en')} people, ${size.grants.toLocaleString('en')} decisions and as many grants (a tenth of them of one app), ${size.events.toLocaleString('en')} events; each page ${REPEATS} times, one after the other, from asking to the last byte; the first time its view is compiled`,
    '',
    '| page | address | median ms | slowest ms |',
    '|---|---|--:|--:|',
  ]
  for (const { page, path, times } of pages) {
    const middle = percentile({ count: times.length, seconds: 0, latencies: times }, 0.5)
    const address = path.replace(/c_[\w-]{16}/, '…').replace(/[\da-f-]{36}/, '…')
    lines.push(`| ${page} | \`${address}\` | ${middle.toFixed(1)} | ${Math.max(...times).toFixed(1)} |`)
  }
  return lines.join('\n')
}
