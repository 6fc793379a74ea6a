-- People who sign in. The e-mail address is the sign-in name, so it is unique whatever its case.
create table users (
  id uuid primary key default gen_random_uuid(),
  email text not null check (email = lower(email) and length(email) between 3 and 320),
  email_verified boolean not null default false,
  name text not null check (length(name) between 1 and 200),
  role text not null default 'user' check (role in ('user', 'admin')),
  -- argon2id in PHC form; null until the person has chosen one through a set-up link.
  password_hash text,
  created_at timestamptz not null default now(),
  last_sign_in_at timestamptz,
  -- The durable mark that ends every session, grant and token of this person at once.
  disabled_at timestamptz
);
-- Sign-in looks a user up by address.
create unique index users_email on users (email);

-- One-time links (first administrator, later password resets). Only SHA-256 of the link's secret is kept.
create table user_links (
  hash bytea primary key check (length(hash) = 32),
  purpose text not null check (purpose in ('setup')),
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  consumed_at timestamptz
);

-- The login session of the provider; one for the protocol and for our own pages.
create table sessions (
  hash bytea primary key check (length(hash) = 32),
  -- The provider's own handle of a session. It is never a credential, so it stands in clear.
  uid text not null,
  user_id uuid references users on delete cascade,
  -- json, not jsonb: it is only ever read whole, and json keeps what the provider wrote byte for byte.
  payload json not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null
);
-- Tokens and interactions name their session by uid.
create unique index sessions_uid on sessions (uid);
-- Ending all sessions of a user.
create index sessions_user on sessions (user_id) where user_id is not null;
-- The sweeper.
create index sessions_expires on sessions (expires_at);
