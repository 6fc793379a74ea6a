-- What was found by reading whole tables: rows that go with the row they refer to, and rows that sweeps look for.
-- concurrently

-- Deleting a client, and ending what it does without people.
create index concurrently if not exists tokens_client on tokens (client_id);
-- Deleting a user; those that live have an index of their own.
create index concurrently if not exists consents_user on consents (user_id);
create index concurrently if not exists user_links_user on user_links (user_id) where user_id is not null;
create index concurrently if not exists client_changes_requested_by on client_changes (requested_by) where requested_by is not null;
create index concurrently if not exists client_invitations_invited_by on client_invitations (invited_by) where invited_by is not null;
-- The introspection credentials of an API.
create index concurrently if not exists clients_resource on clients (resource) where resource is not null;
-- The apps that an initial access token let in.
create index concurrently if not exists client_registrations_token on client_registrations (token_id) where token_id is not null;

-- The sweeper: decisions that were taken back, deleted clients, links that are over.
create index concurrently if not exists consents_revoked on consents (revoked_at) where revoked_at is not null;
create index concurrently if not exists clients_deleted on clients (deleted_at) where deleted_at is not null;
create index concurrently if not exists user_links_expires on user_links (expires_at);
