-- Browsers in which a person has shown who they are: what strangers do to the account does not hold these up.
create table known_devices (
  -- SHA-256 of the device's cookie, the id that grants carry, too.
  device_id text not null,
  user_id uuid not null references users on delete cascade,
  -- The account's when this was so. Whatever ends the sign-ins of an account also forgets its devices.
  sign_in_epoch integer not null,
  expires_at timestamptz not null,
  -- One browser may serve several people. Whether it is known to one of them, and to whom it is known.
  primary key (device_id, user_id)
);
-- The newest ones of a person.
create index known_devices_user on known_devices (user_id, expires_at);
-- The sweeper.
create index known_devices_expired on known_devices (expires_at);
