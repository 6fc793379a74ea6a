// The one table of the metadata fields of a client. Columns, checks, forms, JSON, YAML, the names of RFC 7591, differences and the
// options of the command line follow from it: a new field needs a migration, an entry here, and a test. The kind of a client
// is no field, because it cannot be changed. metadata.ts checks what fields mean together.
import { z } from 'zod'
import type { Change } from '../../base/audit-events.ts'
import { isPlainName } from '../../base/printable.ts'
import { redirectUriProblem, webAddressProblem } from './addresses.ts'
import { APP_TYPES, type AppType } from './kinds.ts'

/** Who can register a client: an administrator, a developer, or the client itself, dynamically. */
export const REGISTRARS = ['admin', 'developer', 'itself'] as const

/** One of {@link REGISTRARS}. */
export type Registrar = (typeof REGISTRARS)[number]

/** A field of a registration. Its key is the column, the member of JSON and YAML, and the name in forms. */
export interface Field {
  /** How a value is stored: a text; an address or null; a list of texts; a boolean; one of a few texts. */
  shape: 'text' | 'address' | 'list' | 'flag' | 'choice'
  /** Which input is valid. Its default is the value of a registration without this field. */
  schema: z.ZodType
  /** What is wrong with one of its texts, beyond the schema, with a valid example. */
  problem?: (text: string, type: AppType) => string | undefined
  /** Its name in RFC 7591 or OpenID Connect Registration; absent: programs cannot set it. */
  rfc7591?: string
  /** A valid value, as an example. */
  example: string
  label: string
  /** Who may set it. From others it is ignored or refused. */
  setBy: readonly Registrar[]
  /**
   * Whether people know an app by it. A new value in an approved app waits for an administrator, and people who allowed a
   * dynamically registered app are asked again. A new path at the same host does not count.
   */
  branding?: 'any change' | 'another host'
  /** It names people: the audit log, which is kept for ever, records that it was changed, but no values. */
  personal?: true
  form: FormField
  /** Its option on the command line; `no` describes the option with --no- in front, of a flag. */
  option: { flags: string; help: string; no?: string }
  /** The texts of a choice. */
  choices?: readonly string[]
  /** Words for a flag: when it is set, and when it is not. */
  words?: readonly [yes: string, no: string]
}

/** How forms ask for a field. Where there are words for both, those for developers explain more than those for administrators. */
export interface FormField {
  as: 'line' | 'address' | 'area' | 'lines' | 'scopes' | 'choice' | 'check'
  /** Its label where a form calls it otherwise. */
  label?: string | ByAudience
  hint?: string | ByAudience
  required?: boolean
  /** The most characters. */
  most?: number
  /** Lines of an area. */
  rows?: number
  /** The kinds of app whose form has it; absent: all. */
  kinds?: readonly AppType[]
  /** Whose form has it, where others set it on a page of its own. */
  only?: 'admin'
}

/** Words for developers and for administrators. */
export type ByAudience = Partial<Record<'admin' | 'developer', string>>

/** What ID tokens may be signed with. */
const ID_TOKEN_ALGS = ['RS256', 'ES256'] as const

/** Kinds, as a registration names them. */
export const typeSchema = z.enum(APP_TYPES, `must be one of ${APP_TYPES.join(', ')}, e.g. web`)

const PEOPLE = ['admin', 'developer'] as const
const WITH_REDIRECTS = ['web', 'spa', 'native'] as const

const addresses = z
  .array(z.string())
  .max(20, 'has more than 20 entries; one is enough for most, e.g. https://app.example/callback')
  .default([])
const address = z.string().nullish()

