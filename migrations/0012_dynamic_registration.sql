-- Apps that register themselves (RFC 7591, RFC 7592), and the tokens that let them.

-- Initial access tokens: whoever holds one may register that many apps until then, with these scopes. Only SHA-256 is kept.
create table registration_tokens (
  id uuid primary key default gen_random_uuid(),
  hash bytea not null unique check (length(hash) = 32),
  -- The first characters, so that a person can tell tokens apart.
  prefix text not null,
  name text not null default '' check (length(name) <= 100),
  -- What apps registered with it may ask for, and whether they may act for themselves, without a person.
  scopes text[] not null,
  client_credentials boolean not null default false,
  max_uses integer not null check (max_uses between 1 and 10000),
  -- The check is the last word on the limit: however many register at once, none gets past it.
  uses integer not null default 0 check (uses between 0 and max_uses),
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  last_used_at timestamptz,
  revoked_at timestamptz
);
-- Listing by age with a cursor.
create index registration_tokens_created on registration_tokens (created_at, id);

-- What is known of a client only because it registered itself.
create table client_registrations (
  client_id text primary key references clients on delete cascade,
  -- SHA-256 of the registration access token, with which the client reads, changes and deletes its own registration.
  access_hash bytea not null unique check (length(access_hash) = 32),
  -- The initial access token it came with, and what that allowed at the time. Null: anybody could.
  token_id uuid references registration_tokens,
  allowed_scopes text[],
  allowed_client_credentials boolean not null default false,
  grant_types text[] not null,
  token_endpoint_auth_method text not null
    check (token_endpoint_auth_method in ('client_secret_basic', 'client_secret_post', 'none')),
  -- When its name, its logo or a host it sends people to last became another: whoever allowed it before is asked again.
  looks_changed_at timestamptz,
  -- The watch over unused ones: when this one was last looked at, and when its removal was announced.
  reviewed_at timestamptz not null default now(),
  warned_at timestamptz,
  check ((token_id is null) = (allowed_scopes is null))
);
-- Taking those that were not looked at for the longest time.
create index client_registrations_reviewed on client_registrations (reviewed_at);
