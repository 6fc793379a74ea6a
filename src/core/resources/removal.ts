// Removes a deleted scope from everything that names it: apps, registrations, consents, grants. There may be millions, so a job walks
// over each table in the order of its key, a window for each batch. Nothing waits for the job, because reads of apps and tokens
// leave removed scopes out.
import type { Actor } from '../../base/audit-events.ts'
import type { JobStep } from '../../db/jobs.ts'
import { type Db, fragment, one, run, sql } from '../../db/pool.ts'
import { record } from '../audit/store.ts'

/** The kind of this job. */
export const TAKE_SCOPE = 'take_scope'

/** The params of the job, with its progress. */
export type ScopeRemoval = {
  resource: string
  scope: string
  /** The present table, and the key of the last row that was read there. */
  table?: number
  after?: string | null
  /** Apps that could ask for the scope. */
  clients?: number
}

// The rows of a batch, few enough to change all of them within a second.
const WINDOW = 500

// In these, `h` is a row and `asked` holds the scope and its API.
const HOLDERS = [
  {
    table: fragment`clients`,
    key: fragment`id`,
    type: fragment`text`,
    holds: fragment`asked.scope = any(h.scopes)`,
    without: fragment`scopes = array_remove(h.scopes, asked.scope), version = h.version + 1`,
  },
  {
    table: fragment`client_registrations`,
    key: fragment`client_id`,
    type: fragment`text`,
    holds: fragment`asked.scope = any(h.allowed_scopes)`,
    without: fragment`allowed_scopes = array_remove(h.allowed_scopes, asked.scope)`,
  },
  {
    table: fragment`registration_tokens`,
    key: fragment`id`,
    type: fragment`uuid`,
    holds: fragment`asked.scope = any(h.scopes)`,
    without: fragment`scopes = array_remove(h.scopes, asked.scope)`,
  },
  {
    table: fragment`consents`,
    key: fragment`id`,
    type: fragment`uuid`,
    holds: fragment`h.revoked_at is null and asked.scope = any(h.scopes || h.rejected_scopes)`,
    without: fragment`scopes = array_remove(h.scopes, asked.scope), rejected_scopes = array_remove(h.rejected_scopes, asked.scope)`,
  },
  {
    table: fragment`grants`,
    key: fragment`id`,
    type: fragment`text`,
    holds: fragment`h.revoked_at is null
      and asked.scope = any(string_to_array(h.payload -> 'resources' ->> asked.resource, ' ')
                            || string_to_array(h.payload -> 'rejected' -> 'resources' ->> asked.resource, ' '))`,
    without: fragment`payload = jsonb_set(
        jsonb_set(h.payload::jsonb, array['resources', asked.resource], to_jsonb(coalesce(array_to_string(array_remove(
          string_to_array(h.payload -> 'resources' ->> asked.resource, ' '), asked.scope), ' '), '')), false),
        array['rejected', 'resources', asked.resource], to_jsonb(coalesce(array_to_string(array_remove(
          string_to_array(h.payload -> 'rejected' -> 'resources' ->> asked.resource, ' '), asked.scope), ' '), '')), false)::json`,
  },
]

type Holder = (typeof HOLDERS)[number]

/** One batch: reads a window of one table and removes the scope from the rows that name it. */
export const takeScopeStep: JobStep = async (t, job) => {
  const removal = job.params as ScopeRemoval
  const { table = 0, after = null, clients = 0 } = removal
  const holder = HOLDERS[table]!
  const seen = await look(t, holder, removal, after)
  const changed = seen.holding === 0 ? 0 : await take(t, holder, removal, after, seen.last!)
  const taken = { ...removal, clients: clients + (table === 0 ? changed : 0) }
  const total = job.total ?? (await estimate(t))
  // Some rows are locked: try the same window again.
  if (changed < seen.holding) {
    return { done: 0, total, finished: false, params: { ...taken, table, after }, isHeldUp: true }
  }

  const done = job.done + seen.rows
  if (seen.rows === WINDOW) {
    const params = { ...taken, table, after: seen.last }
    return { done: seen.rows, total: Math.max(total, done), finished: false, params }
  }
  if (table + 1 < HOLDERS.length) {
    const params = { ...taken, table: table + 1, after: null }
    return { done: seen.rows, total: Math.max(total, done), finished: false, params }
  }
  await end(t, taken, job.id, job.actor as unknown as Actor)
  return { done: seen.rows, total: done, finished: true, params: taken }
}

interface Window {
  rows: number
  holding: number
  last: string | null
}

function look(
  t: Db,
  { table, key, type, holds }: Holder,
  { scope, resource }: ScopeRemoval,
  after: string | null,
): Promise<Window> {
  return one<Window>(
    t,
    sql`select count(*)::int as rows, (count(*) filter (where holds))::int as holding,
               (array_agg(key order by key desc))[1]::text as last
        from (
          select h.${key} as key, ${holds} as holds
          from ${table} h, (select ${scope}::text as scope, ${resource}::text as resource) asked
          where ${after}::${type} is null or h.${key} > ${after}::${type}
          order by h.${key}
          limit ${WINDOW}
        ) seen`,
  )
}

// Skip locked rows, because waiting for them could deadlock.
function take(
  t: Db,
  { table, key, type, holds, without }: Holder,
  { scope, resource }: ScopeRemoval,
  after: string | null,
  last: string,
): Promise<number> {
  return run(
    t,
    sql`update ${table} h set ${without}
        from (select ${scope}::text as scope, ${resource}::text as resource) asked
        where h.${key} = any(array(
          select h.${key}
          from ${table} h, (select ${scope}::text as scope, ${resource}::text as resource) asked
          where (${after}::${type} is null or h.${key} > ${after}::${type}) and h.${key} <= ${last}::${type} and ${holds}
          for no key update of h skip locked))`,
  )
}

// Estimate from the statistics of Postgres, because counting takes longer the more rows there are.
async function estimate(t: Db): Promise<number> {
  const { rows } = await one<{ rows: number }>(
    t,
    sql`select coalesce(sum(greatest(reltuples, 0)), 0)::int as rows from pg_class
        where oid = any(array['clients', 'client_registrations', 'registration_tokens', 'consents', 'grants']::regclass[])`,
  )
  return rows
}

async function end(t: Db, { resource, scope, clients = 0 }: ScopeRemoval, job_id: string, by: Actor) {
  await run(
    t,
    sql`update resource_scopes set removal_job_id = null where name = ${scope} and removal_job_id = ${job_id}`,
  )
  await record(t, { type: 'resource.scope_taken', resource, scope, clients, job_id }, by)
}
