// The secrets with which an API introspects, over the Admin API.
import { addNamedSecret, listSecrets, revokeSecret, rotateSecret } from '../../core/clients/secrets.ts'
import { introspectionClient } from '../../core/resources/update.ts'
import { NotFound } from '../../http/errors.ts'
import * as credentials from '../clients/schemas.ts'
import { MADE_SECRET } from '../clients/secrets.ts'
import { type Operation, operation } from '../framework/operation.ts'
import { NO_CREDENTIALS, type ResourceAccess } from './access.ts'
import * as schemas from './schemas.ts'

/** Operations on introspection credentials. */
export function resourceSecretOperations({ find, credentialsOf }: ResourceAccess): Operation[] {
  return [
    operation({
      id: 'listResourceSecrets',
      method: 'GET',
      path: '/resources/{resource_id}/secrets',
      tag: 'APIs',
      scope: 'resources:read',
      summary: 'List the secrets with which an API introspects',
      params: schemas.resourceParams,
      success: {
        status: 200,
        description: 'Those that are valid now, without their values.',
        schema: credentials.secretList,
      },
      async run({ db, params }) {
        const { identifier } = await find(db, params.resource_id)
        const client_id = await introspectionClient(db, identifier)
        return { body: client_id ? (await listSecrets(db, client_id)).map(credentials.secretView) : [] }
      },
    }),
    operation({
      id: 'addResourceSecret',
      method: 'POST',
      path: '/resources/{resource_id}/secrets',
      tag: 'APIs',
      scope: 'resources:write',
      summary: 'Give an API one more secret to introspect with',
      description: 'Those it has go on.',
      params: schemas.resourceParams,
      body: credentials.secretName,
      success: MADE_SECRET,
      async run({ db, params, body, by }) {
        const client_id = await credentialsOf(db, params.resource_id)
        const secret = await addNamedSecret(db, client_id, body.name, by)
        if (secret === undefined) throw new NotFound(NO_CREDENTIALS)
        return { body: { client_id, client_secret: secret } }
      },
    }),
    operation({
      id: 'revokeResourceSecret',
      method: 'DELETE',
      path: '/resources/{resource_id}/secrets/{secret_id}',
      tag: 'APIs',
      scope: 'resources:write',
      summary: 'Revoke one secret of an API',
      params: schemas.secretParams,
      success: { status: 204, description: 'Revoked.' },
      async run({ db, params, by }) {
        const client_id = await credentialsOf(db, params.resource_id)
        const revoked = await revokeSecret(db, client_id, params.secret_id, by)
        if (!revoked) throw new NotFound('There is no such secret, or it has ended.')
        return {}
      },
    }),
    operation({
      id: 'rotateResourceSecret',
      method: 'POST',
      path: '/resources/{resource_id}/secret-rotation',
      tag: 'APIs',
      scope: 'resources:write',
      summary: 'Give an API a new secret to introspect with',
      params: schemas.resourceParams,
      body: credentials.rotation,
      success: MADE_SECRET,
      async run({ db, params, body, by }) {
        const client_id = await credentialsOf(db, params.resource_id)
        const secret = await rotateSecret(db, client_id, by, { overlapSeconds: body.overlap_seconds })
        if (secret === undefined) throw new NotFound(NO_CREDENTIALS)
        return { body: { client_id, client_secret: secret } }
      },
    }),
  ]
}
