-- The mailbox that a mail reaches which anybody can have sent to anybody, whatever tag its address has; of others it is null.
alter table mails add column mailbox text;
