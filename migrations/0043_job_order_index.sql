-- What is next.
-- concurrently
create index concurrently if not exists jobs_next on jobs (next_try_at) where state in ('waiting', 'running');
drop index concurrently if exists jobs_open;
