-- Mails that wait, and those that have ended since the migration before this one.
lock table mails in access exclusive mode;
insert into queued_jobs (lane, id, kind, params, recipient, mailbox, state, attempts, next_try_at, created_at, finished_at)
select 'mail', id, kind, params, recipient, mailbox, state, attempts, next_try_at, created_at, finished_at
from mails m
where not exists (select from queued_jobs q where q.id = m.id);

alter table mails rename to mails_before;
create view mails as
  select id, recipient, kind, params, state, attempts, next_try_at, created_at, finished_at, mailbox, lane
  from queued_jobs
  where lane = 'mail';
alter view mails alter column lane set default 'mail';

-- A role that could use the table can use the view.
do $$
declare
  held record;
begin
  for held in
    select lower(a.privilege_type) as privilege,
           case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end as role
    from pg_class c, aclexplode(c.relacl) a
    where c.oid = 'mails_before'::regclass and a.privilege_type in ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
  loop
    execute format('grant %s on mails to %s', held.privilege, held.role);
  end loop;
end $$;
drop table mails_before;
