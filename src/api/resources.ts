// APIs, their scopes and their introspection credentials over the Admin API, which is one of them and cannot be changed.
import { z } from 'zod'
import { builtInApi } from '../base/admin-api-scopes.ts'
import { digest } from '../base/credentials.ts'
import { APP_TYPES } from '../core/clients/kinds.ts'
import { InvalidMetadata } from '../core/clients/metadata.ts'
import { addNamedSecret, listSecrets, revokeSecret, rotateSecret } from '../core/clients/secrets.ts'
import {
  createResource,
  listResources,
  type Resource,
  TOKEN_FORMATS,
  TOKEN_SECONDS,
} from '../core/resources/store.ts'
import {
  addScope,
  changeResource,
  changeScope,
  introspectionClient,
  lockResource,
  removeScope,
} from '../core/resources/update.ts'
import { type Db, tx } from '../db/pool.ts'
import { HttpError, NotFound } from '../http/errors.ts'
import * as credentials from './client-schemas.ts'
import { type Answer, type Input, type Operation, operation } from './operation.ts'
import { listOf, named, uuid } from './schemas.ts'

const pathId = z
  .string()
  .regex(/^[A-Za-z0-9_-]{1,4000}$/)
  .meta({
    description: 'The identifier or name in base64url: it may hold anything.',
    examples: ['aHR0cHM6Ly9waG90b3MuZXhhbXBsZQ'],
  })
const sentence = z.string().meta({ description: 'What the consent page says, e.g. Look at your photos' })
const detail = z.string().meta({ description: 'What it means, or does not mean.' })
const dangerous = z.boolean().meta({ description: 'Not ticked in advance.' })
const kinds = z
  .array(z.enum(APP_TYPES))
  // Whoever sends none does not mean all.
  .min(1, 'must name a kind, e.g. ["web"]; null is all')
  .nullable()
  .meta({ description: 'Which kinds of app may ask for it; null: all.' })
const name = z.string().meta({ examples: ['Photos'] })
const token_format = z.enum(TOKEN_FORMATS).meta({
  description: 'Whether its access tokens are opaque, or JWTs that it reads itself (RFC 9068).',
})
const token_seconds = z
  .int()
  .min(TOKEN_SECONDS.least)
  .max(TOKEN_SECONDS.most)
  .nullable()
  .meta({ description: 'How long its access tokens live; null: as the server says.' })
const scopeFields = {
  name: z.string().meta({ examples: ['photos.read'] }),
  sentence,
  detail,
  dangerous,
  kinds,
}

const newScope = named(
  'NewScope',
  z.strictObject({
    ...scopeFields,
    detail: detail.default(''),
    dangerous: dangerous.default(false),
    kinds: kinds.default(null),
  }),
)
const scope = named('Scope', z.strictObject({ id: pathId, ...scopeFields }))
const resource = named(
  'Resource',
  z.strictObject({
    id: pathId,
    identifier: z.string().meta({ description: 'What tokens say they are for (RFC 8707).' }),
    name,
    built_in: z.boolean().meta({ description: 'This API itself. It cannot be changed.' }),
    token_format,
    token_seconds,
    scopes: z.array(scope),
    being_removed: z
      .array(
        z.strictObject({
          id: pathId,
          name: z.string(),
          job_id: uuid,
          has_failed: z.boolean().meta({
            description:
              'The job has stopped at an error; removing the scope again goes on with what is left.',
          }),
        }),
      )
      .meta({ description: 'Scopes that were removed, while jobs take them from apps and decisions.' }),
  }),
)
const newResource = named(
  'NewResource',
  z.strictObject({
    identifier: z.string().meta({ examples: ['https://photos.example'] }),
    name,
    token_format: token_format.default('opaque'),
    token_seconds: token_seconds.default(null),
    scopes: z.array(newScope).max(100),
  }),
)
const madeResource = named(
  'MadeResource',
  z.strictObject({ ...resource.shape, ...credentials.madeSecret.shape }),
)
const one = z.object({ resource_id: pathId })
const oneSecret = one.extend({ secret_id: uuid })
const oneScope = one.extend({ scope_id: pathId })
const SHOWN = { status: 200, description: 'The API as it stands now.', schema: resource, etag: true } as const
const MADE_SECRET = {
  status: 201,
  description: 'Made; the secret is shown this once.',
  schema: credentials.madeSecret,
  once: ['client_secret'],
} as const
const NO_CREDENTIALS = 'This API has no credentials.'
const BUILT_IN = 'It is built in and cannot be changed.'

