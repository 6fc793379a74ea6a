-- Mails that wait to be sent, and links with which people choose a new password.

-- A row a mail, written in the transaction of what it tells of. It holds no credential: the link in a mail is made when the
-- mail is sent, and what the mail says is forgotten as soon as it is over.
create table mails (
  id uuid primary key default gen_random_uuid(),
  recipient text not null check (length(recipient) between 3 and 320),
  kind text not null,
  params jsonb,
  state text not null default 'waiting' check (state in ('waiting', 'sent', 'withdrawn', 'given_up')),
  attempts integer not null default 0,
  -- Whoever tries to send it moves this ahead first: until then it is nobody else's.
  next_try_at timestamptz not null default now(),
  created_at timestamptz not null default now(),
  finished_at timestamptz,
  check ((state = 'waiting') = (params is not null)),
  check ((state = 'waiting') = (finished_at is null))
);
-- What is next.
create index mails_waiting on mails (next_try_at) where state = 'waiting';
-- The sweeper.
create index mails_finished on mails (finished_at) where state <> 'waiting';

create trigger mails_notify after insert on mails for each statement execute function notify_table('mails');

alter table user_links add column user_id uuid references users on delete cascade;
alter table user_links drop constraint user_links_purpose_check;
alter table user_links add constraint user_links_purpose_check check (purpose in ('setup', 'reset'));
alter table user_links add constraint user_links_of_user check ((purpose = 'reset') = (user_id is not null));
-- A new link ends the older one: a person has one that can be used, at most.
create unique index user_links_reset on user_links (user_id) where purpose = 'reset' and consumed_at is null;
