-- One queue: work that outlives the transaction that asks for it, a row a job. The tables `jobs` and `mails` become views of it,
-- through which nodes of the version before go on working; a later version drops them.
create table queued_jobs (
  id uuid primary key default gen_random_uuid(),
  -- Kinds of one lane take turns; no lane waits for another.
  lane text not null check (lane in ('bulk', 'mail', 'schedule')),
  kind text not null,
  -- Of those that are open there is one a key.
  key text,
  -- What a delivery says is forgotten when it is over.
  params jsonb,
  -- Who asked for it, as the audit log names them.
  actor jsonb,
  -- To whom a mail goes, and the mailbox that it reaches if anybody can have sent it.
  recipient text check (length(recipient) between 3 and 320),
  mailbox text,
  state text not null default 'waiting'
    check (state in ('waiting', 'running', 'done', 'failed', 'sent', 'withdrawn', 'given_up')),
  attempts integer not null default 0,
  -- When it is worked on next. Who makes a delivery moves this ahead first: until then it is nobody else's.
  next_try_at timestamptz not null default now(),
  done integer not null default 0,
  -- Known once it has begun.
  total integer,
  problem text,
  created_at timestamptz not null default now(),
  finished_at timestamptz,
  check (lane = 'mail' or (params is not null and actor is not null)),
  check (lane <> 'mail' or recipient is not null),
  check (lane <> 'mail' or (state = 'waiting') = (params is not null)),
  check (lane <> 'mail' or (state = 'waiting') = (finished_at is null))
);
create unique index queued_jobs_key on queued_jobs (key) where state in ('waiting', 'running');
-- What is next in a lane.
create index queued_jobs_next on queued_jobs (lane, next_try_at) where state in ('waiting', 'running');
-- Listing jobs of administrators.
create index queued_jobs_created on queued_jobs (created_at) where lane = 'bulk';
-- The sweeper.
create index queued_jobs_ended on queued_jobs (finished_at) where lane = 'mail' and state <> 'waiting';
-- What has waited for too long.
create index queued_jobs_since on queued_jobs (created_at) where lane = 'mail' and state = 'waiting';
-- Mails about an account that wait.
create index queued_jobs_of_user on queued_jobs (kind, (params ->> 'user_id')) where lane = 'mail' and state = 'waiting';
-- How many notices of one kind an address got within the hour.
create index queued_jobs_recent on queued_jobs (recipient, kind, created_at) where lane = 'mail';
-- How many mails reached a mailbox within a day that anybody can have sent.
create index queued_jobs_to_anybody on queued_jobs (mailbox, created_at) where mailbox is not null;
-- Of what is not mailed one by one a recipient has one summary, until somebody sends it.
create unique index queued_jobs_summary on queued_jobs (recipient)
  where kind = 'more_notices' and state = 'waiting' and attempts = 0;

-- Each lane is announced by the name that nodes of the version before listen for.
create function notify_queue() returns trigger language plpgsql as $$
begin
  if exists (select from touched where lane = 'bulk') then
    perform pg_notify('valetkey', 'jobs');
  end if;
  if exists (select from touched where lane = 'mail') then
    perform pg_notify('valetkey', 'mails');
  end if;
  return null;
end $$;
create trigger queued_jobs_notify after insert on queued_jobs
  referencing new table as touched for each statement execute function notify_queue();

lock table jobs in access exclusive mode;
insert into queued_jobs (lane, id, kind, params, actor, state, next_try_at, done, total, problem, created_at, finished_at)
select 'bulk', id, kind, params, actor, state, next_try_at, done, total, problem, created_at, finished_at
from jobs;

alter table jobs rename to jobs_before;
create view jobs as
  select id, kind, params, actor, state, done, total, problem, created_at, finished_at, next_try_at, lane
  from queued_jobs
  where lane = 'bulk';
alter view jobs alter column lane set default 'bulk';

-- A role that could use the table can use the queue and the view.
do $$
declare
  held record;
begin
  for held in
    select lower(a.privilege_type) as privilege,
           case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end as role
    from pg_class c, aclexplode(c.relacl) a
    where c.oid = 'jobs_before'::regclass and a.privilege_type in ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
  loop
    execute format('grant %s on queued_jobs, jobs to %s', held.privilege, held.role);
  end loop;
end $$;
drop table jobs_before;
