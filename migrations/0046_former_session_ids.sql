-- The id that a session had until somebody signed in anew. Requests that were under way with it are told to try again.
alter table sessions add column former_hash bytea;
