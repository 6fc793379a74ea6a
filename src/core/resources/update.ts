// Changing an API and its scopes. The name of a removed scope is never free again for another API, so that what people decided
// about it cannot get another meaning.
import type { Actor, Change } from '../../base/audit-events.ts'
import { createJob, type Job } from '../../db/jobs.ts'
import { type Db, maybe, one, run, sql, tx } from '../../db/pool.ts'
import { HttpError } from '../../http/errors.ts'
import { record } from '../audit/store.ts'
import { InvalidMetadata } from '../clients/metadata.ts'
import { type ScopeRemoval, TAKE_SCOPE } from './removal.ts'
import {
  checkName,
  checkScope,
  checkTokenRules,
  isByDefault,
  kindsOf,
  type NewScope,
  type RemovedScope,
  type ResourceScope,
  type TokenRules,
} from './store.ts'

/** A change of a scope, which keeps its name. Without `kinds` or `by_default` these stay. */
export type ScopeWords = Omit<ResourceScope, 'name' | 'kinds' | 'by_default'> &
  Partial<Pick<ResourceScope, 'kinds' | 'by_default'>>

/** A change of an API. The identifier cannot change, because it is the audience of its tokens. */
export type ResourceChange = Partial<TokenRules & { name: string }>

/** Locks an API until the end of the transaction. */
export async function lockResource(t: Db, identifier: string): Promise<void> {
  await run(t, sql`select from resources where identifier = ${identifier} for update`)
}

/** Changes the name of an API. @returns undefined when there is no such API, otherwise whether anything changed. */
export function renameResource(
  db: Db,
  identifier: string,
  name: string,
  by: Actor,
): Promise<boolean | undefined> {
  return changeResource(db, identifier, { name }, by)
}

/**
 * Changes the fields of an API that `change` names. New rules hold for tokens that are issued from now on.
 * @returns undefined when there is no such API, otherwise whether anything changed. @throws InvalidMetadata
 */
export function changeResource(
  db: Db,
  identifier: string,
  change: ResourceChange,
  by: Actor,
): Promise<boolean | undefined> {
  if (change.name !== undefined) checkName(change.name)
  checkTokenRules(change)
  return tx(db, async (t) => {
    const before = await maybe<Required<ResourceChange>>(
      t,
      sql`select name, token_format, token_seconds from resources where identifier = ${identifier} for update`,
    )
    if (!before) return undefined
    const after = {
      name: change.name?.trim() ?? before.name,
      token_format: change.token_format ?? before.token_format,
      token_seconds: change.token_seconds === undefined ? before.token_seconds : change.token_seconds,
    }
    const changes: Change[] = (['name', 'token_format', 'token_seconds'] as const)
      .filter((field) => before[field] !== after[field])
      .map((field) => ({ field, from: before[field], to: after[field] }))
    if (changes.length === 0) return false
    await run(
      t,
      sql`update resources
          set name = ${after.name}, token_format = ${after.token_format}, token_seconds = ${after.token_seconds}
          where identifier = ${identifier}`,
    )
    await record(t, { type: 'resource.changed', resource: identifier, changes }, by)
    return true
  })
}

/** The scope was removed, and the job has not yet removed it from all apps and consents. */
export class ScopeBeingRemoved extends HttpError {
  constructor({ name, has_failed }: Pick<RemovedScope, 'name' | 'has_failed'>) {
    super(
      409,
      'scope_being_removed',
      has_failed
        ? `Taking ${name} from the apps that had it has failed. Remove it once more, and add it again when that is done.`
        : `${name} is still being taken from the apps that had it. Add it again when that is done.`,
    )
  }
}

/**
 * Adds a scope. A removed scope of this API comes back, but not for apps and people who had it before.
 * @throws InvalidMetadata, ScopeBeingRemoved
 */
export function addScope(db: Db, identifier: string, scope: NewScope, by: Actor): Promise<void> {
  checkScope(scope)
  const { name, sentence, detail = '', dangerous = false } = scope
  const kinds = kindsOf(scope.kinds)
  const by_default = isByDefault(scope)
  return tx(db, async (t) => {
    const added = await run(
      t,
      sql`insert into resource_scopes as s (name, resource, sentence, detail, dangerous, by_default, kinds)
          values (${name}, ${identifier}, ${sentence}, ${detail}, ${dangerous}, ${by_default}, ${kinds})
          on conflict (name) do update
          set sentence = excluded.sentence, detail = excluded.detail, dangerous = excluded.dangerous,
              by_default = excluded.by_default, kinds = excluded.kinds,
              removed_at = null, returned_at = now()
          where s.resource = excluded.resource and s.removed_at is not null and s.removal_job_id is null`,
    )
    if (!added) {
      const removal = await findRemoval(t, identifier, name)
      if (removal) throw new ScopeBeingRemoved({ name, ...removal })
      throw new InvalidMetadata('name', `${name} is, or was, a scope already; choose another`)
    }
    await record(t, { type: 'resource.scope_added', resource: identifier, scope: name }, by)
  })
}

