-- Counts the moments from which earlier sign-ins count no more: a new password, a disabled account. A sign-in that was
-- begun before such a moment must not become a session after it.
alter table users add column sign_in_epoch integer not null default 0;
