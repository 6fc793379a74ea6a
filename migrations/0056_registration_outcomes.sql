-- The request that used an initial access token last: whether it was answered, the nodes know (src/db/answers.ts).
alter table registration_tokens add column used_by uuid;
