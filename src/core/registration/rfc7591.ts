// Translates registrations from and to RFC 7591 and OpenID Connect Registration, member by member, so that no unknown member gets
// through. clients/metadata.ts says what may be registered. It knows no storage.
import { z } from 'zod'
import { isOpenidScope } from '../../base/openid-scopes.ts'
import { redirectUriProblem } from '../clients/addresses.ts'
import {
  type ClientInput,
  type ClientMetadata,
  FIELD_NAMES,
  FIELDS,
  type Field,
  type FieldName,
} from '../clients/fields.ts'
import { DEVICE_GRANT } from '../clients/kinds.ts'
import { InvalidMetadata } from '../clients/metadata.ts'
import { checkRefusedMembers } from './refused-members.ts'

/** The authentication methods of dynamically registered clients. */
export type AuthMethod = (typeof AUTH_METHODS)[number]

/** What a client that registers may ask for. */
export interface Permission {
  /** The scopes, by the kind of the client. */
  scopesFor(type: ClientInput['type']): string[]
  /** Whether it may use client credentials. */
  client_credentials: boolean
}

/** A requested registration, in our fields. */
export interface Requested {
  input: ClientInput
  grant_types: string[]
  token_endpoint_auth_method: AuthMethod
}

/** The facts that {@link clientInformation} answers with. */
export interface ClientFacts extends Omit<ClientMetadata, 'type'> {
  id: string
  type: string
  created_at: Date
  grant_types: string[]
  token_endpoint_auth_method: AuthMethod
}

const AUTH_METHODS = ['client_secret_basic', 'client_secret_post', 'none'] as const
const GRANT_TYPES = ['authorization_code', 'refresh_token', 'client_credentials', DEVICE_GRANT] as const

const text = (example: string) => z.string(`must be text, e.g. "${example}"`).nullish()
const texts = (example: string) => {
  const error = `must be a list of texts, e.g. ["${example}"]`
  return z
    .array(z.string(error), error)
    .max(20, `has more than 20 entries; one is enough for most, e.g. ["${example}"]`)
    .nullish()
}

// The members that are fields of ours. Scopes are one text there, and this file decides which are allowed.
const MEMBERS = FIELD_NAMES.flatMap((name) => {
  const { rfc7591: member } = FIELDS[name] as Field
  return member && name !== 'scopes' ? [{ name, member }] : []
})

function memberSchema({ shape, example, schema }: Field): z.ZodType {
  if (shape === 'list') return texts(example)
  return shape === 'choice' ? schema.nullish() : text(example)
}

// Other members are left out of the answer, as RFC 7591 §2 asks: for example software_id, which we could not check, and members with
// the names of our own fields.
const schema = z.object(
  {
    ...Object.fromEntries(MEMBERS.map(({ name, member }) => [member, memberSchema(FIELDS[name])])),
    redirect_uris: texts(FIELDS.redirect_uris.example),
    token_endpoint_auth_method: z
      .enum(AUTH_METHODS, `must be one of ${AUTH_METHODS.join(', ')}, e.g. "none"`)
      .nullish(),
    grant_types: texts('authorization_code'),
    response_types: texts('code'),
    application_type: z.enum(['web', 'native'], 'must be web or native, e.g. "web"').nullish(),
    scope: text(FIELDS.scopes.example),
  },
  'must be a JSON object, e.g. {"redirect_uris": ["https://app.example/callback"]}',
)

type Members = z.output<typeof schema>

/** Reads client metadata. @throws InvalidMetadata with the names of our fields: see {@link asRegistrationError} */
export function readMetadata(body: unknown, may: Permission): Requested {
  const parsed = schema.safeParse(body)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw new InvalidMetadata(String(issue!.path[0] ?? 'the request'), issue!.message)
  }
  checkRefusedMembers(body as Record<string, unknown>)
  const members = parsed.data
  const grant_types = grantTypes(members, may)
  const type = typeOf(members, grant_types)
  const redirect_uris = usableUris(members.redirect_uris ?? [], type)
  const present = { ...members, redirect_uris } as Record<string, unknown>
  const input = {
    // RFC 7591 §2: null means absent.
    ...Object.fromEntries(MEMBERS.map(({ name, member }) => [name, present[member] ?? undefined])),
    name: present.client_name ?? nameless(redirect_uris),
    type,
    scopes: scopesOf(members, may, type),
  } as ClientInput
  return { input, grant_types, token_endpoint_auth_method: authMethodOf(members) }
}

/** The client information response (RFC 7591 §3.2.1), without credentials. */
export function clientInformation(client: ClientFacts): Record<string, unknown> {
  const present = MEMBERS.filter(({ name }) => client[name] !== null)
  return {
    client_id: client.id,
    client_id_issued_at: Math.floor(client.created_at.getTime() / 1000),
    application_type: client.type === 'native' || client.type === 'device' ? 'native' : 'web',
    token_endpoint_auth_method: client.token_endpoint_auth_method,
    grant_types: client.grant_types,
    response_types: client.grant_types.includes('authorization_code') ? ['code'] : [],
    scope: client.scopes.join(' '),
    ...Object.fromEntries(present.map(({ name, member }) => [member, client[name]])),
  }
}

