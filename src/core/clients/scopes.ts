// Which scopes a registration may hold: by who registers it, and by the kind of client.
import { isApiScope } from '../../base/admin-api-scopes.ts'
import { isOpenidScope } from '../../base/openid-scopes.ts'
import { type Db, many, sql } from '../../db/pool.ts'
import type { Registrar } from './fields.ts'
import type { ClientType } from './kinds.ts'
import { InvalidMetadata } from './metadata.ts'

/** A scope, and which kinds of client may ask for it; null: all. */
export interface KnownScope {
  name: string
  kinds: string[] | null
}

/** Scopes of APIs by name. */
export type ApiScopes = ReadonlyMap<string, KnownScope>

/** The scopes of APIs among these names. */
export async function apiScopes(db: Db, names: readonly string[]): Promise<ApiScopes> {
  const rows = await many<KnownScope>(
    db,
    // Lock for share: a removal of the scope waits for this registration, and its job then finds the scope there.
    sql`select name, kinds from resource_scopes
        where name = any(${[...new Set(names)]}) and removed_at is null
        for share`,
  )
  return new Map(rows.map((scope) => [scope.name, scope]))
}

/**
 * The scopes that a client may have, by who registers it, in the given order: those of OpenID and of the APIs, and those of the
 * Admin API if an administrator registers it.
 */
export async function knownScopes(
  db: Db,
  scopes: readonly string[],
  registrar: Registrar,
): Promise<KnownScope[]> {
  return allowedScopes(await apiScopes(db, scopes), scopes, registrar)
}

function allowedScopes(ofApis: ApiScopes, scopes: readonly string[], registrar: Registrar): KnownScope[] {
  return scopes.flatMap((name) => {
    const isOurs = registrar === 'admin' && isApiScope(name)
    return ofApis.get(name) ?? (isOpenidScope(name) || isOurs ? { name, kinds: null } : [])
  })
}

/** Whether a scope may be asked for by clients of a kind. */
export function isForKind({ kinds }: Pick<KnownScope, 'kinds'>, type: ClientType): boolean {
  return kinds === null || kinds.includes(type)
}

/**
 * The one rule of which scopes a registration may hold.
 * @param registrar who registers the client. @param type its kind; undefined where it is not known yet
 * @throws InvalidMetadata for a scope that belongs to no API, or that this client may not have
 */
export async function checkScopes(
  db: Db,
  scopes: string[],
  registrar: Registrar,
  type: ClientType | undefined,
): Promise<void> {
  mustBeAllowed(await apiScopes(db, scopes), scopes, registrar, type)
}

/** As {@link checkScopes}, with the scopes of APIs that the caller has read. */
export function mustBeAllowed(
  ofApis: ApiScopes,
  scopes: readonly string[],
  registrar: Registrar,
  type: ClientType | undefined,
): void {
  const known = allowedScopes(ofApis, scopes, registrar)
  const unknown = scopes.find((scope) => !known.some(({ name }) => name === scope))
  if (unknown !== undefined) {
    throw new InvalidMetadata(
      'scopes',
      isApiScope(unknown)
        ? `${JSON.stringify(unknown)} administers this server and is for apps that an administrator registers; e.g. openid`
        : `${JSON.stringify(unknown)} belongs to no API; ${RIGHT_SCOPE}`,
    )
  }
  const refused = type && known.find((scope) => !isForKind(scope, type))
  if (refused) {
    throw new InvalidMetadata(
      'scopes',
      `${JSON.stringify(refused.name)} is not for this kind of app (${type}), only for ${refused.kinds!.join(', ')}; ${RIGHT_SCOPE}`,
    )
  }
}

const RIGHT_SCOPE = 'e.g. openid, or a scope of a resource'
