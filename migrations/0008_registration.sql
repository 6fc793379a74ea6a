-- Registrations by others than the administrator: who registered an app, what was decided about it, and who looks after it.
alter table clients
  add column description text not null default '' check (length(description) <= 1000),
  add column policy_uri text,
  add column tos_uri text,
  -- Which door it came through: administrators (command line, console, API), a developer's portal, or by itself (RFC 7591).
  add column registered_by text not null default 'admin' check (registered_by in ('admin', 'developer', 'itself')),
  -- A pending app serves its owners and test users only; a rejected one nobody. Suspension is a mark of its own.
  add column state text not null default 'active' check (state in ('pending', 'active', 'rejected')),
  add column state_reason text not null default '' check (length(state_reason) <= 1000),
  -- Grows with every change: what somebody edits must be what they have seen (If-Match).
  add column version integer not null default 1,
  add column last_used_at timestamptz;
-- What waits for a decision, and which kind of registration is how old.
create index clients_state on clients (state, created_at) where deleted_at is null and state <> 'active';

create table client_owners (
  client_id text not null references clients on delete cascade,
  user_id uuid not null references users on delete cascade,
  created_at timestamptz not null default now(),
  primary key (client_id, user_id)
);
-- A developer's own apps.
create index client_owners_user on client_owners (user_id);

alter table client_secrets
  add column name text not null default '' check (length(name) <= 100),
  add column last_used_at timestamptz;
