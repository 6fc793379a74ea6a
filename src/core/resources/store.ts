// The APIs that tokens are for (RFC 8707), their scopes, and the sentence the consent page says for each scope.
import { isApiScope } from '../../base/admin-api-scopes.ts'
import type { Actor } from '../../base/audit-events.ts'
import { isOpenidScope } from '../../base/openid-scopes.ts'
import { isPlainName } from '../../base/printable.ts'
import { isUniqueViolation } from '../../db/errors.ts'
import { type Db, many, run, sql, tx } from '../../db/pool.ts'
import { record } from '../audit/store.ts'
import { createResourceServerClient } from '../clients/create.ts'
import { APP_TYPES } from '../clients/kinds.ts'
import { InvalidMetadata } from '../clients/metadata.ts'
import type { Client } from '../clients/store.ts'

/** A scope of an API, with what the consent page says about it. */
export interface ResourceScope {
  name: string
  sentence: string
  detail: string
  dangerous: boolean
  /** Stands for itself in a request that names no scope (RFC 6749 §3.3); never true of a dangerous one. */
  by_default: boolean
  /** Which kinds of app may ask for it; null: all. */
  kinds: AppKind[] | null
}

/** A kind of app. */
export type AppKind = (typeof APP_TYPES)[number]

/** The formats of access tokens: opaque, which the API introspects, or JWT, which it reads itself (RFC 9068). */
export const TOKEN_FORMATS = ['opaque', 'jwt'] as const

/** The access tokens of an API. */
export interface TokenRules {
  token_format: (typeof TOKEN_FORMATS)[number]
  /** How long they live; null: the default of {@link tokenSeconds}. */
  token_seconds: number | null
}

/** An API. Its identifier is the audience of its tokens. */
export interface Resource extends TokenRules {
  identifier: string
  name: string
  scopes: ResourceScope[]
  /** Removed scopes that jobs are still removing from apps and consents. */
  being_removed: RemovedScope[]
}

/** A removed scope that some apps or consents still name. */
export interface RemovedScope {
  name: string
  job_id: string
  /** The job has failed; removing the scope again goes on with the rest. */
  has_failed: boolean
}

/** The bounds of {@link TokenRules.token_seconds}; those of ACCESS_TOKEN_TTL_SECONDS. */
export const TOKEN_SECONDS = { least: 10, most: 86_400 } as const

/** The default of JWTs in seconds: nobody can revoke them before they expire, so it is short. */
export const JWT_SECONDS = 600

/** How long an access token of an API lives. @param standard ACCESS_TOKEN_TTL_SECONDS */
export function tokenSeconds({ token_format, token_seconds }: TokenRules, standard: number): number {
  return token_seconds ?? (token_format === 'jwt' ? Math.min(standard, JWT_SECONDS) : standard)
}

/** A new API. */
export interface NewResource extends Partial<TokenRules> {
  identifier: string
  name: string
  scopes: NewScope[]
}

/** A new scope. */
export interface NewScope {
  name: string
  sentence: string
  detail?: string
  dangerous?: boolean
  /** Absent: true, unless it is dangerous. */
  by_default?: boolean
  /** Absent, null or empty: every kind may ask for it. */
  kinds?: AppKind[] | null
}

/** Registers an API and makes its introspection credentials. @throws InvalidMetadata */
export async function createResource(
  db: Db,
  input: NewResource,
  by: Actor,
): Promise<{ resource: Resource; client: Client; secret: string }> {
  checkResource(input)
  const { identifier, name, token_format = 'opaque', token_seconds = null } = input
  const scopes = input.scopes.map((scope) => ({
    detail: '',
    dangerous: false,
    ...scope,
    by_default: isByDefault(scope),
    kinds: kindsOf(scope.kinds),
  }))
  try {
    return await tx(db, async (t) => {
      await run(
        t,
        sql`insert into resources (identifier, name, token_format, token_seconds)
            values (${identifier}, ${name}, ${token_format}, ${token_seconds})`,
      )
      await run(
        t,
        sql`insert into resource_scopes (name, resource, sentence, detail, dangerous, by_default, kinds)
            select name, ${identifier}, sentence, detail, dangerous, by_default, kinds
            from json_to_recordset(${JSON.stringify(scopes)})
              as scope (name text, sentence text, detail text, dangerous boolean, by_default boolean, kinds text[])`,
      )
      const { client, secret } = await createResourceServerClient(t, identifier, name, by)
      await record(
        t,
        { type: 'resource.created', resource: identifier, scopes: scopes.map((s) => s.name) },
        by,
      )
      const resource = { identifier, name, token_format, token_seconds, scopes, being_removed: [] }
      return { resource, client, secret }
    })
  } catch (error) {
    if (isUniqueViolation(error)) {
      throw new InvalidMetadata('identifier', 'this API, or one of its scopes, is registered already')
    }
    throw error
  }
}

