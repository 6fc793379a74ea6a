-- What administrators need: finding one app or person among many, work that outlives a request, and how much was used when.

-- The pieces of three letters of a text. An index over them finds a text by any part of it; the extension for that
-- (pg_trgm) is not to be had everywhere.
create function search_grams(words text) returns text[] language sql immutable strict parallel safe as $$
  select coalesce(array_agg(distinct substr(words, i, 3)), '{}') from generate_series(1, length(words) - 2) as i
$$;

-- Immutable, although joining arrays of any type is not: text to text depends on no setting.
create function client_words(id text, name text, redirect_uris text[]) returns text
  language sql immutable parallel safe as $$ select lower(name || ' ' || id || ' ' || array_to_string(redirect_uris, ' ')) $$;

alter table clients add column words text generated always as (client_words(id, name, redirect_uris)) stored;
-- Looking for apps. Registrations are few and read often: no list of what is still to be indexed.
create index clients_words on clients using gin (search_grams(words)) with (fastupdate = off) where deleted_at is null;
-- Listing what is suspended.
create index clients_suspended on clients (created_at, id) where suspended_at is not null and deleted_at is null;

-- Looking for people.
create index users_words on users using gin (search_grams(lower(name || ' ' || email)));
-- Listing people with a cursor.
create index users_created on users (created_at, id);
-- Administrators, counted and locked before one of them may go.
create index users_admins on users (id) where role = 'admin';

-- Listing who allowed what, newest first: everybody, or one app's.
create index consents_created on consents (created_at, id) where revoked_at is null;
create index consents_client_live on consents (client_id, created_at, id) where revoked_at is null;

-- The record by time; what somebody did; what was done to an app.
create index audit_events_at on audit_events (at, type);
create index audit_events_actor on audit_events (actor_id, id desc) where actor_id is not null;
create index audit_events_client on audit_events (client_id, id desc) where client_id is not null;

-- A scope that was removed keeps its name: what people decided about it must never come back with another meaning.
alter table resource_scopes add column removed_at timestamptz;

-- Noting when a client or a secret was last used is no change of the registration; nobody has to read it anew.
drop trigger clients_notify on clients;
create trigger clients_notify after insert or delete on clients
  for each row execute function notify_client();
create trigger clients_notify_change after update on clients
  for each row when (old.last_used_at is not distinct from new.last_used_at) execute function notify_client();
drop trigger client_secrets_notify on client_secrets;
create trigger client_secrets_notify after insert or delete on client_secrets
  for each row execute function notify_client_secret();
create trigger client_secrets_notify_change after update on client_secrets
  for each row when (old.last_used_at is not distinct from new.last_used_at) execute function notify_client_secret();

-- Work in batches that outlives the request that asked for it. Whoever works on a job holds its row; what a node that
-- goes away has done is kept, and another goes on.
create table jobs (
  id uuid primary key default gen_random_uuid(),
  kind text not null,
  params json not null,
  -- Who asked for it, as the audit log names them.
  actor json not null,
  state text not null default 'waiting' check (state in ('waiting', 'running', 'done', 'failed')),
  done integer not null default 0,
  -- Known once it has begun.
  total integer,
  problem text,
  created_at timestamptz not null default now(),
  finished_at timestamptz
);
-- What is next.
create index jobs_open on jobs (created_at) where state in ('waiting', 'running');
-- Listing them.
create index jobs_created on jobs (created_at);

create function notify_job() returns trigger language plpgsql as $$
begin
  perform pg_notify('valetkey', 'jobs');
  return null;
end $$;
create trigger jobs_notify after insert on jobs for each statement execute function notify_job();

-- How many tokens were issued and how many requests of apps were refused, an hour a row.
create table usage_hours (
  hour timestamptz primary key,
  tokens bigint not null default 0,
  refused bigint not null default 0
);
