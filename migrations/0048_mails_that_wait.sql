-- concurrently

-- Mails about an account that wait: what is withdrawn with the link that it would bring.
create index concurrently if not exists mails_of_user on mails (kind, (params ->> 'user_id')) where state = 'waiting';
-- What has waited for too long.
create index concurrently if not exists mails_waiting_since on mails (created_at) where state = 'waiting';
