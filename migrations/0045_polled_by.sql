-- The request in which a device asked last about its code: one that got no answer does not count.
alter table tokens add column polled_by uuid;
