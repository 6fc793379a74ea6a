-- The exchange that used a code or refresh token up. While the token is unused: an exchange that was given up before its
-- outcome was known, and must not happen any more.
alter table tokens add column exchange_id uuid;
