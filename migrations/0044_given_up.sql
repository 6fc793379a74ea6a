-- Requests that were given up before it was known whether they used this up, and must not use it up any more: their statements may
-- still arrive. Each keeps its place, as several may have been given up at several nodes.
alter table tokens add column given_up uuid[];
alter table provider_state add column given_up uuid[];
