// How far a token reaches: it hands out no power that it does not hold itself, neither by registering an app, nor by taking one
// over, nor by making administrators.
import { InsufficientScope } from '../guards.ts'
import type { Access } from '../oidc/access.ts'
import { API_SCOPES, isApiScope } from '../resources/built-in.ts'

/** @throws InsufficientScope unless the token holds whatever of these scopes administers this server. */
export function mustReach(access: Access, scopes: readonly string[]): void {
  const missing = scopes.filter((scope) => isApiScope(scope) && !access.scopes.has(scope))
  if (missing.length === 0) return
  const words = `A token hands out or takes over what it holds itself only; this also needs ${missing.join(' and ')}.`
  throw new InsufficientScope(missing, words)
}

/** @throws InsufficientScope unless the token may do all that an administrator may. */
export function mustReachAll(access: Access): void {
  mustReach(
    access,
    API_SCOPES.map(({ name }) => name),
  )
}
