-- The addresses of the people responsible for an app (RFC 7591 §2).
alter table clients
  add column contacts text[] not null default '{}' check (cardinality(contacts) <= 10);
