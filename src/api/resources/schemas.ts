// What APIs and scopes are as JSON of the Admin API.
import { z } from 'zod'
import { APP_TYPES } from '../../core/clients/kinds.ts'
import { TOKEN_FORMATS, TOKEN_SECONDS } from '../../core/resources/store.ts'
import * as credentials from '../clients/schemas.ts'
import { named, uuid } from '../framework/schemas.ts'

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
const by_default = z.boolean().meta({
  description: 'Had without being named, by a request without a scope. A dangerous one never is.',
})
const kinds = z
  .array(z.enum(APP_TYPES))
  // An empty list must not mean all.
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
  by_default,
  kinds,
}

/** A scope to be added. */
export const newScope = named(
  'NewScope',
  z.strictObject({
    ...scopeFields,
    detail: detail.default(''),
    dangerous: dangerous.default(false),
    by_default: by_default.default(true),
    kinds: kinds.default(null),
  }),
)
const scope = named('Scope', z.strictObject({ id: pathId, ...scopeFields }))

/** An API as it is answered. */
export const resource = named(
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

/** An API to be registered. */
export const newResource = named(
  'NewResource',
  z.strictObject({
    identifier: z.string().meta({ examples: ['https://photos.example'] }),
    name,
    token_format: token_format.default('opaque'),
    token_seconds: token_seconds.default(null),
    scopes: z.array(newScope).max(100),
  }),
)

/** An API that was registered, with its credentials. */
export const madeResource = named(
  'MadeResource',
  z.strictObject({ ...resource.shape, ...credentials.madeSecret.shape }),
)

/** What can be changed of an API. */
export const resourceChange = z.strictObject({
  name: name.optional(),
  token_format: token_format.optional(),
  token_seconds: token_seconds.optional(),
})

/** What can be changed of a scope; its name stays. */
export const scopeChange = z.strictObject({
  sentence: sentence.optional(),
  detail: detail.optional(),
  dangerous: dangerous.optional(),
  by_default: by_default.optional(),
  kinds: kinds.optional(),
})

/** What names an API. */
export const resourceParams = z.object({ resource_id: pathId })

/** What names a secret of an API. */
export const secretParams = resourceParams.extend({ secret_id: uuid })

/** What names a scope of an API. */
export const scopeParams = resourceParams.extend({ scope_id: pathId })
