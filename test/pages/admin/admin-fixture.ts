// What the tests of the console share: an administrator with a browser, a person and an app.
import { SYSTEM } from '../../../src/base/audit-events.ts'
import { setRole } from '../../../src/core/users/roles.ts'
import { many, one, run, sql } from '../../../src/db/pool.ts'
import {
  type Api,
  type App,
  type Page,
  type Person,
  type ServerFixture,
  startServerFixture,
} from '../../support/flow.ts'
import { heard } from '../../support/heard.ts'

/** A server with an administrator, a person and an app. */
export interface AdminFixture {
  server: ServerFixture & { photos: Api }
  /** Signed in just now. */
  ada: Person
  jamie: Person
  app: App
}

/** Starts them. */
export async function startAdminFixture(
  env?: Record<string, string>,
  parts?: Parameters<typeof startServerFixture>[1],
): Promise<AdminFixture> {
  const server = await startServerFixture(env, parts)
  const ada = await administrator(server, 'Ada')
  const jamie = await server.person('Jamie')
  await ada.account('/admin')
  return { server, ada, jamie, app: await server.app() }
}

/** Adds an administrator. */
export async function administrator(server: ServerFixture, name: string): Promise<Person> {
  const person = await server.person(name)
  await setRole(server.db, person.id, 'admin', SYSTEM)
  return person
}

/** Makes all sign-ins of a person so many minutes old. */
export async function ageSignIns(server: ServerFixture, person: Person, minutes: number): Promise<void> {
  await run(
    server.db,
    sql`update sessions
        set payload = jsonb_set(payload::jsonb, '{loginTs}',
                                to_jsonb((payload ->> 'loginTs')::bigint - ${minutes * 60}::int))::json
        where user_id = ${person.id}`,
  )
}

/** The value of the hidden CSRF field of a page. */
export function csrfOf(page: Page): string {
  const found = /name="csrf" value="([^"]*)"/.exec(page.html)
  if (!found) throw new Error(`no form on ${page.url.pathname}: ${page.text}`)
  return found[1]!
}

/** Makes an app one that waits for approval, with these owners. */
export async function makePending(server: ServerFixture, app: App, ...owners: Person[]): Promise<void> {
  await run(
    server.db,
    sql`update clients set state = 'pending', registered_by = 'developer' where id = ${app.id}`,
  )
  for (const { id } of owners) {
    await run(server.db, sql`insert into client_owners (client_id, user_id) values (${app.id}, ${id})`)
  }
  await heard(server)
}

/** The row of a client. */
export function clientRow(server: ServerFixture, id: string): Promise<Record<string, unknown>> {
  return one(server.db, sql`select * from clients where id = ${id}`)
}

/** The rows that administrators can change, as text: tests compare it to see that nothing changed. */
export async function adminRows(server: ServerFixture): Promise<string> {
  const rows = await many(
    server.db,
    sql`select (select json_agg(to_jsonb(c) - 'last_used_at' order by id) from clients c) as clients,
               (select json_agg(to_jsonb(s) - 'last_used_at' order by id) from client_secrets s) as secrets,
               (select json_agg(u order by id) from (select id, role, disabled_at from users) u) as users,
               (select json_agg(r order by name) from resource_scopes r) as scopes,
               (select json_agg(k order by kid) from (select kid, state from signing_keys) k) as keys,
               (select json_agg(s order by id) from consents s) as consents,
               (select count(*) from jobs) as jobs`,
  )
  return JSON.stringify(rows)
}
