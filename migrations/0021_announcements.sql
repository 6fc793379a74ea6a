-- What is announced is a change. A statement that found nothing to change, as most sweeps do, or that wrote what stood there
-- already, makes no node read anything anew.
create function notify_rows() returns trigger language plpgsql as $$
begin
  if exists (select from touched) then
    perform pg_notify('valetkey', tg_argv[0]);
  end if;
  return null;
end $$;

create function notify_update() returns trigger language plpgsql as $$
begin
  if exists (select to_jsonb(n) from after_it n except select to_jsonb(o) from before_it o) then
    perform pg_notify('valetkey', tg_argv[0]);
  end if;
  return null;
end $$;

drop trigger resources_notify on resources;
create trigger resources_notify_insert after insert on resources
  referencing new table as touched for each statement execute function notify_rows('resources');
create trigger resources_notify_update after update on resources
  referencing old table as before_it new table as after_it for each statement execute function notify_update('resources');
create trigger resources_notify_delete after delete on resources
  referencing old table as touched for each statement execute function notify_rows('resources');

drop trigger resource_scopes_notify on resource_scopes;
create trigger resource_scopes_notify_insert after insert on resource_scopes
  referencing new table as touched for each statement execute function notify_rows('resources');
create trigger resource_scopes_notify_update after update on resource_scopes
  referencing old table as before_it new table as after_it for each statement execute function notify_update('resources');
create trigger resource_scopes_notify_delete after delete on resource_scopes
  referencing old table as touched for each statement execute function notify_rows('resources');

drop trigger signing_keys_notify on signing_keys;
create trigger signing_keys_notify_insert after insert on signing_keys
  referencing new table as touched for each statement execute function notify_rows('keys');
create trigger signing_keys_notify_update after update on signing_keys
  referencing old table as before_it new table as after_it for each statement execute function notify_update('keys');
create trigger signing_keys_notify_delete after delete on signing_keys
  referencing old table as touched for each statement execute function notify_rows('keys');

drop trigger jobs_notify on jobs;
create trigger jobs_notify after insert on jobs
  referencing new table as touched for each statement execute function notify_rows('jobs');

drop trigger mails_notify on mails;
create trigger mails_notify after insert on mails
  referencing new table as touched for each statement execute function notify_rows('mails');

drop function notify_table();
drop function notify_job();

-- When a client or secret was last used is nobody's news; whatever else changed in the same statement is.
drop trigger clients_notify_change on clients;
create trigger clients_notify_change after update on clients
  for each row when (to_jsonb(old) - 'last_used_at' is distinct from to_jsonb(new) - 'last_used_at')
  execute function notify_client();
drop trigger client_secrets_notify_change on client_secrets;
create trigger client_secrets_notify_change after update on client_secrets
  for each row when (to_jsonb(old) - 'last_used_at' is distinct from to_jsonb(new) - 'last_used_at')
  execute function notify_client_secret();

-- What nodes keep of a client stands in this table, too.
create trigger client_registrations_notify_change after update on client_registrations
  for each row when ((old.grant_types, old.looks_changed_at) is distinct from (new.grant_types, new.looks_changed_at))
  execute function notify_client_secret();

-- What a node writes to see whether a write goes through, at one of the rows: so many that nodes rarely meet, and so few
-- that they stay on one page.
create table write_checks (
  slot smallint primary key,
  at timestamptz not null default now()
);
insert into write_checks (slot) select generate_series(0, 63);
