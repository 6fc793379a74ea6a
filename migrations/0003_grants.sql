-- What a user decided about an app: user × client. It outlives sessions and devices.
create table consents (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references users on delete cascade,
  client_id text not null references clients on delete cascade,
  -- Scopes allowed and scopes asked for but not allowed, so that neither is asked again.
  scopes text[] not null,
  rejected_scopes text[] not null default '{}',
  -- What the app looked like when it was allowed.
  client_name text not null,
  client_host text not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  expires_at timestamptz,
  revoked_at timestamptz
);
-- One live decision per user and app; also lists a user's apps.
create unique index consents_live on consents (user_id, client_id) where revoked_at is null;
create index consents_client on consents (client_id);

-- One sign-in of an app on one device. Tokens hang on it, and die with it.
create table grants (
  id text primary key,
  consent_id uuid not null references consents on delete cascade,
  user_id uuid not null references users on delete cascade,
  client_id text not null references clients on delete cascade,
  -- Scopes per API: {"openid": "openid profile", "resources": {"https://api.example": "photos.read"}, "rejected": …}
  payload json not null,
  -- The device: a digest of the cookie that names the browser, and what the browser called itself.
  device_id text not null,
  device text not null default '',
  created_at timestamptz not null default now(),
  last_used_at timestamptz not null default now(),
  -- When the user wants access to end, copied from the consent; tokens on the grant are dead from then on.
  ends_at timestamptz,
  -- When the last token on it will be dead; nothing hangs on it afterwards.
  expires_at timestamptz not null,
  -- The durable mark that every read of a token joins.
  revoked_at timestamptz,
  revoked_reason text
);
-- Removing an app marks all its grants; the user's page counts devices.
create index grants_consent on grants (consent_id);
-- Administrators list and end grants by user and by client.
create index grants_user on grants (user_id, created_at);
create index grants_client on grants (client_id, created_at);
-- The sweeper.
create index grants_expires on grants (expires_at);

-- Authorization codes, access tokens and refresh tokens. Only SHA-256 of a value is kept.
create table tokens (
  hash bytea primary key check (length(hash) = 32),
  kind text not null check (kind in ('authorization_code', 'access_token', 'refresh_token', 'client_credentials')),
  client_id text not null references clients on delete cascade,
  -- Null for client credentials: those tokens belong to no user.
  grant_id text references grants on delete cascade,
  payload json not null,
  issued_at timestamptz not null default now(),
  expires_at timestamptz not null,
  -- Set by the one statement that uses a code or refresh token up.
  consumed_at timestamptz,
  check ((kind = 'client_credentials') = (grant_id is null))
);
-- Sweeping a dead grant takes its tokens along.
create index tokens_grant on tokens (grant_id) where grant_id is not null;
-- The sweeper.
create index tokens_expires on tokens (expires_at);

-- The provider's short-lived state: interactions, pushed requests, seen DPoP proofs.
create table provider_state (
  hash bytea not null check (length(hash) = 32),
  kind text not null check (kind in ('interaction', 'pushed_authorization_request', 'replay_detection')),
  payload json not null,
  expires_at timestamptz not null,
  consumed_at timestamptz,
  primary key (hash, kind)
);
-- The sweeper.
create index provider_state_expires on provider_state (expires_at);