/** Operations on APIs. @param issuer where this server is */
export function resourceOperations({ issuer }: { issuer: string }): Operation[] {
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
  const shown = (api: Resource) => ({ body: view(api), etag: etagOf(api) })
  /** Holds what was seen against what stands, while nobody else changes it. */
  const locked = (input: OfResource, work: (t: Db, api: Resource) => Promise<unknown>): Promise<Answer> =>
    tx(input.db, async (t) => {
      const { identifier } = await find(t, input.params.resource_id)
      if (identifier === builtIn.identifier) throw new HttpError(409, 'built_in', BUILT_IN)
      await lockResource(t, identifier)
      const api = await find(t, input.params.resource_id)
      input.mustMatch(etagOf(api))
      await work(t, api)
      return shown(await find(t, input.params.resource_id))
    })

  return [
    operation({
      id: 'listResources',
      method: 'GET',
      path: '/resources',
      tag: 'APIs',
      scope: 'resources:read',
      summary: 'List the APIs that tokens are for, with their scopes',
      success: { status: 200, description: 'All of them.', schema: listOf('ResourceList', resource) },
      run: async ({ db }) => ({ body: (await all(db)).map(view) }),
    }),
    operation({
      id: 'createResource',
      method: 'POST',
      path: '/resources',
      tag: 'APIs',
      scope: 'resources:write',
      summary: 'Register an API, with the credentials to introspect its tokens',
      body: newResource,
      success: {
        status: 201,
        description: 'Registered; its secret is shown this once.',
        schema: madeResource,
        once: ['client_secret'],
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
      params: one,
      success: { ...SHOWN, description: 'The API.' },
      run: async ({ db, params }) => shown(await find(db, params.resource_id)),
    }),
    operation({
      id: 'changeResource',
      method: 'PATCH',
      path: '/resources/{resource_id}',
      tag: 'APIs',
      scope: 'resources:write',
      summary: 'Change what an API is called, and what its tokens are',
      description: 'Tokens are given the new way from the next one on.',
      params: one,
      body: z.strictObject({
        name: name.optional(),
        token_format: token_format.optional(),
        token_seconds: token_seconds.optional(),
      }),
      ifMatch: 'required',
      success: SHOWN,
      conflict: BUILT_IN,
      run: (input) =>
        locked(input, (t, { identifier }) => changeResource(t, identifier, input.body, input.by)),
    }),
    operation({
      id: 'addScope',
      method: 'POST',
      path: '/resources/{resource_id}/scopes',
      tag: 'APIs',
      scope: 'resources:write',
      summary: 'Add a scope to an API',
      description: 'One of it that was removed comes back, to nobody who had it before.',
      params: one,
      body: newScope,
      ifMatch: 'optional',
      success: { ...SHOWN, status: 201 },
      conflict: `${BUILT_IN} Or the scope was removed, and is still being taken from the apps that had it.`,
      run: (input) => locked(input, (t, { identifier }) => addScope(t, identifier, input.body, input.by)),
    }),
    operation({
      id: 'changeScope',
      method: 'PATCH',
      path: '/resources/{resource_id}/scopes/{scope_id}',
      tag: 'APIs',
      scope: 'resources:write',
      summary: 'Change what is said of a scope',
      description: 'Its name stays: what people decided about it must not get another meaning.',
      params: oneScope,
      body: z.strictObject({
        sentence: sentence.optional(),
        detail: detail.optional(),
        dangerous: dangerous.optional(),
        kinds: kinds.optional(),
      }),
      ifMatch: 'required',
      success: SHOWN,
      conflict: BUILT_IN,
      run: (input) =>
        locked(input, async (t, api) => {
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
      params: oneScope,
      ifMatch: 'optional',
      success: SHOWN,
      conflict: BUILT_IN,
      run: (input) =>
        locked(input, (t, api) =>
          removeScope(t, api.identifier, removableOf(api, input.params.scope_id), input.by),
        ),
    }),
    operation({
      id: 'listResourceSecrets',
      method: 'GET',
      path: '/resources/{resource_id}/secrets',
      tag: 'APIs',
      scope: 'resources:read',
      summary: 'List the secrets with which an API introspects',
      params: one,
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
      params: one,
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
      params: oneSecret,
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
      params: one,
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

type OfResource = Pick<Input<{ resource_id: string }, unknown, unknown>, 'db' | 'params' | 'mustMatch'>

function idOf(text: string): string {
  return Buffer.from(text).toString('base64url')
}

function scopeOf(api: Resource, id: string) {
  const found = api.scopes.find(({ name }) => idOf(name) === id)
  if (!found) throw new NotFound('There is no such scope.')
  const { name, sentence, detail, dangerous, kinds } = found
  return { name, sentence, detail, dangerous, kinds }
}

/** The name of a scope that can be removed, or whose removal has failed. */
function removableOf(api: Resource, id: string): string {
  const failed = api.being_removed.find(({ name, has_failed }) => has_failed && idOf(name) === id)
  return failed?.name ?? scopeOf(api, id).name
}

function resourceView(
  { identifier, name, scopes, token_format, token_seconds, being_removed }: Resource,
  built_in: boolean,
) {
  const views = scopes.map(({ name, sentence, detail, dangerous, kinds }) => ({
    id: idOf(name),
    name,
    sentence,
    detail,
    dangerous,
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

// An API has no version of its own: what it says is what was seen. A job that ends is nobody's change.
function etagOf(api: Resource): string {
  return `"${digest(JSON.stringify(resourceView({ ...api, being_removed: [] }, false)))
    .toString('base64url')
    .slice(0, 27)}"`
}
