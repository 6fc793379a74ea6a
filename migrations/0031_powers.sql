-- What somebody could do until lately, and which scopes an app had: whoever acts on them needs that power for one more day.
-- Triggers note it, so that no surface can forget to.

-- When somebody ceased to be an administrator; it stays when they become one again.
alter table users add column administered_until timestamptz;
create function note_former_role() returns trigger language plpgsql as $$
begin
  new.administered_until := now();
  return new;
end $$;
create trigger users_former_role before update of role on users
  for each row when (old.role = 'admin' and new.role <> 'admin') execute function note_former_role();
update users u set administered_until = e.at
from (
  select user_id, max(at) as at from audit_events
  where type = 'user.role_changed' and data ->> 'from' = 'admin' and at > now() - interval '1 day'
  group by user_id
) e
where u.id = e.user_id and u.role <> 'admin';

-- When a password was chosen with a link the last time: whoever handed the link over may have kept it.
alter table users add column password_from_link_at timestamptz;

-- Scopes that an app lost, and when it lost the last one of them. Only apps of administrators hold scopes that have power.
alter table clients
  add column former_scopes text[] not null default '{}',
  add column former_scopes_at timestamptz;
create function note_former_scopes() returns trigger language plpgsql as $$
begin
  new.former_scopes := array(
    select unnest(old.scopes)
    union
    select unnest(old.former_scopes) where old.former_scopes_at > now() - interval '1 day'
    except
    select unnest(new.scopes));
  new.former_scopes_at := now();
  return new;
end $$;
create trigger clients_former_scopes before update of scopes on clients
  for each row when (old.registered_by = 'admin' and not old.scopes <@ new.scopes) execute function note_former_scopes();