/** Changes the words of a scope. @returns undefined when there is no such scope, otherwise whether anything changed. @throws InvalidMetadata */
export function changeScope(
  db: Db,
  identifier: string,
  name: string,
  words: ScopeWords,
  by: Actor,
): Promise<boolean | undefined> {
  checkScope({ name, ...words })
  return tx(db, async (t) => {
    const before = await maybe<Required<ScopeWords>>(
      t,
      sql`select sentence, detail, dangerous, by_default, kinds from resource_scopes
          where name = ${name} and resource = ${identifier} and removed_at is null
          for update`,
    )
    if (!before) return undefined
    const after = {
      ...words,
      by_default: isByDefault({ ...words, by_default: words.by_default ?? before.by_default }),
      kinds: words.kinds === undefined ? before.kinds : kindsOf(words.kinds),
    }
    const changes: Change[] = (['sentence', 'detail', 'dangerous', 'by_default', 'kinds'] as const)
      .filter((field) => JSON.stringify(before[field]) !== JSON.stringify(after[field]))
      .map((field) => ({ field, from: before[field], to: after[field] }))
    if (changes.length === 0) return false
    await run(
      t,
      sql`update resource_scopes
          set sentence = ${after.sentence}, detail = ${after.detail}, dangerous = ${after.dangerous},
              by_default = ${after.by_default}, kinds = ${after.kinds}
          where name = ${name}`,
    )
    await record(t, { type: 'resource.scope_changed', resource: identifier, scope: name, changes }, by)
    return true
  })
}

/**
 * Removes a scope: from now on no app may ask for it, and no token holds it. A job removes it from everything that names it; if an
 * earlier job failed, a new one goes on with the rest. @returns the job, or undefined when there is no such scope
 * @throws InvalidMetadata for the last scope
 */
export function removeScope(db: Db, identifier: string, name: string, by: Actor): Promise<Job | undefined> {
  return tx(db, async (t) => {
    // Lock the API, so that two calls cannot remove the last two scopes at once.
    await lockResource(t, identifier)
    const { left } = await one<{ left: number }>(
      t,
      sql`select count(*)::int as left from resource_scopes
          where resource = ${identifier} and removed_at is null and name <> ${name}`,
    )
    if (left === 0) throw new InvalidMetadata('scopes', 'an API has one scope at least; add another first')
    const removed = await run(
      t,
      sql`update resource_scopes set removed_at = now()
          where name = ${name} and resource = ${identifier} and removed_at is null`,
    )
    const stopped = removed ? undefined : await findRemoval(t, identifier, name)
    if (!removed && !stopped?.has_failed) return undefined
    const params: ScopeRemoval = { ...stopped?.params, resource: identifier, scope: name }
    const job = await createJob(t, { kind: TAKE_SCOPE, params, actor: { ...by } })
    await run(t, sql`update resource_scopes set removal_job_id = ${job.id} where name = ${name}`)
    await record(
      t,
      removed
        ? { type: 'resource.scope_removed', resource: identifier, scope: name, job_id: job.id }
        : { type: 'job.started', kind: TAKE_SCOPE, job_id: job.id },
      by,
    )
    return job
  })
}

interface Removal extends Pick<RemovedScope, 'has_failed'> {
  /** How far its job has come. */
  params: ScopeRemoval | null
}

function findRemoval(t: Db, identifier: string, name: string): Promise<Removal | undefined> {
  return maybe<Removal>(
    t,
    sql`select j.params, coalesce(j.state not in ('waiting', 'running'), true) as has_failed
        from resource_scopes s
        left join queued_jobs j on j.id = s.removal_job_id
        where s.name = ${name} and s.resource = ${identifier} and s.removal_job_id is not null`,
  )
}

/** The client with which an API introspects. */
export async function introspectionClient(db: Db, identifier: string): Promise<string | undefined> {
  const client = await maybe<{ id: string }>(
    db,
    sql`select id from clients
        where resource = ${identifier} and type = 'resource_server' and deleted_at is null
        order by created_at limit 1`,
  )
  return client?.id
}
