-- Ending what an app does without people, however many people use it.
-- concurrently
create index concurrently if not exists tokens_client_own on tokens (client_id, issued_at) where grant_id is null;
