-- What an API decides about its tokens, and which kinds of app may ask for a scope.

-- Null: every kind. A kind that is taken out loses the scope at its next refresh.
alter table resource_scopes add column kinds text[]
  check (kinds <@ array['web', 'spa', 'native', 'service'] and cardinality(kinds) > 0);

-- opaque: the API asks about each token, and what is removed ends at once. jwt: the API reads it by itself (RFC 9068), and
-- an API that does not ask believes it until it ends.
alter table resources add column token_format text not null default 'opaque' check (token_format in ('opaque', 'jwt'));
-- Null: what the server's setting says; at most ten minutes for a jwt.
alter table resources add column token_seconds integer check (token_seconds between 10 and 86400);
