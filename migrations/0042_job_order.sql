-- When a job is worked on next: after the others that are open, and later when somebody else holds rows that it needs.
alter table jobs add column next_try_at timestamptz not null default now();
