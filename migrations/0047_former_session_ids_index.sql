-- Whether a session that is not found has another id by now.
-- concurrently
create index concurrently if not exists sessions_former on sessions (former_hash) where former_hash is not null;
