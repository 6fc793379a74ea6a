// What the tests of the developers' pages share: developers, an administrator, and apps registered on the real pages.
import { SYSTEM } from '../../../src/base/audit-events.ts'
import { approveClient } from '../../../src/core/clients/review.ts'
import { createOwnApp, type OwnInput } from '../../../src/core/ownership/developer-clients.ts'
import { many, one, run, sql } from '../../../src/db/pool.ts'
import {
  type Api,
  App,
  type Page,
  type Person,
  type ServerFixture,
  startServerFixture,
} from '../../support/flow.ts'
import { administrator } from '../admin/admin-fixture.ts'

/** A server with two developers, somebody who uses apps, and an administrator. */
export interface DeveloperFixture {
  server: ServerFixture & { photos: Api }
  dev: Person
  other: Person
  sam: Person
  ada: Person
}

/** The form of a web app. */
export const WEB = {
  name: 'Calendar',
  type: 'web',
  description: 'Prints calendars',
  redirect_uris: 'https://calendar.example/callback',
  scope: ['openid', 'profile', 'email', 'photos.read'],
}

/** Starts them. Everybody is signed in. */
export async function startDeveloperFixture(env?: Record<string, string>): Promise<DeveloperFixture> {
  const server = await startServerFixture(env)
  const [dev, other, sam] = [
    await server.person('Dev'),
    await server.person('Other'),
    await server.person('Sam'),
  ]
  const ada = await administrator(server, 'Ada')
  for (const person of [dev, other, sam]) await person.account()
  await ada.account('/admin')
  return { server, dev, other, sam, ada }
}

/** Resets the limits on changes: tests do in seconds what takes people days. */
export async function resetChangeLimits({ server }: { server: ServerFixture }): Promise<void> {
  await run(server.db, sql`delete from rate_limits where key like 'changes%'`)
}

/** Registers an app without a browser. It is active unless `approval` is needed. */
export async function ownApp(
  { server }: { server: ServerFixture },
  owner: Person,
  { approval = false, ...input }: Partial<OwnInput> & { approval?: boolean } = {},
): Promise<App> {
  const { client, secret } = await createOwnApp(
    server.db,
    {
      name: 'Calendar',
      type: 'web',
      ...(input.type === 'service' ? {} : { redirect_uris: [WEB.redirect_uris] }),
      scopes: ['openid', 'profile', 'email', 'photos.read'],
      ...input,
    },
    { approval },
    { ...SYSTEM, type: 'user', id: owner.id },
  )
  if (!approval) await approveClient(server.db, client.id, SYSTEM)
  return new App(server.origin, client.id, secret, client.redirect_uris[0] ?? '')
}

/** The id of the app that was registered last. */
export async function lastApp({ server }: { server: ServerFixture }): Promise<string> {
  const { id } = await one<{ id: string }>(
    server.db,
    sql`select id from clients order by created_at desc, id limit 1`,
  )
  return id
}

/** The rows that these pages can change, as text: tests compare it to see that nothing changed. */
export async function portalRows({ server }: { server: ServerFixture }): Promise<string> {
  const rows = await many(
    server.db,
    sql`select (select json_agg(to_jsonb(c) - 'last_used_at' order by id) from clients c) as clients,
               (select json_agg(to_jsonb(s) - 'last_used_at' order by id) from client_secrets s) as secrets,
               (select json_agg(o order by client_id, user_id) from client_owners o) as owners,
               (select json_agg(t order by client_id, email) from client_test_users t) as test_users,
               (select json_agg(i order by id) from client_invitations i) as invitations,
               (select json_agg(ch order by client_id) from client_changes ch) as changes`,
  )
  return JSON.stringify(rows)
}

/** The link of an invitation, on the page that shows it. */
export function linkOn(page: Page): string {
  const found = /\/developer\/invitations\/[\w-]+/.exec(page.html)
  if (!found) throw new Error(`no link: ${page.text}`)
  return found[0]
}
