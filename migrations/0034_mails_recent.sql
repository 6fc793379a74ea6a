-- How many notices of one kind an address got within the hour.
-- concurrently
create index concurrently if not exists mails_recent on mails (recipient, kind, created_at);
