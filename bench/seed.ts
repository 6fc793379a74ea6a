// What stands in Valetkey's database before the load: people, clients, and for the full one a million tokens. Clients and
// the API are made by the store functions; the many are made by SQL, after the pattern of rows the server itself wrote.
import { randomUUID } from 'node:crypto'
import { SYSTEM } from '../src/base/audit-events.ts'
import { digest, newCredential } from '../src/base/credentials.ts'
import { createClient } from '../src/core/clients/create.ts'
import { createResource } from '../src/core/resources/store.ts'
import { hashPassword } from '../src/core/users/password.ts'
import { type Db, many, maybe, one, openPool, type Pool, run, sql } from '../src/db/pool.ts'
import { type Clients, OPENID_SCOPES, PASSWORD, REDIRECT_URI, RESOURCE, RESOURCE_SCOPE } from './plan.ts'

/** People who have not signed in yet; more than a run can use up. */
const PEOPLE = 20_000
const TOKENS_A_GRANT = 10

/** Makes the API, the clients and the people of a migrated database. */
export async function seedValetkey(db: Db): Promise<Clients> {
  const scopes = [
    { name: RESOURCE_SCOPE, sentence: 'Look at your photos', detail: 'It cannot change or delete them' },
  ]
  const api = await createResource(db, { identifier: RESOURCE, name: 'Photos', scopes }, SYSTEM)
  const app = await createClient(
    db,
    {
      name: 'Photo Printer',
      type: 'web',
      redirect_uris: [REDIRECT_URI],
      scopes: [...OPENID_SCOPES, RESOURCE_SCOPE],
      id_token_signed_response_alg: 'ES256',
    },
    SYSTEM,
  )
  const service = await createClient(
    db,
    { name: 'Backup', type: 'service', scopes: [RESOURCE_SCOPE] },
    SYSTEM,
  )
  await run(
    db,
    sql`insert into users (email, email_verified, name, password_hash)
        select 'person-' || i || '@bench.example', true, 'Person ' || i, ${await hashPassword(PASSWORD)}
        from generate_series(1, ${PEOPLE}::int) i`,
  )
  return {
    app: { id: app.client.id, secret: app.secret!, redirectUri: REDIRECT_URI },
    service: { id: service.client.id, secret: service.secret! },
    api: { id: api.client.id, secret: api.secret },
  }
}

/** Names people until there are none left. */
export function people(): () => string {
  let next = 0
  return () => {
    if (++next > PEOPLE) throw new Error(`all ${PEOPLE} people have signed in: seed more`)
    return `person-${next}@bench.example`
  }
}

/**
 * Adds live tokens as an installation in use has them: ten on each grant, half access tokens and half refresh tokens, one
 * grant a person. Their payloads are copies of what the server wrote for one real sign-in.
 */
export async function fill(db: Db, clients: Clients, rows: number): Promise<void> {
  const grants = Math.ceil(rows / TOKENS_A_GRANT)
  await run(
    db,
    sql`insert into users (id, email, email_verified, name)
        select md5('user ' || i)::uuid, 'full-' || i || '@bench.example', true, 'Person ' || i
        from generate_series(1, ${grants}::int) i`,
  )
  await run(
    db,
    sql`insert into consents (id, user_id, client_id, scopes, client_name, client_host)
        select md5('consent ' || i)::uuid, md5('user ' || i)::uuid, c.client_id, c.scopes, c.client_name, c.client_host
        from generate_series(1, ${grants}::int) i,
             (select * from consents where client_id = ${clients.app.id} limit 1) c`,
  )
  await run(
    db,
    sql`insert into grants (id, consent_id, user_id, client_id, payload, device_id, device, expires_at)
        select md5('grant ' || i), md5('consent ' || i)::uuid, md5('user ' || i)::uuid, g.client_id, g.payload,
               md5('session ' || i), g.device, now() + interval '30 days'
        from generate_series(1, ${grants}::int) i,
             (select * from grants where client_id = ${clients.app.id} limit 1) g`,
  )
  await run(
    db,
    sql`insert into tokens (hash, kind, client_id, grant_id, payload, expires_at)
        select sha256(('token ' || i)::bytea), t.kind, t.client_id, md5('grant ' || (i / ${TOKENS_A_GRANT}::int + 1)),
               t.payload, now() + interval '1 day'
        from generate_series(0, ${rows}::int - 1) i
        join (select distinct on (kind) * from tokens
              where client_id = ${clients.app.id} and kind in ('access_token', 'refresh_token')) t
          on t.kind = case when i % 2 = 0 then 'access_token' else 'refresh_token' end`,
  )
  await settle(db)
}

/** How many tokens there are. */
export async function countTokens(db: Db): Promise<number> {
  const { count } = await one<{ count: number }>(db, sql`select count(*)::int as count from tokens`)
  return count
}

/** What background work would otherwise do in the middle of a round. */
export async function settle(db: Db): Promise<void> {
  await run(db, sql`vacuum (analyze)`)
  await run(db, sql`checkpoint`)
}

/** Registers apps that stand in the shadow of the real one, to be removed by people. @returns their ids. */
export async function addApps(db: Db, clients: Clients, count: number): Promise<string[]> {
  const rows = await many<{ id: string }>(
    db,
    sql`insert into clients (id, name, type, redirect_uris, scopes)
        select 'removable-' || gen_random_uuid(), 'Removable', type, redirect_uris, scopes
        from clients, generate_series(1, ${count}::int)
        where id = ${clients.app.id}
        returning id`,
  )
  return rows.map(({ id }) => id)
}

/** Gives an app access to a person's account, with tokens on one device. @returns one of its access tokens. */
export async function allow(
  db: Db,
  clients: Clients,
  email: string,
  client_id: string,
  tokens: number,
): Promise<string> {
  const token = newCredential('access_token')
  const grant = randomUUID()
  await run(
    db,
    sql`with consent as (
          insert into consents (user_id, client_id, scopes, client_name, client_host)
          select c.user_id, ${client_id}, c.scopes, 'Removable', c.client_host
          from consents c join users u on u.id = c.user_id
          where u.email = ${email} and c.client_id = ${clients.app.id} and c.revoked_at is null
          returning id, user_id
        ), allowed as (
          insert into grants (id, consent_id, user_id, client_id, payload, device_id, device, expires_at)
          select ${grant}, consent.id, consent.user_id, ${client_id}, g.payload, g.device_id, g.device,
                 now() + interval '30 days'
          from consent,
               lateral (select * from grants where user_id = consent.user_id and client_id = ${clients.app.id} limit 1) g
          returning id
        ), pattern as (
          select kind, payload from tokens where client_id = ${clients.app.id} and kind = 'access_token' limit 1
        )
        insert into tokens (hash, kind, client_id, grant_id, payload, expires_at)
        select case when i = 1 then ${digest(token)}::bytea else sha256((${grant}::text || i)::bytea) end,
               pattern.kind, ${client_id}, allowed.id, pattern.payload, now() + interval '1 day'
        from allowed, pattern, generate_series(1, ${tokens}::int) i`,
  )
  return token
}

/** Makes a second, empty database in the cluster of an embedded one. @returns its address. */
export async function createDatabase(url: string, name: string): Promise<string> {
  const pool: Pool = openPool(url, 1)
  try {
    const found = await maybe(pool, sql`select from pg_database where datname = ${name}`)
    // A name cannot be a parameter; this one is the bench's own.
    if (!found) await pool.pg.query(`create database ${name}`)
  } finally {
    await pool.close()
  }
  const address = new URL(url)
  address.pathname = `/${name}`
  return address.href
}
