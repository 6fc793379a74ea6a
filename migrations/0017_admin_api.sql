-- The Admin API (docs/decisions/0026-admin-api.md).

-- Its scopes open this very server: they are built in, and no API of an operator may bring one of these names along. Where one
-- did so before, this migration stops rather than let its apps administer the server.
alter table resource_scopes add constraint resource_scopes_not_built_in check (
  name not in ('clients:read', 'clients:write', 'users:read', 'users:write', 'grants:read', 'grants:write',
               'resources:read', 'resources:write', 'keys:read', 'keys:write', 'audit:read'));

-- Creations that were asked for with an Idempotency-Key: a second request with the same key gets the first answer.
create table api_answers (
  -- SHA-256 of who asked (client and person), where, and the key.
  hash bytea primary key check (length(hash) = 32),
  -- SHA-256 of what was asked for.
  request_hash bytea not null check (length(request_hash) = 32),
  -- Written in the transaction of the creation; null only inside of it. Secrets are left out.
  answer json,
  expires_at timestamptz not null
);
-- The sweeper.
create index api_answers_expires on api_answers (expires_at);
