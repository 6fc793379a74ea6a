-- Apps on devices without a browser or a keyboard, and their device codes (RFC 8628).

alter table clients drop constraint clients_type_check;
alter table clients add constraint clients_type_check
  check (type in ('web', 'spa', 'native', 'device', 'service', 'resource_server'));
alter table resource_scopes drop constraint resource_scopes_kinds_check;
alter table resource_scopes add constraint resource_scopes_kinds_check
  check (kinds <@ array['web', 'spa', 'native', 'device', 'service'] and cardinality(kinds) > 0);

alter table tokens drop constraint tokens_kind_check;
alter table tokens add constraint tokens_kind_check check (
  kind in ('authorization_code', 'device_code', 'access_token', 'refresh_token', 'client_credentials'));
-- A device code has no grant until somebody has allowed it; and one that was refused never gets one.
alter table tokens drop constraint tokens_check;
alter table tokens add constraint tokens_check check (
  case kind when 'device_code' then true when 'client_credentials' then grant_id is null else grant_id is not null end);
-- SHA-256 of the code that a person types in.
alter table tokens add column user_code_hash bytea check (length(user_code_hash) = 32);
alter table tokens add constraint tokens_user_code check ((kind = 'device_code') = (user_code_hash is not null));
-- When the device asked last, so that one that asks too often is told to slow down.
alter table tokens add column polled_at timestamptz;
create unique index tokens_user_code on tokens (user_code_hash) where user_code_hash is not null;
