-- Logos that were uploaded: each once, however many apps show it, at an address that names its content.
create table logos (
  -- Of the picture as it is served, not as it came.
  sha256 bytea primary key check (length(sha256) = 32),
  -- 256 × 256 points of 4 bytes, and what PNG says around them.
  png bytea not null check (length(png) <= 300000),
  created_at timestamptz not null default now()
);
-- Sweeping logos that nobody shows, the oldest first.
create index logos_created on logos (created_at);
-- Whether an app shows a logo, by the digest in its address.
create index clients_logo on clients (substring(logo_uri from '/logos/([0-9a-f]{64})\.png$'))
  where logo_uri is not null;
