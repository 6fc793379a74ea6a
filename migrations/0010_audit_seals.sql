-- Seals make the record tamper-evident: each one holds the digests of a batch of rows and of the seal before it, and is
-- authenticated with a key that is not in the database (docs/decisions/0020-audit-seals.md).

-- The transaction that wrote a row. Rows are sealed in the order (tx, id), once no transaction that could still write
-- before them is under way; ids alone cannot say that, because they are handed out before the commit. All rows that
-- exist already get the number of this migration, and their order is that of their ids.
alter table audit_events add column tx xid8 not null default pg_current_xact_id();
-- What is to be sealed next, and the rows of one seal.
create index audit_events_tx on audit_events (tx, id);

create table audit_seals (
  -- 1, 2, 3 … without gaps, so that a missing one shows.
  id bigint primary key check (id > 0),
  sealed_at timestamptz not null,
  -- The PostgreSQL cluster that handed out the transaction numbers, where we may know it.
  system_id text,
  -- Where the numbering of transactions starts anew, as in a restored dump, so does the order: from rows with this id on.
  floor_id bigint,
  row_ids bigint[] not null,
  -- SHA-256 of each row, one behind the other.
  row_hashes bytea not null check (octet_length(row_hashes) = 32 * cardinality(row_ids)),
  -- Up to where everything since floor_id is sealed; null when nothing is.
  last_tx xid8,
  last_id bigint,
  -- The highest id that was ever sealed.
  max_id bigint not null,
  -- Of the seal before; zeros in the first.
  previous_hash bytea not null check (octet_length(previous_hash) = 32),
  hash bytea not null check (octet_length(hash) = 32),
  -- Which of SECRET_KEYS, and the HMAC of the hash under a key derived from it.
  key_id bytea not null,
  mac bytea not null,
  check ((last_tx is null) = (last_id is null))
);
-- Digests do not compress.
alter table audit_seals alter column row_hashes set storage external;

create function audit_seals_are_append_only() returns trigger language plpgsql as $$
begin
  raise exception 'audit_seals is append-only';
end $$;
create trigger audit_seals_append_only before update or delete or truncate on audit_seals
  for each statement execute function audit_seals_are_append_only();
