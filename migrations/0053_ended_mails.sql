-- Mails that have ended never change: most of what is to be carried into the queue, while the table is in use.
-- batched
insert into queued_jobs (lane, id, kind, params, recipient, mailbox, state, attempts, next_try_at, created_at, finished_at)
select 'mail', id, kind, params, recipient, mailbox, state, attempts, next_try_at, created_at, finished_at
from mails m
where state <> 'waiting' and not exists (select from queued_jobs q where q.id = m.id)
limit 5000;
