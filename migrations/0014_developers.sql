-- Apps that people register for themselves at /developer: who may try one out, who is asked to look after it, and changes of
-- approved ones that wait for a decision.

-- People who may use an app while it is pending, by the address that they would sign in with: whether anybody has an account
-- with it is not looked up before they do.
create table client_test_users (
  client_id text not null references clients on delete cascade,
  email text not null check (email = lower(email) and length(email) between 3 and 320),
  created_at timestamptz not null default now(),
  primary key (client_id, email)
);

-- What would become of an approved app, and what it was when that was asked for; the app serves on as it is. One for an app.
create table client_changes (
  client_id text primary key references clients on delete cascade,
  -- A new one with every request: who decides names what they have seen.
  id uuid not null default gen_random_uuid(),
  -- [{ field, from, to }]
  changes json not null,
  -- The version of the app from then on.
  base_version integer not null,
  requested_by uuid references users on delete set null,
  created_at timestamptz not null default now(),
  -- A rejected one is kept until its owners have read why.
  rejected_at timestamptz,
  reason text not null default '' check (length(reason) <= 1000)
);
-- What waits for a decision, the oldest first.
create index client_changes_open on client_changes (created_at) where rejected_at is null;

-- Invitations to own an app, for whoever has that address. Only SHA-256 of the link's secret is kept.
create table client_invitations (
  id uuid primary key default gen_random_uuid(),
  client_id text not null references clients on delete cascade,
  hash bytea not null unique check (length(hash) = 32),
  email text not null check (email = lower(email) and length(email) between 3 and 320),
  invited_by uuid references users on delete set null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  accepted_at timestamptz,
  withdrawn_at timestamptz
);
-- The open invitations of an app.
create index client_invitations_client on client_invitations (client_id);
-- Sweeping those that are over.
create index client_invitations_expires on client_invitations (expires_at);
