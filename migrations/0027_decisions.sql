-- What a person decided about an authorization request is a row of its own, made once: whoever comes second, in another tab or
-- at another node, finds that it is there. Its payload names the app, and holds the result until the request has gone on.
alter table provider_state drop constraint provider_state_kind_check;
alter table provider_state add constraint provider_state_kind_check
  check (kind in ('interaction', 'decision', 'pushed_authorization_request', 'replay_detection'));
