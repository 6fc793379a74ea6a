-- A scope that is removed is worth nothing from that moment on, while a job takes it from the apps and decisions that name it.
alter table resource_scopes
  -- The job that does so; until it is through, the scope cannot come back: it would bring back what was allowed before.
  add column removal_job_id uuid,
  -- When it came back; tokens issued before that do not hold it again.
  add column returned_at timestamptz;
