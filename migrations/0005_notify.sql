-- Nodes keep clients, APIs and signing keys in memory. Each change is announced at commit, so that all of them
-- drop what they remember at once: channel 'valetkey', payload 'clients:<id>', 'resources' or 'keys'.
create function notify_client() returns trigger language plpgsql as $$
begin
  perform pg_notify('valetkey', 'clients:' || coalesce(new.id, old.id));
  return null;
end $$;
create trigger clients_notify after insert or update or delete on clients
  for each row execute function notify_client();

create function notify_client_secret() returns trigger language plpgsql as $$
begin
  perform pg_notify('valetkey', 'clients:' || coalesce(new.client_id, old.client_id));
  return null;
end $$;
create trigger client_secrets_notify after insert or update or delete on client_secrets
  for each row execute function notify_client_secret();

create function notify_table() returns trigger language plpgsql as $$
begin
  perform pg_notify('valetkey', tg_argv[0]);
  return null;
end $$;
create trigger resources_notify after insert or update or delete on resources
  for each statement execute function notify_table('resources');
create trigger resource_scopes_notify after insert or update or delete on resource_scopes
  for each statement execute function notify_table('resources');
create trigger signing_keys_notify after insert or update or delete on signing_keys
  for each statement execute function notify_table('keys');
