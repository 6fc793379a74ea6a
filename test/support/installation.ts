// A large installation, filled by Postgres itself. Every table that grows has enough rows to make a full scan visible.
import { type Db, many, openPool, type Pool, run, sql } from '../../src/db/pool.ts'

/** The ids that tests may use. */
export const INSTALLED = {
  /** An app of an administrator. Half of the people allowed it. */
  popular: 'app1',
  /** An active app of a developer. */
  developed: 'app4',
  /** A dynamic client. */
  dynamic: 'app2',
  /** An account with a session, apps and decisions. */
  userId: userId(7),
  email: 'user7@people.example',
} as const

/** The id of the n-th account. */
export function userId(n: number): string {
  return `00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`
}

const PEOPLE = 15_000
const CLIENTS = 12_000

/** Fills a migrated database that holds only the photos API, and analyzes it. */
export async function fillInstallation(db: Pool): Promise<void> {
  // One session without a transaction: an open one would delay the seals of the audit log in the databases of all other tests.
  const session = openPool(db.pg.options.connectionString!, 1)
  try {
    // Without announcements, constraints and indexes row by row: they take longer than the rows themselves.
    await run(session, sql`set session_replication_role = replica`)
    const indexes = await many<{ name: string; definition: string }>(
      session,
      sql`select indexrelid::regclass::text as name, pg_get_indexdef(indexrelid) as definition from pg_index i
          where indrelid::regclass::text not like 'pg_%' and not indisunique
            and indrelid in (select oid from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace)`,
    )
    for (const { name } of indexes) await session.query({ text: `drop index ${name}`, values: [] })
    await fillTables(session)
    for (const { definition } of indexes) await session.query({ text: definition, values: [] })
  } finally {
    await session.close()
  }
  await run(db, sql`analyze`)
}

