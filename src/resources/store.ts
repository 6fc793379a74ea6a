// The APIs that tokens are for (RFC 8707), their scopes, and the sentence the consent page says for each scope.
import type { Actor } from '../audit/events.ts'
import { record } from '../audit/store.ts'
import { InvalidMetadata, OPENID_SCOPES } from '../clients/metadata.ts'
import { type Client, createResourceServerClient } from '../clients/store.ts'
import { type Db, isUniqueViolation, many, run, sql, tx } from '../db/pool.ts'
import { isPlainName } from '../names.ts'

/** A scope of an API, with what the consent page says about it. */
export interface ResourceScope {
  name: string
  sentence: string
  detail: string
  dangerous: boolean
}

/** An API. Its identifier is the audience of its tokens. */
export interface Resource {
  identifier: string
  name: string
  scopes: ResourceScope[]
}

/** What a new API is made of. */
export interface NewResource {
  identifier: string
  name: string
  scopes: { name: string; sentence: string; detail?: string; dangerous?: boolean }[]
}

/** Registers an API and makes its introspection credentials. @throws InvalidMetadata */
export async function createResource(
  db: Db,
  input: NewResource,
  by: Actor,
): Promise<{ resource: Resource; client: Client; secret: string }> {
  checkResource(input)
  const { identifier, name } = input
  const scopes = input.scopes.map((scope) => ({ detail: '', dangerous: false, ...scope }))
  try {
    return await tx(db, async (t) => {
      await run(t, sql`insert into resources (identifier, name) values (${identifier}, ${name})`)
      await run(
        t,
        sql`insert into resource_scopes (name, resource, sentence, detail, dangerous)
            select name, ${identifier}, sentence, detail, dangerous
            from json_to_recordset(${JSON.stringify(scopes)})
              as scope (name text, sentence text, detail text, dangerous boolean)`,
      )
      const { client, secret } = await createResourceServerClient(t, identifier, name, by)
      await record(
        t,
        { type: 'resource.created', resource: identifier, scopes: scopes.map((s) => s.name) },
        by,
      )
      return { resource: { identifier, name, scopes }, client, secret }
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
    sql`select r.identifier, r.name,
               coalesce(json_agg(json_build_object('name', s.name, 'sentence', s.sentence, 'detail', s.detail,
                                                   'dangerous', s.dangerous) order by s.name)
                        filter (where s.name is not null), '[]') as scopes
        from resources r
        left join resource_scopes s on s.resource = r.identifier and s.removed_at is null
        group by r.identifier
        order by r.identifier`,
  )
}

function checkResource({ identifier, name, scopes }: NewResource): void {
  const url = URL.parse(identifier)
  if (!url || identifier.includes('#') || /\s/.test(identifier)) {
    throw new InvalidMetadata(
      'identifier',
      'must be an absolute URI without a fragment (RFC 8707), e.g. https://photos.example',
    )
  }
  if (identifier.length > 2000) throw new InvalidMetadata('identifier', 'has more than 2000 characters')
  checkName(name)
  if (scopes.length === 0) throw new InvalidMetadata('scopes', 'is empty, e.g. photos.read')
  for (const scope of scopes) checkScope(scope)
}

/** @throws InvalidMetadata for what an API cannot be called */
export function checkName(name: string): void {
  if (name.length > 200) throw new InvalidMetadata('name', 'has more than 200 characters')
  if (!isPlainName(name)) throw new InvalidMetadata('name', 'is missing or cannot be seen, e.g. "Photos"')
}

/** @throws InvalidMetadata for what cannot be a scope, or cannot be said of one */
export function checkScope(scope: NewResource['scopes'][number]): void {
  if ((OPENID_SCOPES as readonly string[]).includes(scope.name)) {
    throw new InvalidMetadata(
      'scopes',
      `${scope.name} belongs to OpenID Connect; choose another, e.g. photos.read`,
    )
  }
  // RFC 6749 §3.3: scope-token
  if (!/^[\x21\x23-\x5B\x5D-\x7E]{1,100}$/.test(scope.name)) {
    throw new InvalidMetadata('scopes', `${JSON.stringify(scope.name)} is not a scope, e.g. photos.read`)
  }
  if (scope.sentence.length > 200 || (scope.detail ?? '').length > 400) {
    throw new InvalidMetadata(
      'scopes',
      `${scope.name} says too much: a sentence has at most 200 characters, its detail 400`,
    )
  }
  if (!isPlainName(scope.sentence)) {
    throw new InvalidMetadata(
      'scopes',
      `${scope.name} needs a sentence for the consent page, e.g. "Look at your photos"`,
    )
  }
}