/** The fields, in the order of forms and files. */
export const FIELDS = {
  name: {
    shape: 'text',
    schema: z
      .string()
      .trim()
      .min(1, 'is missing, e.g. "Photo Printer"')
      .max(80, 'has more than 80 characters, e.g. "Photo Printer"')
      .refine(isPlainName, 'holds characters that cannot be seen, e.g. "Photo Printer"'),
    rfc7591: 'client_name',
    example: 'Photo Printer',
    label: 'Name',
    setBy: REGISTRARS,
    branding: 'any change',
    form: {
      as: 'line',
      hint: {
        admin: 'What people read on the consent page.',
        developer: 'What people read when they are asked to allow it.',
      },
      required: true,
      most: 80,
    },
    option: { flags: '--name <name>', help: 'what people read on the consent page' },
  },
  description: {
    shape: 'text',
    schema: z
      .string()
      .trim()
      .max(1000, 'has more than 1,000 characters, e.g. "Prints your photos"')
      .refine(
        (text) => text === '' || isPlainName(text.replace(/\r?\n/g, ' ')),
        'holds characters that cannot be seen, e.g. "Prints your photos"',
      )
      .default(''),
    example: 'Prints your photos',
    label: 'Description',
    setBy: PEOPLE,
    form: {
      as: 'area',
      hint: {
        admin: 'For administrators.',
        developer: 'What it does, for the administrators who decide about it.',
      },
      most: 1000,
    },
    option: { flags: '--description <text>', help: 'for administrators' },
  },
  redirect_uris: {
    shape: 'list',
    schema: addresses,
    problem: redirectUriProblem,
    rfc7591: 'redirect_uris',
    example: 'https://app.example/callback',
    label: 'Redirect URIs',
    setBy: REGISTRARS,
    branding: 'another host',
    form: {
      as: 'lines',
      hint: {
        admin: 'One a line, compared exactly. A service and a device have none.',
        developer:
          'Where people are sent back to. One a line, compared character by character. A service and a device have none.',
      },
      kinds: WITH_REDIRECTS,
    },
    option: {
      flags: '--redirect-uri <uri...>',
      help: 'where people are sent back to; all of them, compared exactly',
    },
  },
  post_logout_redirect_uris: {
    shape: 'list',
    schema: addresses,
    problem: redirectUriProblem,
    rfc7591: 'post_logout_redirect_uris',
    example: 'https://app.example/',
    label: 'After signing out',
    setBy: REGISTRARS,
    form: {
      as: 'lines',
      hint: {
        admin: 'Where people may be sent then. One a line.',
        developer: 'Where people may be sent then, e.g. https://app.example/bye. One a line; may be empty.',
      },
      rows: 2,
      kinds: WITH_REDIRECTS,
    },
    option: {
      flags: '--post-logout-redirect-uri <uri...>',
      help: 'where people may be sent after signing out; all of them',
    },
  },
  homepage_uri: {
    shape: 'address',
    schema: address,
    problem: webAddressProblem,
    rfc7591: 'client_uri',
    example: 'https://app.example/',
    label: 'Web page',
    setBy: REGISTRARS,
    form: { as: 'address', hint: { developer: 'E.g. https://app.example/' } },
    option: { flags: '--homepage <uri>', help: 'its web page' },
  },
  logo_uri: {
    shape: 'address',
    schema: address,
    problem: webAddressProblem,
    rfc7591: 'logo_uri',
    example: 'https://app.example/logo.png',
    label: 'Logo',
    setBy: REGISTRARS,
    branding: 'any change',
    form: { as: 'address', hint: 'The https address of a square picture.', only: 'admin' },
    option: { flags: '--logo <uri>', help: 'its logo' },
  },
  policy_uri: {
    shape: 'address',
    schema: address,
    problem: webAddressProblem,
    rfc7591: 'policy_uri',
    example: 'https://app.example/privacy',
    label: 'Privacy policy',
    setBy: REGISTRARS,
    form: { as: 'address', hint: { developer: 'E.g. https://app.example/privacy' } },
    option: { flags: '--policy <uri>', help: 'its privacy policy' },
  },
  tos_uri: {
    shape: 'address',
    schema: address,
    problem: webAddressProblem,
    rfc7591: 'tos_uri',
    example: 'https://app.example/terms',
    label: 'Terms',
    setBy: REGISTRARS,
    form: { as: 'address', hint: { developer: 'E.g. https://app.example/terms' } },
    option: { flags: '--terms <uri>', help: 'its terms' },
  },
  contacts: {
    shape: 'list',
    schema: z
      .array(z.string().trim())
      .max(10, 'has more than 10 entries; name those who answer, e.g. team@app.example')
      .default([]),
    problem: (text) =>
      text.length <= 320 && z.email().safeParse(text).success
        ? undefined
        : `${JSON.stringify(text.slice(0, 200))} is not an email address, e.g. team@app.example`,
    rfc7591: 'contacts',
    example: 'team@app.example',
    label: 'Contacts',
    setBy: REGISTRARS,
    personal: true,
    form: {
      as: 'lines',
      hint: 'Where administrators reach the people responsible for it: email addresses, one a line. People who use the app do not see them.',
      rows: 2,
    },
    option: {
      flags: '--contact <email...>',
      help: 'where the people responsible for it are reached; all of them',
    },
  },
  scopes: {
    shape: 'list',
    // A registration without it gets what its kind needs (metadata.ts).
    schema: z.array(z.string()).max(100, 'has more than 100 entries, e.g. openid alone will do').optional(),
    rfc7591: 'scope',
    example: 'openid profile',
    label: 'Scopes',
    setBy: REGISTRARS,
    form: { as: 'scopes', label: { admin: 'Scopes of', developer: 'What it may ask for:' } },
    option: {
      flags: '--scope <scope...>',
      help: 'what it may ask for; all of them (new apps by default: the OpenID scopes; none for a service)',
    },
  },
  id_token_signed_response_alg: {
    shape: 'choice',
    schema: z.enum(ID_TOKEN_ALGS, `must be one of ${ID_TOKEN_ALGS.join(', ')}, e.g. RS256`).default('RS256'),
    rfc7591: 'id_token_signed_response_alg',
    example: 'RS256',
    label: 'ID tokens signed with',
    setBy: ['admin', 'itself'],
    form: { as: 'choice' },
    choices: ID_TOKEN_ALGS,
    option: { flags: '--id-token-alg <alg>', help: 'what its ID tokens are signed with' },
  },
  first_party: {
    shape: 'flag',
    schema: z.boolean().default(false),
    example: 'false',
    label: 'First party',
    setBy: ['admin'],
    form: { as: 'check', label: 'It is our own (first party)', hint: 'People are not asked for consent.' },
    words: ['Yes: people are not asked', 'No: people are asked'],
    option: {
      flags: '--first-party',
      help: 'it is your own: people are not asked for consent',
      no: 'it is not: people are asked',
    },
  },
  pkce_required: {
    shape: 'flag',
    schema: z.boolean().default(true),
    example: 'true',
    label: 'PKCE',
    setBy: PEOPLE,
    form: {
      as: 'check',
      label: 'Require PKCE',
      hint: {
        admin:
          'Only a web app whose library cannot do PKCE may go without; for all other kinds it is always required.',
        developer:
          'Take the tick away only if your library cannot do PKCE. Without it, somebody who gets hold of a code in the browser can try to use it in your app: send a nonce at least, and come back to PKCE when your library can.',
      },
      kinds: ['web'],
    },
    words: ['Required (S256)', 'Not required'],
    option: { flags: '--pkce', help: 'require PKCE', no: 'do not require PKCE of this web app' },
  },
} as const satisfies Record<string, Field>

