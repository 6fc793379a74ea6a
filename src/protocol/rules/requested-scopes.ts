// Which scopes a request asks for: those that it names, without the ones that nobody knows; or the default ones, when it names none
// (RFC 6749 §3.3). Settled once a request, before a page is shown and before anything is stored.
import type { Context } from 'koa'
import { type Client, errors } from 'oidc-provider'
import { isOpenidScope } from '../../base/openid-scopes.ts'
import { isForKind } from '../../core/clients/scopes.ts'
import type { ResourceDirectory } from '../../core/resources/cache.ts'
import type { ResourceScope } from '../../core/resources/store.ts'
import { type Route, routeOf } from '../internals/library.ts'
import { throughStorage } from '../storage/errors.ts'
import type { OwnMetadata } from './clients.ts'

/** A scope with the API that it belongs to. */
export type ScopeOfApi = ResourceScope & { resource: string }

/**
 * Settles `params.scope` of a request: afterwards every scope in it is known, and one that this client may ask for.
 * @returns the scopes of APIs among them
 * @throws InvalidScope for a scope that the client may not ask for; when nothing is left; when none is named and there is no default
 */
export function settleScopes(
  ctx: Context,
  client: Client,
  resources: ResourceDirectory,
): Promise<ScopeOfApi[]> {
  ctx.state.settledScopes ??= throughStorage(() =>
    scopeNames(paramsOf(ctx).scope).length === 0
      ? useDefaults(ctx, client, resources)
      : leaveOutUnknown(ctx, client, resources),
  )
  return ctx.state.settledScopes
}

/** Scopes that the request named and nobody knows, when it went on without them. */
export function unknownScopes(ctx: Context): string[] {
  return (ctx.state.unknownScopes ?? []) as string[]
}

/** Whether a client may ask for a scope: it is registered with it, and the scope is for clients of its kind. */
export function mayAskFor(client: Client, scope: ResourceScope): boolean {
  const { type, resource_scopes } = client as Client & OwnMetadata
  return type !== undefined && isForKind(scope, type) && (resource_scopes?.includes(scope.name) ?? false)
}

/** The names in a `scope`, each once. */
export function scopeNames(scope: string | undefined): string[] {
  return [...new Set(scope?.split(' ').filter(Boolean))]
}

// OpenID scopes say who somebody is: those are never a default.
async function useDefaults(
  ctx: Context,
  client: Client,
  resources: ResourceDirectory,
): Promise<ScopeOfApi[]> {
  const { grant_type, resource } = paramsOf(ctx)
  const isNew = BEGINNINGS.has(routeOf(ctx)!) || grant_type === 'client_credentials'
  if (!isNew) return []
  const named = [resource ?? []].flat()
  const scopes = (await resources.all())
    .filter(({ identifier }) => named.length === 0 || named.includes(identifier))
    .flatMap(({ identifier, scopes }) => scopes.map((scope) => ({ ...scope, resource: identifier })))
    .filter((scope) => scope.by_default && mayAskFor(client, scope))
  if (scopes.length === 0)
    throw new errors.InvalidScope('the request names no scope, and none is the default', '')
  paramsOf(ctx).scope = scopes.map(({ name }) => name).join(' ')
  return scopes
}

async function leaveOutUnknown(
  ctx: Context,
  client: Client,
  resources: ResourceDirectory,
): Promise<ScopeOfApi[]> {
  const names = scopeNames(paramsOf(ctx).scope)
  // The library checks them itself, but takes a client that has none of them for one that may ask for all.
  const forbidden = client.scope ? undefined : names.find(isOpenidScope)
  if (forbidden) throw new errors.InvalidScope('requested scope is not allowed', forbidden)
  const found: ScopeOfApi[] = []
  const unknown: string[] = []
  for (const name of names.filter((each) => !isOpenidScope(each))) {
    const scope = await resources.findScope(name)
    if (!scope) unknown.push(name)
    else if (mayAskFor(client, scope)) found.push(scope)
    else throw new errors.InvalidScope('requested scope is not allowed', name)
  }
  if (unknown.length === names.length)
    throw new errors.InvalidScope('requested scope is not known', unknown[0]!)
  if (!names.some(isOpenidScope)) checkOfNamed(found, paramsOf(ctx).resource)
  if (unknown.length > 0) {
    paramsOf(ctx).scope = names.filter((name) => !unknown.includes(name)).join(' ')
    ctx.state.unknownScopes = unknown
  }
  return found
}

// Otherwise nothing would be left that a person could allow.
function checkOfNamed(scopes: ScopeOfApi[], resource: string | string[] | undefined): void {
  const named = [resource ?? []].flat()
  if (named.length === 0 || scopes.some(({ resource }) => named.includes(resource))) return
  throw new errors.InvalidScope(
    'requested scope is of another resource than the requested one',
    scopes[0]!.name,
  )
}

// Where a request begins; what is stored of it has its scope.
const BEGINNINGS: ReadonlySet<Route> = new Set([
  'authorization',
  'pushed_authorization_request',
  'device_authorization',
])

function paramsOf(ctx: Context): { scope?: string; grant_type?: string; resource?: string | string[] } {
  return ctx.oidc.params ?? {}
}