/** The error response of RFC 7591 §3.2.2. */
export function asRegistrationError({ field, problem }: InvalidMetadata): {
  error: 'invalid_redirect_uri' | 'invalid_client_metadata'
  error_description: string
} {
  const error = field === 'redirect_uris' ? 'invalid_redirect_uri' : 'invalid_client_metadata'
  return { error, error_description: asciiText(`${memberOf(field)}: ${problem}`) }
}

function memberOf(field: string): string {
  if (field === 'type') return 'application_type'
  return (FIELDS[field as FieldName] as Field | undefined)?.rfc7591 ?? field
}

/** A text that error_description may hold: RFC 6749 §5.2 allows no quotes, backslashes and characters beyond ASCII. */
export function asciiText(text: string): string {
  return text
    .replaceAll('"', "'")
    .replaceAll('\\', '/')
    .replace(/[^\x20-\x7e]/gu, '?')
}

// RFC 7591 §3.2.1: leave out scopes that are not allowed, and say so in the answer; refuse the registration if none is left.
function grantTypes({ grant_types, response_types }: Members, may: Permission): string[] {
  const asked = grant_types ?? ['authorization_code']
  const granted = GRANT_TYPES.filter(
    (type) => asked.includes(type) && (type !== 'client_credentials' || may.client_credentials),
  )
  const signsIn = granted.includes('authorization_code')
  // A client with the authorization code grant signs people in with a browser, so it gets no device codes.
  const isDevice = !signsIn && granted.includes(DEVICE_GRANT)
  if (!signsIn && !isDevice && !granted.includes('client_credentials')) {
    const has = may.client_credentials ? 'authorization_code or client_credentials' : 'authorization_code'
    throw new InvalidMetadata(
      'grant_types',
      `holds nothing that this registration may use (${has}), e.g. ["authorization_code"]`,
    )
  }
  if (signsIn && response_types && !response_types.includes('code')) {
    throw new InvalidMetadata('response_types', 'lacks the one that there is, e.g. ["code"]')
  }
  // There is nothing to refresh without a grant of a person.
  if (isDevice) return granted.filter((type) => type !== 'client_credentials')
  return signsIn ? granted.filter((type) => type !== DEVICE_GRANT) : ['client_credentials']
}

// RFC 7591 §2 and §3.2.1: one address that cannot be had leaves out itself, and the answer says which are kept. Where none is left, all
// are checked, so that the client reads what is wrong.
function usableUris(uris: string[], type: ClientInput['type']): string[] {
  const usable = uris.filter((uri) => !redirectUriProblem(uri, type))
  return usable.length > 0 ? usable : uris
}

function typeOf(members: Members, grant_types: string[]): ClientInput['type'] {
  const keepsNoSecret = authMethodOf(members) === 'none'
  if (keepsNoSecret && grant_types.includes('client_credentials')) {
    throw new InvalidMetadata(
      'token_endpoint_auth_method',
      'must not be none for client_credentials, e.g. "client_secret_basic"',
    )
  }
  if (grant_types.includes(DEVICE_GRANT)) {
    if (keepsNoSecret) return 'device'
    throw new InvalidMetadata(
      'token_endpoint_auth_method',
      'must be none for a device: what is on every one of them is no secret, e.g. "none"',
    )
  }
  if (!grant_types.includes('authorization_code')) return 'service'
  if (isNative(members)) {
    if (keepsNoSecret) return 'native'
    throw new InvalidMetadata(
      'token_endpoint_auth_method',
      'must be none for a native app: what is on every device is no secret, e.g. "none"',
    )
  }
  return keepsNoSecret ? 'spa' : 'web'
}

// Native apps that know only RFC 7591 do not send application_type, which OpenID defines; their redirect URIs tell.
function isNative({ application_type, token_endpoint_auth_method, redirect_uris }: Members): boolean {
  if (application_type) return application_type === 'native'
  if (token_endpoint_auth_method !== 'none' || !redirect_uris || redirect_uris.length === 0) return false
  // Loopback beside https is an app on a device that also takes answers by a page of its own: it needs any port (RFC 8252 §7.3).
  return redirect_uris.some((uri) => !uri.startsWith('https:'))
}

function authMethodOf({ token_endpoint_auth_method, application_type, grant_types }: Members): AuthMethod {
  const isDevice = grant_types?.includes(DEVICE_GRANT) && !grant_types.includes('authorization_code')
  return (
    token_endpoint_auth_method ?? (application_type === 'native' || isDevice ? 'none' : 'client_secret_basic')
  )
}

// RFC 7591 §2: scopes that cannot be had are left out, and the answer says what is left. Where nothing is left, it is as if none was named.
function scopesOf({ scope }: Members, may: Permission, type: ClientInput['type']): string[] {
  const scopes = may.scopesFor(type)
  const allowed = type === 'service' ? scopes.filter((name) => !isOpenidScope(name)) : scopes
  const asked = scope?.split(' ').filter((name) => allowed.includes(name)) ?? []
  return asked.length > 0 ? [...new Set(asked)] : allowed
}

// client_name is optional in RFC 7591, but people need a name.
function nameless([uri]: string[]): string {
  const url = uri === undefined ? null : URL.parse(uri)
  return (url?.hostname || url?.protocol.slice(0, -1) || 'App without a name').slice(0, 80)
}