type Fields = typeof FIELDS

/** The name of a field. */
export type FieldName = keyof Fields

/** The names of all fields, in their order. */
export const FIELD_NAMES = Object.keys(FIELDS) as FieldName[]

/** The schemas of the fields, and of the kind. */
export const schemas = { ...mapFields(({ schema }) => schema), type: typeSchema } as {
  type: typeof typeSchema
} & { [Name in FieldName]: Fields[Name]['schema'] }

/** The input of a registration; everything but name and type may be absent. */
export type ClientInput = z.input<z.ZodObject<typeof schemas>>

/** A checked registration. */
export type ClientMetadata = { type: AppType } & {
  [Name in FieldName]: Fields[Name]['shape'] extends 'address'
    ? string | null
    : Exclude<z.output<Fields[Name]['schema']>, undefined>
}

/** Maps each field, by its name. */
export function mapFields<T>(of: (field: Field, name: FieldName) => T): Record<FieldName, T> {
  const entries = FIELD_NAMES.map((name) => [name, of(FIELDS[name], name)])
  return Object.fromEntries(entries) as Record<FieldName, T>
}

/** The name of a field that somebody may set. */
export type FieldSetBy<Who extends Registrar> = {
  [Name in FieldName]: Who extends Fields[Name]['setBy'][number] ? Name : never
}[FieldName]

/** The names of the fields that somebody may set. */
export function fieldsSetBy<Who extends Registrar>(who: Who): FieldSetBy<Who>[] {
  return FIELD_NAMES.filter((name) => (FIELDS[name] as Field).setBy.includes(who)) as FieldSetBy<Who>[]
}

/** The values that are set and belong to these fields; other input is ignored. */
export function pickFields<Name extends FieldName, Values extends { [_ in Name]?: unknown }>(
  values: Values,
  names: readonly Name[],
): Pick<Values, Name> {
  const present = names.filter((name) => values[name] !== undefined)
  return Object.fromEntries(present.map((name) => [name, values[name]])) as Pick<Values, Name>
}

/** The value of a field in a registration without it; undefined where the field is required, and where the kind decides. */
export function standardOf(name: FieldName): unknown {
  const { data } = FIELDS[name].schema.safeParse(undefined)
  return FIELDS[name].shape === 'address' ? null : data
}

/** Changes for the audit log, which is kept for ever: without values that name people. */
export function impersonal(changes: Change[]): Change[] {
  return changes.filter(({ field }) => !(FIELDS[field as FieldName] as Field | undefined)?.personal)
}

/** The label of a field on pages. */
export function labelOf(name: string): string {
  return name === 'type' ? 'Kind' : (FIELDS[name as FieldName]?.label ?? name)
}
