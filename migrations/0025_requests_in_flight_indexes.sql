-- How many requests and device codes of one client wait: looked at once a second before more are stored.
-- concurrently
create index concurrently if not exists provider_state_waiting on provider_state (client_id, expires_at) where client_id is not null;
create index concurrently if not exists tokens_waiting on tokens (client_id, expires_at) where kind = 'device_code';
