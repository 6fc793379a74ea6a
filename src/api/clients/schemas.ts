// Apps and their secrets as the Admin API reads and writes them, member by member: no other member gets in or out.
import { z } from 'zod'
import { type Field, mapFields, REGISTRARS, schemas } from '../../core/clients/fields.ts'
import { APP_TYPES, CLIENT_STATES } from '../../core/clients/kinds.ts'
import type { Owner } from '../../core/clients/owners.ts'
import type { WaitingChange } from '../../core/clients/pending-changes.ts'
import { type ClientSummary, MOST_COUNTED, SEARCHED_STATES } from '../../core/clients/search.ts'
import type { SecretRow } from '../../core/clients/secrets.ts'
import type { Client } from '../../core/clients/store.ts'
import type { StoredDocument } from '../../core/registration/metadata-documents.ts'
import {
  clientCursor,
  clientId,
  listOf,
  listQuery,
  moment,
  named,
  pick,
  shownOnce,
  uuid,
  words,
} from '../framework/schemas.ts'

/** The body with which an app is registered. */
export const newClient = named('NewClient', z.strictObject(schemas))

const { type: _type, ...changeable } = schemas

/** A change of an app: absent members stay, so the defaults of a registration are left out. */
export const clientChange = named(
  'ClientChange',
  z
    .strictObject(changeOf(changeable))
    .meta({ description: 'A merge patch (RFC 7396): what is absent stays.' }),
)

/** Which apps to find. */
export const clientQuery = listQuery(
  {
    q: words
      .optional()
      .meta({ description: 'Part of a name, id or redirect URI, or how an owner’s address begins.' }),
    state: z
      .enum(SEARCHED_STATES)
      .optional()
      .meta({ description: 'changed: a change of it waits for a decision.' }),
    type: z.enum(APP_TYPES).optional(),
    registered_by: z.enum(REGISTRARS).optional(),
    unused_days: z
      .string()
      .regex(/^\d{1,4}$/, 'must be a number of days')
      .transform(Number)
      .optional()
      .meta({ description: 'Got no token for so many days.' }),
  },
  clientCursor.optional(),
)

const summaryFields = {
  id: clientId,
  name: z.string(),
  type: z.enum(APP_TYPES),
  state: z.enum(CLIENT_STATES),
  registered_by: z.enum(REGISTRARS),
  first_party: z.boolean(),
  redirect_uris: z.array(z.string()),
  homepage_uri: z.string().nullable(),
  verified_at: moment.nullable(),
  suspended_at: moment.nullable().meta({ description: 'Set: every token of it is dead.' }),
  created_at: moment,
  last_used_at: moment.nullable(),
}

/** Apps in a list. */
export const clientList = listOf(
  'ClientList',
  named(
    'ClientSummary',
    z.strictObject({
      ...summaryFields,
      owners: z.array(z.string()).meta({ description: 'Email addresses, 5 at most.' }),
      users: z.int().meta({ description: `People who allow it; at most ${MOST_COUNTED} are counted.` }),
    }),
  ),
)

const clientFields = {
  ...summaryFields,
  state_reason: z.string(),
  verification_fell_at: moment.nullable().meta({
    description:
      'Set: it is no longer verified, or first-party, because the last owner that an administrator vouched for has left.',
  }),
  ...mapFields(standing),
  version: z.int().meta({ description: 'Grows with every change; ETag says it, too.' }),
  waiting_change_id: uuid
    .nullable()
    .meta({ description: 'A change of it waits for a decision; until then it goes on as it is.' }),
  document_read_at: moment
    .nullable()
    .meta({ description: 'When the document was read whose address is its id; null for other apps.' }),
  owners: z.array(z.strictObject({ id: uuid, name: z.string(), email: z.string() })),
}

/** An app. */
export const client = named('Client', z.strictObject(clientFields))

/** An app just registered. */
export const madeClient = named('MadeClient', z.strictObject({ ...clientFields, client_secret: shownOnce }))

/** A secret, without its value. */
const secret = named(
  'Secret',
  z.strictObject({
    id: uuid,
    name: z.string(),
    prefix: z.string().meta({ description: 'Its first characters.' }),
    created_at: moment,
    expires_at: moment.nullable(),
    last_used_at: moment.nullable(),
  }),
)

/** The secrets of an app. */
export const secretList = listOf('SecretList', secret)

/** The name of a secret. */
export const secretName = z.strictObject({
  name: z.string().max(100).meta({ description: 'Where it is used, e.g. web server 2.' }),
})

/** A new secret, whose value is shown only once. */
export const madeSecret = named(
  'MadeSecret',
  z.strictObject({ client_id: clientId, client_secret: shownOnce }),
)

/** How long the present secrets of an app stay valid beside a new one. */
export const rotation = named(
  'Rotation',
  z.strictObject({
    overlap_seconds: z
      .int()
      .min(0)
      .max(90 * 86_400)
      .default(86_400)
      .meta({ description: 'When the secrets it has end: 0 is at once.' }),
  }),
)

/** An app in a list. */
export function summaryView(app: ClientSummary) {
  return { ...pick(app, Object.keys(summaryFields)), owners: app.owners, users: app.users }
}

/** What is answered about an app beyond its own row. */
export interface ClientExtras {
  owners: Owner[]
  change: WaitingChange | undefined
  document: StoredDocument | undefined
}

/** An app as a whole. */
export function clientView(app: Client, { owners, change, document }: ClientExtras) {
  return {
    ...pick(app, Object.keys(clientFields)),
    waiting_change_id: change && !change.rejected_at ? change.id : null,
    document_read_at: document?.fetched_at ?? null,
    owners: owners.map(({ id, name, email }) => ({ id, name, email })),
  }
}

/** A secret in a list. */
export function secretView(row: SecretRow) {
  return pick(row, Object.keys(secret.shape))
}

/** The schema of a field in an answer. */
function standing({ shape, choices }: Field): z.ZodType {
  if (shape === 'address') return z.string().nullable()
  if (shape === 'list') return z.array(z.string())
  if (shape === 'flag') return z.boolean()
  return choices ? z.enum(choices) : z.string()
}

// A default would overwrite the present value of a field that a patch leaves out.
function changeOf<F extends Record<string, z.ZodType>>(fields: F) {
  const entries = Object.entries(fields).map(([name, field]) => [
    name,
    (field instanceof z.ZodDefault ? (field.unwrap() as z.ZodType) : field).optional(),
  ])
  return Object.fromEntries(entries) as {
    [Name in keyof F]: z.ZodOptional<z.ZodType<Exclude<z.output<F[Name]>, undefined>>>
  }
}
