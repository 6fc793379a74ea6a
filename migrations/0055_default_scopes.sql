-- Scopes that an app gets asked about, or a service is given, when it names none (RFC 6749 §3.3). A dangerous one is always asked for by name.
alter table resource_scopes add column by_default boolean not null default false;
update resource_scopes set by_default = not dangerous;
