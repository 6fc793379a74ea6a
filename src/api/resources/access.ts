// One API, as operations of the Admin API find it, change it and answer it. The Admin API is one of them and cannot be changed.
import { builtInApi } from '../../base/admin-api-scopes.ts'
import { digest } from '../../base/credentials.ts'
import { listResources, type Resource } from '../../core/resources/store.ts'
import { introspectionClient, lockResource } from '../../core/resources/update.ts'
import { type Db, tx } from '../../db/pool.ts'
import { HttpError, NotFound } from '../../http/errors.ts'
import type { Answer, Input } from '../framework/operation.ts'
import { resource } from './schemas.ts'

/** The answer of operations that change an API. */
export const RESOURCE_ANSWER = {
  status: 200,
  description: 'The API as it stands now.',
  schema: resource,
  etag: true,
} as const

/** Why the Admin API cannot be changed. */
export const BUILT_IN = 'It is built in and cannot be changed.'

/** Why an API has no secrets. */
export const NO_CREDENTIALS = 'This API has no credentials.'

type OfResource = Pick<Input<{ resource_id: string }, unknown, unknown>, 'db' | 'params' | 'mustMatch'>

/** What operations on APIs have in common. */
export type ResourceAccess = ReturnType<typeof resourceAccess>

/** @param issuer where this server is */
export function resourceAccess(issuer: string) {
  const builtIn = builtInApi(issuer)
  const all = async (db: Db): Promise<Resource[]> => [
    builtIn,
    ...(await listResources(db)).filter(({ identifier }) => identifier !== builtIn.identifier),
  ]
  const find = async (db: Db, id: string): Promise<Resource> => {
    const found = (await all(db)).find(({ identifier }) => idOf(identifier) === id)
    if (!found) throw new NotFound('There is no such API.')
    return found
  }
  /** The client with which an API introspects. */
  const credentialsOf = async (db: Db, id: string): Promise<string> => {
    const { identifier } = await find(db, id)
    const client_id = await introspectionClient(db, identifier)
    if (!client_id) throw new NotFound(NO_CREDENTIALS)
    return client_id
  }
  const view = (api: Resource) => resourceView(api, api.identifier === builtIn.identifier)
  const answer = (api: Resource) => ({ body: view(api), etag: etagOf(api) })
  /** Does something to an API, while it is locked, if it has the version of If-Match. */
  const withResource = (
    input: OfResource,
    work: (t: Db, api: Resource) => Promise<unknown>,
  ): Promise<Answer> =>
    tx(input.db, async (t) => {
      const { identifier } = await find(t, input.params.resource_id)
      if (identifier === builtIn.identifier) throw new HttpError(409, 'built_in', BUILT_IN)
      await lockResource(t, identifier)
      const api = await find(t, input.params.resource_id)
      input.mustMatch(etagOf(api))
      await work(t, api)
      return answer(await find(t, input.params.resource_id))
    })
  return { builtIn, all, find, credentialsOf, view, answer, withResource }
}

/** A name or identifier in a path. */
export function idOf(text: string): string {
  return Buffer.from(text).toString('base64url')
}

/** A scope of an API. @throws NotFound */
export function scopeOf(api: Resource, id: string) {
  const found = api.scopes.find(({ name }) => idOf(name) === id)
  if (!found) throw new NotFound('There is no such scope.')
  const { name, sentence, detail, dangerous, by_default, kinds } = found
  return { name, sentence, detail, dangerous, by_default, kinds }
}

/** The name of a scope that can be removed, or whose removal has failed. @throws NotFound */
export function removableOf(api: Resource, id: string): string {
  const failed = api.being_removed.find(({ name, has_failed }) => has_failed && idOf(name) === id)
  return failed?.name ?? scopeOf(api, id).name
}

function resourceView(
  { identifier, name, scopes, token_format, token_seconds, being_removed }: Resource,
  built_in: boolean,
) {
  const views = scopes.map(({ name, sentence, detail, dangerous, by_default, kinds }) => ({
    id: idOf(name),
    name,
    sentence,
    detail,
    dangerous,
    by_default,
    kinds,
  }))
  return {
    id: idOf(identifier),
    identifier,
    name,
    built_in,
    token_format,
    token_seconds,
    scopes: views,
    being_removed: being_removed.map((scope) => ({ id: idOf(scope.name), ...scope })),
  }
}

/** The version of an API: what it says is what was seen. A job that ends is nobody's change. */
export function etagOf(api: Resource): string {
  return `"${digest(JSON.stringify(resourceView({ ...api, being_removed: [] }, false)))
    .toString('base64url')
    .slice(0, 27)}"`
}