// A small share of every table is expired: what the sweeps delete.
async function fillTables(db: Db): Promise<void> {
  await run(
    db,
    sql`insert into users (id, email, email_verified, name, role, created_at, last_sign_in_at, disabled_at)
        select ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'user' || n || '@people.example', true,
               'Person ' || n, case when n % 4000 = 0 then 'admin' else 'user' end, now() - n * interval '1 minute',
               now() - n * interval '1 minute', case when n % 100 = 0 then now() end
        from generate_series(1, ${PEOPLE}::int) n`,
  )
  // n % 3: 1 of an administrator or a developer, 2 registered itself, 0 a service; every fifth is of a developer.
  await run(
    db,
    sql`insert into clients (id, name, type, redirect_uris, scopes, registered_by, state, created_at, last_used_at,
                             suspended_at, deleted_at, verified_at)
        select 'app' || n, 'App ' || n,
               case when n % 3 = 0 then 'service' when n % 3 = 2 then 'spa' else 'web' end,
               case when n % 3 = 0 then '{}'::text[] else array['https://app' || n || '.example/callback'] end,
               case when n % 3 = 0 then '{photos.read}'::text[] else '{openid,profile,photos.read}'::text[] end,
               case when n % 3 = 2 then 'itself' when n % 5 = 4 then 'developer' else 'admin' end,
               case when n % 40 = 39 then 'pending' else 'active' end,
               now() - n * interval '1 hour', now() - (n % 300) * interval '1 day',
               case when n % 50 = 49 then now() end,
               case when n % 60 = 59 then now() - (n % 400) * interval '1 day' end,
               case when n % 7 = 1 then now() end
        from generate_series(1, ${CLIENTS}::int) n`,
  )
  await run(
    db,
    sql`insert into client_secrets (client_id, hash, prefix, created_at)
        select id, sha256(id::bytea), 'vk_cs_x', created_at from clients where type in ('web', 'service') and resource is null`,
  )
  await run(
    db,
    sql`insert into registration_tokens (hash, prefix, scopes, max_uses, created_at, expires_at)
        select sha256(('token' || n)::bytea), 'vk_ia_x', '{openid}', 10, now() - n * interval '1 hour',
               now() + (n - 1000) * interval '1 hour'
        from generate_series(1, 3000) n`,
  )
  await run(
    db,
    sql`insert into client_registrations (client_id, access_hash, grant_types, token_endpoint_auth_method, reviewed_at)
        select id, sha256(('access' || id)::bytea), '{authorization_code,refresh_token}', 'none',
               now() - (row_number() over () % 50) * interval '30 minutes'
        from clients where registered_by = 'itself'`,
  )
  await run(
    db,
    sql`insert into client_documents (client_id, digest, fresh_until, refused_at)
        select id, sha256(id::bytea), now(), case when deleted_at is not null then deleted_at end
        from clients where registered_by = 'itself'`,
  )
  await run(
    db,
    sql`insert into client_owners (client_id, user_id)
        select 'app' || n, ('00000000-0000-4000-8000-' || lpad(to_hex(o), 12, '0'))::uuid
        from generate_series(1, ${CLIENTS}::int) n, unnest(array[n, n + 1, case when n <= 300 then 7 else n + 2 end]) o
        on conflict do nothing`,
  )
  await run(
    db,
    sql`insert into client_test_users (client_id, email)
        select 'app' || n, 'user' || n + k || '@people.example' from generate_series(1, ${CLIENTS}::int) n, generate_series(0, 1) k`,
  )
  await run(
    db,
    sql`insert into client_changes (client_id, changes, base_version, requested_by, created_at, rejected_at)
        select 'app' || n, '[{"field":"name","from":"App","to":"Other"}]', 1,
               ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, now() - n * interval '1 minute',
               case when n % 3 = 0 then now() end
        from generate_series(1, ${CLIENTS}::int) n`,
  )
  await run(
    db,
    sql`insert into client_invitations (client_id, hash, email, invited_by, expires_at)
        select 'app' || n, sha256(('invitation' || n || '-' || k)::bytea), 'user' || n || '@people.example',
               ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, now() + (n - 100) * interval '1 minute'
        from generate_series(1, ${CLIENTS}::int) n, generate_series(1, 2) k`,
  )
  // Everybody allowed two apps, and half of the people the popular one. Every tenth decision was taken back.
  await run(
    db,
    sql`insert into consents (user_id, client_id, scopes, client_name, client_host, created_at, revoked_at)
        select ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'app' || case k when 2 then 1 else app end,
               '{openid,photos.read}', 'App', 'app.example', now() - (n % 5000) * interval '1 hour',
               case when n % 10 = 0 then now() - (n % 200) * interval '1 day' end
        from generate_series(1, ${PEOPLE}::int) n, generate_series(0, 2) k,
             lateral (select 2 + (n * 7 + k * 13) % (${CLIENTS}::int - 2) as app) a
        where k < 2 or n % 2 = 1`,
  )
  await run(
    db,
    sql`insert into grants (id, consent_id, user_id, client_id, payload, device_id, device, created_at, last_used_at,
                            expires_at, revoked_at)
        select 'grant' || row_number() over (), id, user_id, client_id,
               '{"openid":{"scope":"openid"},"resources":{"https://photos.example":"photos.read"}}',
               'device' || (row_number() over () % 1000), 'Firefox', created_at, created_at,
               case when row_number() over () % 100 = 0 then now() - interval '1 day' else now() + interval '60 days' end,
               revoked_at
        from consents`,
  )
  await run(
    db,
    sql`insert into tokens (hash, kind, client_id, grant_id, payload, issued_at, expires_at)
        select sha256((kind || id)::bytea), kind, client_id, id, '{"scope":"photos.read"}', now() - interval '5 minutes',
               case when right(id, 2) = '00' then now() - interval '1 hour' else now() + interval '1 day' end
        from grants, unnest(array['access_token', 'refresh_token']) kind`,
  )
  await run(
    db,
    sql`insert into tokens (hash, kind, client_id, payload, expires_at)
        select sha256((id || '-' || n)::bytea), 'client_credentials', id, '{"scope":"photos.read"}', now() + interval '10 minutes'
        from clients, generate_series(1, 20) n where type = 'service'`,
  )
  await run(
    db,
    sql`insert into sessions (hash, uid, user_id, payload, expires_at)
        select sha256(('session' || n)::bytea), 'session' || n,
               ('00000000-0000-4000-8000-' || lpad(to_hex(1 + n % ${PEOPLE}::int), 12, '0'))::uuid, '{}',
               now() + (n - 500) * interval '1 minute'
        from generate_series(1, 40000) n`,
  )
  await run(
    db,
    sql`insert into known_devices (device_id, user_id, sign_in_epoch, expires_at)
        select 'device' || n, ('00000000-0000-4000-8000-' || lpad(to_hex(1 + n % ${PEOPLE}::int), 12, '0'))::uuid, 0,
               now() + (n - 500) * interval '1 minute'
        from generate_series(1, 30000) n`,
  )
  await run(
    db,
    sql`insert into provider_state (hash, kind, payload, expires_at)
        select sha256(('state' || n)::bytea), kind, '{}', now() + (n - 500) * interval '1 second'
        from generate_series(1, 10000) n,
             unnest(array['interaction', 'decision', 'pushed_authorization_request', 'replay_detection']) kind`,
  )
  await run(
    db,
    sql`insert into user_links (hash, purpose, user_id, expires_at)
        select sha256(('link' || n)::bytea), 'reset', ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
               now() + (n - 500) * interval '1 minute'
        from generate_series(1, 10000) n`,
  )
  await run(
    db,
    sql`insert into audit_events (at, type, actor_type, actor_id, user_id, client_id, ip)
        select now() - (100000 - n) * interval '20 seconds',
               (array['sign_in.succeeded', 'consent.given', 'app.removed', 'client.changed', 'sign_in.failed',
                      'password.changed', 'client.created', 'grant.revoked'])[1 + n % 8],
               'user', '00000000-0000-4000-8000-' || lpad(to_hex(1 + n % ${PEOPLE}::int), 12, '0'),
               ('00000000-0000-4000-8000-' || lpad(to_hex(1 + n % ${PEOPLE}::int), 12, '0'))::uuid,
               'app' || (1 + n % ${CLIENTS}::int), '192.0.2.1'
        from generate_series(1, 100000) n`,
  )
  await run(
    db,
    sql`insert into rate_limits (key, points, expire)
        select 'sign-in:' || n, 1, (extract(epoch from now()) * 1000)::bigint + (n - 500) * 1000
        from generate_series(1, 20000) n`,
  )
  await run(
    db,
    sql`insert into client_refusals (client_id, at, attested, source, endpoint, error, kind, expected, came)
        select 'app' || (1 + n % ${CLIENTS}::int), now() - n * interval '1 minute', true, n, 'token', 'invalid_grant', 'other', 'x', 'y'
        from generate_series(1, 50000) n`,
  )
  await run(
    db,
    sql`insert into client_usage_days (client_id, day, tokens, refused)
        select 'app' || n, current_date - d, 5, 1 from generate_series(1, ${CLIENTS}::int) n, generate_series(0, 4) d`,
  )
  await run(
    db,
    sql`insert into api_answers (hash, request_hash, answer, expires_at)
        select sha256(('answer' || n)::bytea), sha256('x'), '{}', now() + (n - 500) * interval '1 minute'
        from generate_series(1, 10000) n`,
  )
  await run(
    db,
    sql`insert into mails (recipient, kind, params, state, next_try_at, created_at, finished_at)
        select 'user' || n || '@people.example', 'app_approved', case when n % 200 = 0 then '{}'::jsonb end,
               case when n % 200 = 0 then 'waiting' else 'sent' end, now() + interval '1 day', now() - n * interval '6 minutes',
               case when n % 200 <> 0 then now() - n * interval '6 minutes' end
        from generate_series(1, 25000) n`,
  )
  // The mail server is down.
  await run(
    db,
    sql`insert into mails (recipient, kind, params, next_try_at)
        select 'user' || n || '@people.example', 'password_reset',
               jsonb_build_object('user_id', '00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0')), now() + interval '1 day'
        from generate_series(1, 5000) n`,
  )
  await run(
    db,
    sql`insert into jobs (kind, params, actor, state, created_at, finished_at)
        select 'end_access', '{"client_id":"app1"}', '{"type":"cli"}', 'done', now() - n * interval '1 hour', now()
        from generate_series(1, 5000) n`,
  )
  await run(
    db,
    sql`insert into logos (sha256, png, created_at)
        select sha256(('logo' || n)::bytea), '\\x00', now() - n * interval '1 hour' from generate_series(1, 5000) n`,
  )
}
