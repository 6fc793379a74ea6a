// The scopes of an API over the Admin API.
import { addScope, changeScope, removeScope } from '../../core/resources/update.ts'
import { type Operation, operation } from '../framework/operation.ts'
import { BUILT_IN, RESOURCE_ANSWER, type ResourceAccess, removableOf, scopeOf } from './access.ts'
import * as schemas from './schemas.ts'

/** Operations on scopes. */
export function resourceScopeOperations({ withResource }: ResourceAccess): Operation[] {
  return [
    operation({
      id: 'addScope',
      method: 'POST',
      path: '/resources/{resource_id}/scopes',
      tag: 'APIs',
      scope: 'resources:write',
      summary: 'Add a scope to an API',
      description: 'One of it that was removed comes back, to nobody who had it before.',
      params: schemas.resourceParams,
      body: schemas.newScope,
      ifMatch: 'optional',
      success: { ...RESOURCE_ANSWER, status: 201 },
      conflict: `${BUILT_IN} Or the scope was removed, and is still being taken from the apps that had it.`,
      run: (input) =>
        withResource(input, (t, { identifier }) => addScope(t, identifier, input.body, input.by)),
    }),
    operation({
      id: 'changeScope',
      method: 'PATCH',
      path: '/resources/{resource_id}/scopes/{scope_id}',
      tag: 'APIs',
      scope: 'resources:write',
      summary: 'Change what is said of a scope',
      description: 'Its name stays: what people decided about it must not get another meaning.',
      params: schemas.scopeParams,
      body: schemas.scopeChange,
      ifMatch: 'required',
      success: RESOURCE_ANSWER,
      conflict: BUILT_IN,
      run: (input) =>
        withResource(input, async (t, api) => {
          const { name, ...words } = scopeOf(api, input.params.scope_id)
          await changeScope(t, api.identifier, name, { ...words, ...input.body }, input.by)
        }),
    }),
    operation({
      id: 'removeScope',
      method: 'DELETE',
      path: '/resources/{resource_id}/scopes/{scope_id}',
      tag: 'APIs',
      scope: 'resources:write',
      summary: 'Remove a scope',
      description:
        'From now on no app can ask for it, and no opaque token holds it; a job takes it from apps and decisions (being_removed). Where that job has failed, removing the scope again goes on with what is left. An API keeps one scope at least.',
      params: schemas.scopeParams,
      ifMatch: 'optional',
      success: RESOURCE_ANSWER,
      conflict: BUILT_IN,
      run: (input) =>
        withResource(input, (t, api) =>
          removeScope(t, api.identifier, removableOf(api, input.params.scope_id), input.by),
        ),
    }),
  ]
}