/** All APIs with their scopes. There are tens of them, not thousands: every node keeps them in memory. */
export function listResources(db: Db): Promise<Resource[]> {
  return many<Resource>(
    db,
    sql`select r.identifier, r.name, r.token_format, r.token_seconds,
               coalesce(json_agg(json_build_object('name', s.name, 'sentence', s.sentence, 'detail', s.detail,
                                                   'dangerous', s.dangerous, 'by_default', s.by_default,
                                                   'kinds', s.kinds) order by s.name)
                        filter (where s.removed_at is null and s.name is not null), '[]') as scopes,
               coalesce(json_agg(json_build_object('name', s.name, 'job_id', s.removal_job_id,
                                                   'has_failed', j.id is null) order by s.name)
                        filter (where s.removal_job_id is not null), '[]') as being_removed
        from resources r
        left join resource_scopes s on s.resource = r.identifier
        left join queued_jobs j on j.id = s.removal_job_id and j.state in ('waiting', 'running')
        group by r.identifier
        order by r.identifier`,
  )
}

function checkResource({ identifier, name, scopes, token_format, token_seconds }: NewResource): void {
  const url = URL.parse(identifier)
  if (!url || identifier.includes('#') || /[\s\p{C}]/u.test(identifier)) {
    throw new InvalidMetadata(
      'identifier',
      'must be an absolute URI without a fragment (RFC 8707), e.g. https://photos.example',
    )
  }
  if (identifier.length > 2000) throw new InvalidMetadata('identifier', 'has more than 2000 characters')
  checkName(name)
  checkTokenRules({ token_format, token_seconds })
  if (scopes.length === 0) throw new InvalidMetadata('scopes', 'is empty, e.g. photos.read')
  for (const scope of scopes) checkScope(scope)
}

/** Checks the name of an API. @throws InvalidMetadata */
export function checkName(name: string): void {
  if (name.length > 200) throw new InvalidMetadata('name', 'has more than 200 characters')
  if (!isPlainName(name)) throw new InvalidMetadata('name', 'is missing or cannot be seen, e.g. "Photos"')
}

/** Checks format and lifetime of tokens. @throws InvalidMetadata */
export function checkTokenRules({ token_format, token_seconds }: Partial<TokenRules>): void {
  if (token_format !== undefined && !TOKEN_FORMATS.includes(token_format)) {
    throw new InvalidMetadata('token_format', `must be one of ${TOKEN_FORMATS.join(', ')}, e.g. opaque`)
  }
  const { least, most } = TOKEN_SECONDS
  if (token_seconds === undefined || token_seconds === null) return
  if (!Number.isInteger(token_seconds) || token_seconds < least || token_seconds > most) {
    throw new InvalidMetadata(
      'token_seconds',
      `must be a whole number of seconds from ${least} to ${most}, e.g. ${JWT_SECONDS}`,
    )
  }
}

/** Kinds as they are stored: each once, in their order; null when there is no limit. */
export function kindsOf(kinds: readonly AppKind[] | null | undefined): AppKind[] | null {
  const some = APP_TYPES.filter((kind) => kinds?.includes(kind))
  return some.length === 0 || some.length === APP_TYPES.length ? null : some
}

/** Whether an app gets a scope without naming it. */
export function isByDefault({ by_default = true, dangerous = false }: Partial<NewScope>): boolean {
  return by_default && !dangerous
}

/** Checks a scope and its words. @throws InvalidMetadata */
export function checkScope(scope: NewScope): void {
  if (isOpenidScope(scope.name)) {
    throw new InvalidMetadata(
      'scopes',
      `${scope.name} belongs to OpenID Connect; choose another, e.g. photos.read`,
    )
  }
  if (isApiScope(scope.name)) {
    throw new InvalidMetadata(
      'scopes',
      `${scope.name} belongs to the Admin API of this server; choose another, e.g. photos.read`,
    )
  }
  // RFC 6749 §3.3: scope-token
  if (!/^[\x21\x23-\x5B\x5D-\x7E]{1,100}$/.test(scope.name)) {
    throw new InvalidMetadata('scopes', `${JSON.stringify(scope.name)} is not a scope, e.g. photos.read`)
  }
  const unknown = scope.kinds?.find((kind) => !APP_TYPES.includes(kind))
  if (unknown !== undefined) {
    throw new InvalidMetadata(
      'kinds',
      `${JSON.stringify(unknown)} is no kind of app; they are ${APP_TYPES.join(', ')}`,
    )
  }
  if (scope.sentence.length > 200 || (scope.detail ?? '').length > 400) {
    throw new InvalidMetadata(
      'scopes',
      `${scope.name} says too much: a sentence has at most 200 characters, its detail 400`,
    )
  }
  if (scope.detail && !isPlainName(scope.detail)) {
    throw new InvalidMetadata(
      'scopes',
      `${scope.name} has a detail that cannot be seen, e.g. "This spends your money"`,
    )
  }
  if (!isPlainName(scope.sentence)) {
    throw new InvalidMetadata(
      'scopes',
      `${scope.name} needs a sentence for the consent page, e.g. "Look at your photos"`,
    )
  }
}
