-- Set for a migration whose result earlier versions cannot work with: a node that does not know it refuses to start.
alter table migrations add column breaking boolean not null default false;
