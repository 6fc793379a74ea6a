-- How many mails reached a mailbox within a day that anybody can have sent.
-- concurrently
create index concurrently if not exists mails_to_anybody on mails (mailbox, created_at) where mailbox is not null;
