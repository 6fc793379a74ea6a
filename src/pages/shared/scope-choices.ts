// The scopes that the form of an app offers, by API.
import { isApiScope } from '../../base/admin-api-scopes.ts'
import { OPENID_HINTS } from '../../base/openid-scopes.ts'
import type { Registrar } from '../../core/clients/fields.ts'
import type { ResourceDirectory } from '../../core/resources/cache.ts'
import type { ResourceScope } from '../../core/resources/store.ts'

/** The scopes to tick, by API. Those of the Admin API are offered only where an administrator registers the app. */
export async function scopeChoices(resources: ResourceDirectory, chosen: string[], registrar: Registrar) {
  const scopes = new Set(chosen)
  const apis = [
    {
      name: 'OpenID',
      scopes: OPENID_HINTS.map(({ name, hint }) => ({
        name,
        sentence: hint,
        dangerous: false,
        by_default: false,
        kinds: null,
      })),
    },
    ...(await resources.all()).filter(
      ({ scopes }) => registrar === 'admin' || !scopes.some(({ name }) => isApiScope(name)),
    ),
  ]
  return apis.map((api) => ({
    name: api.name,
    scopes: api.scopes.map((scope) => ({
      name: scope.name,
      hint: hintOf(scope),
      checked: scopes.has(scope.name),
    })),
  }))
}

function hintOf({ sentence, dangerous, kinds }: Omit<ResourceScope, 'name' | 'detail'>): string | undefined {
  const notes = [...(dangerous ? ['dangerous'] : []), ...(kinds ? [`only ${kinds.join(', ')}`] : [])]
  return sentence ? `${sentence}${notes.length > 0 ? ` (${notes.join('; ')})` : ''}` : undefined
}
