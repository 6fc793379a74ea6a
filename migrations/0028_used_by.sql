-- The request that used a state up. While it is unused: a request that was given up before its outcome was known, and must not
-- use it up any more.
alter table provider_state add column used_by uuid;
