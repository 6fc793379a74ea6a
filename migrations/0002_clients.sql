-- APIs that tokens are meant for (RFC 8707), and the scopes each of them understands.
create table resources (
  identifier text primary key check (length(identifier) between 1 and 2000),
  name text not null check (length(name) between 1 and 200),
  created_at timestamptz not null default now()
);

create table resource_scopes (
  -- A scope belongs to one API, so that an app may ask for it without naming the API.
  name text primary key check (name ~ '^[\x21\x23-\x5B\x5D-\x7E]{1,100}$'),
  resource text not null references resources on delete cascade,
  -- What the consent page says: the headline, and what it means or does not mean.
  sentence text not null check (length(sentence) between 1 and 200),
  detail text not null default '' check (length(detail) <= 400),
  -- Dangerous scopes are not ticked in advance.
  dangerous boolean not null default false
);
-- Listing an API's scopes.
create index resource_scopes_resource on resource_scopes (resource);

-- OAuth clients: apps, and the introspection credentials of APIs (type 'resource_server').
create table clients (
  id text primary key check (id ~ '^[A-Za-z0-9_-]{1,100}$'),
  name text not null check (length(name) between 1 and 200),
  type text not null check (type in ('web', 'spa', 'native', 'service', 'resource_server')),
  redirect_uris text[] not null default '{}',
  post_logout_redirect_uris text[] not null default '{}',
  -- Every scope the client may ask for, OpenID's and the APIs' alike.
  scopes text[] not null default '{}',
  homepage_uri text,
  logo_uri text,
  -- First-party apps belong to the operator: they are not asked about on a consent page.
  first_party boolean not null default false,
  verified_at timestamptz,
  -- PKCE may be relaxed for one confidential client; never for a public one.
  pkce_required boolean not null default true,
  -- What its ID tokens are signed with; RS256 is what OpenID Connect Registration §2 gives a client that does not say.
  id_token_signed_response_alg text not null default 'RS256'
    check (id_token_signed_response_alg in ('RS256', 'ES256')),
  -- The API whose tokens a 'resource_server' client may introspect.
  resource text references resources,
  created_at timestamptz not null default now(),
  -- The durable marks that end every token of this client at once.
  suspended_at timestamptz,
  deleted_at timestamptz,
  check (pkce_required or type = 'web'),
  check ((type = 'resource_server') = (resource is not null))
);
-- Listing by age with a cursor.
create index clients_created on clients (created_at, id);

create table client_secrets (
  id uuid primary key default gen_random_uuid(),
  client_id text not null references clients on delete cascade,
  hash bytea not null check (length(hash) = 32),
  -- The first characters, so that a person can tell secrets apart.
  prefix text not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  revoked_at timestamptz
);
-- Client authentication compares against all live secrets of one client.
create index client_secrets_client on client_secrets (client_id);
