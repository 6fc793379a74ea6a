-- What a developer needs to mend an app: the last requests of it that were refused, and how much it is used.

-- The last 200 of each client (src/clients/refusals.ts), redacted before they come here.
create table client_refusals (
  id bigint generated always as identity primary key,
  client_id text not null references clients on delete cascade,
  at timestamptz not null,
  -- The app proved that it is itself. Whoever knows its id can send what counts as unproven.
  attested boolean not null,
  -- Tells the places that requests come from apart, so that none of them crowds out the others; a digest, no address.
  source integer not null,
  endpoint text not null,
  error text not null,
  kind text not null,
  expected text not null check (length(expected) <= 1000),
  came text not null check (length(came) <= 1000)
);
-- Reading one client's, newest first, and keeping 200 of them.
create index client_refusals_client on client_refusals (client_id, id desc);
-- Sweeping.
create index client_refusals_at on client_refusals (at);

-- How many times an app was given tokens and was refused, a day (UTC) a row.
create table client_usage_days (
  client_id text not null references clients on delete cascade,
  day date not null,
  tokens bigint not null default 0,
  refused bigint not null default 0,
  primary key (client_id, day)
);
-- Sweeping.
create index client_usage_days_day on client_usage_days (day);
