-- What was found by explaining every statement of a large installation (test/db/plans.test.ts).
-- concurrently

-- Apps that registered themselves and that nobody has looked at: those that nobody uses are among them.
create index concurrently if not exists clients_unlooked on clients (id)
  where registered_by = 'itself' and deleted_at is null and verified_at is null and not first_party;
-- Changes that wait and name an uploaded logo.
create index concurrently if not exists client_changes_logos on client_changes (client_id) where changes::text like '%/logos/%';
-- The command line's list of all grants.
create index concurrently if not exists grants_created on grants (created_at, id);
-- What others than people did: it lies far apart among what they do.
create index concurrently if not exists audit_events_actor_type on audit_events (actor_type, id desc) where actor_type <> 'user';
