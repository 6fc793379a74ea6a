// APIs over the Admin API.
import { InvalidMetadata } from '../../core/clients/metadata.ts'
import { createResource } from '../../core/resources/store.ts'
import { changeResource } from '../../core/resources/update.ts'
import { type Operation, operation } from '../framework/operation.ts'
import { listOf } from '../framework/schemas.ts'
import { BUILT_IN, etagOf, idOf, RESOURCE_ANSWER, resourceAccess } from './access.ts'
import * as schemas from './schemas.ts'
import { resourceScopeOperations } from './scopes.ts'
import { resourceSecretOperations } from './secrets.ts'

/** Operations on APIs, their scopes and their introspection credentials. @param issuer where this server is */
export function resourceOperations({ issuer }: { issuer: string }): Operation[] {
  const access = resourceAccess(issuer)
  const { builtIn, all, find, view, answer, withResource } = access
  return [
    operation({
      id: 'listResources',
      method: 'GET',
      path: '/resources',
      tag: 'APIs',
      scope: 'resources:read',
      summary: 'List the APIs that tokens are for, with their scopes',
      success: { status: 200, description: 'All of them.', schema: listOf('ResourceList', schemas.resource) },
      run: async ({ db }) => ({ body: (await all(db)).map(view) }),
    }),
    operation({
      id: 'createResource',
      method: 'POST',
      path: '/resources',
      tag: 'APIs',
      scope: 'resources:write',
      summary: 'Register an API, with the credentials to introspect its tokens',
      body: schemas.newResource,
      success: {
        status: 201,
        description: 'Registered; its secret is shown this once.',
        schema: schemas.madeResource,
        secretMembers: ['client_secret'],
        etag: true,
        location: true,
      },
      async run({ db, body, by }) {
        if (body.identifier === builtIn.identifier) throw new InvalidMetadata('identifier', BUILT_IN)
        const { resource: api, client, secret } = await createResource(db, body, by)
        return {
          body: { ...view(api), client_id: client.id, client_secret: secret },
          etag: etagOf(api),
          location: `/resources/${idOf(api.identifier)}`,
        }
      },
    }),
    operation({
      id: 'getResource',
      method: 'GET',
      path: '/resources/{resource_id}',
      tag: 'APIs',
      scope: 'resources:read',
      summary: 'Read an API',
      params: schemas.resourceParams,
      success: { ...RESOURCE_ANSWER, description: 'The API.' },
      run: async ({ db, params }) => answer(await find(db, params.resource_id)),
    }),
    operation({
      id: 'changeResource',
      method: 'PATCH',
      path: '/resources/{resource_id}',
      tag: 'APIs',
      scope: 'resources:write',
      summary: 'Change what an API is called, and what its tokens are',
      description: 'Tokens are given the new way from the next one on.',
      params: schemas.resourceParams,
      body: schemas.resourceChange,
      ifMatch: 'required',
      success: RESOURCE_ANSWER,
      conflict: BUILT_IN,
      run: (input) =>
        withResource(input, (t, { identifier }) => changeResource(t, identifier, input.body, input.by)),
    }),
    ...resourceScopeOperations(access),
    ...resourceSecretOperations(access),
  ]
}
