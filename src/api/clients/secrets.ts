// The secrets of apps over the Admin API.
import { isConfidential } from '../../core/clients/kinds.ts'
import { addNamedSecret, listSecrets, revokeSecret, rotateSecret } from '../../core/clients/secrets.ts'
import { getClient } from '../../core/clients/store.ts'
import type { Db } from '../../db/pool.ts'
import { NotFound } from '../../http/errors.ts'
import { type Answer, type Operation, operation } from '../framework/operation.ts'
import { uuid } from '../framework/schemas.ts'
import { clientParams, type OfClient, withClient } from './access.ts'
import * as schemas from './schemas.ts'

const secretParams = clientParams.extend({ secret_id: uuid })

/** The answer of making a secret. */
export const MADE_SECRET = {
  status: 201,
  description: 'Made; the secret is shown this once.',
  schema: schemas.madeSecret,
  secretMembers: ['client_secret'],
} as const

/** Operations on secrets of apps. */
export const secretOperations: readonly Operation[] = [
  operation({
    id: 'listSecrets',
    method: 'GET',
    path: '/clients/{client_id}/secrets',
    tag: 'Secrets',
    scope: 'clients:read',
    summary: 'List the secrets of an app that are valid now',
    description: 'Without their values, which nobody knows.',
    params: clientParams,
    success: { status: 200, description: 'All of them.', schema: schemas.secretList },
    async run({ db, params }) {
      const { id } = await getClient(db, params.client_id)
      return { body: (await listSecrets(db, id)).map(schemas.secretView) }
    },
  }),
  operation({
    id: 'addSecret',
    method: 'POST',
    path: '/clients/{client_id}/secrets',
    tag: 'Secrets',
    scope: 'clients:write',
    summary: 'Give an app one more secret',
    description: 'Those it has go on.',
    params: clientParams,
    body: schemas.secretName,
    success: MADE_SECRET,
    run: (input) => newSecret(input, (t, id) => addNamedSecret(t, id, input.body.name, input.by)),
  }),
  operation({
    id: 'rotateSecret',
    method: 'POST',
    path: '/clients/{client_id}/secret-rotation',
    tag: 'Secrets',
    scope: 'clients:write',
    summary: 'Give an app a new secret in the place of all it has',
    params: clientParams,
    body: schemas.rotation,
    success: MADE_SECRET,
    run: (input) =>
      newSecret(input, (t, id) =>
        rotateSecret(t, id, input.by, { overlapSeconds: input.body.overlap_seconds }),
      ),
  }),
  operation({
    id: 'revokeSecret',
    method: 'DELETE',
    path: '/clients/{client_id}/secrets/{secret_id}',
    tag: 'Secrets',
    scope: 'clients:write',
    summary: 'Revoke one secret',
    params: secretParams,
    success: { status: 204, description: 'Revoked.' },
    run: (input) =>
      withClient(input, async (t, { id }) => {
        const revoked = await revokeSecret(t, id, input.params.secret_id, input.by)
        if (!revoked) throw new NotFound('There is no such secret, or it has ended.')
        return {}
      }),
  }),
]

function newSecret(
  input: OfClient,
  make: (t: Db, id: string) => Promise<string | undefined>,
): Promise<Answer> {
  return withClient(input, async (t, { id, type }) => {
    if (!isConfidential(type)) throw new NotFound('This kind of app keeps no secret.')
    const secret = await make(t, id)
    if (secret === undefined) throw new NotFound('There is no such app.')
    return { body: { client_id: id, client_secret: secret } }
  })
}
