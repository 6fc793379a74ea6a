-- To whom verification was given, and mails that nobody asked for.

-- Whether the app was verified, or made first-party, while this person looked after it: both are about somebody.
alter table client_owners add column vouched boolean not null default false;
-- What was verified before this is about those who looked after it at the time.
update client_owners o set vouched = true
from clients c
where c.id = o.client_id and (c.verified_at >= o.created_at or c.first_party);
-- When the last of them left, and both fell with that. Verifying the app again clears it.
alter table clients add column verification_fell_at timestamptz;
