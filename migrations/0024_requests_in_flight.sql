-- Which client pushed a request without proving to be it, while that request waits: anybody can push in the name of such a client.
alter table provider_state add column client_id text;
