-- Of what is no longer mailed one by one a recipient has one summary, until somebody sends it.
-- concurrently
create unique index concurrently if not exists mails_summary on mails (recipient)
  where kind = 'more_notices' and state = 'waiting' and attempts = 0;
