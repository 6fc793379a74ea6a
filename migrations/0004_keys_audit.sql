-- Keys that sign ID tokens. The private part is AES-256-GCM under the first of SECRET_KEYS at the time.
create table signing_keys (
  kid text primary key,
  alg text not null check (alg in ('ES256', 'RS256')),
  public_jwk json not null,
  -- Key id (8 bytes of SHA-256 of the secret) · nonce (12) · ciphertext · tag (16).
  private_jwk_encrypted bytea not null,
  state text not null check (state in ('next', 'current', 'retired')),
  created_at timestamptz not null default now(),
  activated_at timestamptz,
  retired_at timestamptz
);
-- At any time one key of an algorithm signs, and one waits, already published.
create unique index signing_keys_state on signing_keys (alg, state) where state in ('next', 'current');

-- What happened: written in the transaction of the change, never changed afterwards.
create table audit_events (
  id bigint generated always as identity primary key,
  at timestamptz not null default now(),
  type text not null,
  -- Who did it: a user, a client, an administrator on the command line, or the system.
  actor_type text not null check (actor_type in ('user', 'client', 'cli', 'system')),
  actor_id text,
  -- Whom it concerns. No foreign keys: the record outlives what it is about.
  user_id uuid,
  client_id text,
  ip inet,
  user_agent text,
  request_id text,
  data json not null default '{}'
);
-- The account page lists what happened to one account, newest first.
create index audit_events_user on audit_events (user_id, id desc) where user_id is not null;
-- Listing by type.
create index audit_events_type on audit_events (type, id desc);

create function audit_events_are_append_only() returns trigger language plpgsql as $$
begin
  raise exception 'audit_events is append-only';
end $$;
create trigger audit_events_append_only before update or delete or truncate on audit_events
  for each statement execute function audit_events_are_append_only();

-- Counters of rate-limiter-flexible, shared by all nodes.
create table rate_limits (
  key varchar(255) primary key,
  points integer not null default 0,
  expire bigint
);
-- The sweeper.
create index rate_limits_expire on rate_limits (expire);
