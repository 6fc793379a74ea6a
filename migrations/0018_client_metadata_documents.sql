-- Apps whose client id is the address of a document that describes them (client ID metadata documents).

-- Only such an app has an address as its id: written as a browser would write it, so that no other text means the same.
alter table clients drop constraint clients_id_check;
alter table clients add constraint clients_id_check check (
  id ~ '^[A-Za-z0-9_-]{1,100}$'
  or (registered_by = 'itself' and length(id) <= 500 and id ~ '^https://[\x21-\x7e]+$')
);

-- They look after their registration by changing the document: nobody holds a token for that.
alter table client_registrations alter column access_hash drop not null;

create table client_documents (
  client_id text primary key references clients on delete cascade,
  -- SHA-256 of what was read of it: a document that says the same leaves the registration, and what an operator did to it, alone.
  digest bytea not null check (length(digest) = 32),
  fetched_at timestamptz not null default now(),
  -- Until then it is not read again.
  fresh_until timestamptz not null,
  -- It could not be read, and is not tried again before.
  retry_at timestamptz,
  -- An operator deleted the app: it does not come back by itself.
  refused_at timestamptz
);
-- Listing those that may not come back.
create index client_documents_refused on client_documents (refused_at, client_id) where refused_at is not null;

-- The logo that the person saw when they decided.
alter table consents add column client_logo_uri text;
