-- What keeps the console quick with 100,000 apps, a million decisions and half a million events (bench/results.md).

-- Costly enough that Postgres asks the index, instead of computing the pieces of every row that it looks at.
alter function search_grams(text) cost 10000;

-- Finding apps by how their owners' addresses begin: by bytes, so that a begin is a range.
create index users_email_begin on users (email collate "C");

-- How often what happened on the days that are over, for the overview; the row of type '' says that a day was counted.
create table audit_days (
  day date not null,
  type text not null,
  count bigint not null,
  primary key (day, type)
);
