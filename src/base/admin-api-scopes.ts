// The one API that is always there: the Admin API of this server, with its scopes. It knows no storage.

/** The scopes of the Admin API. All of them are dangerous: no page ticks one in advance. */
export const API_SCOPES = [
  scope(
    'clients:read',
    'See every app registered here',
    'Also who looks after each, and tokens for registering apps',
  ),
  scope(
    'clients:write',
    'Register, change, approve, suspend and delete apps',
    'Also make and revoke their secrets',
  ),
  scope('users:read', 'See everybody’s account', 'Names, email addresses, roles and sign-ins'),
  scope(
    'users:write',
    'Disable accounts, sign people out, change who administers',
    'It acts as you, on everybody',
  ),
  scope('grants:read', 'See who allowed which app what', 'Of everybody, not only of you'),
  scope('grants:write', 'End the access of apps to accounts', 'Of everybody, not only of you'),
  scope('resources:read', 'See the APIs and their scopes'),
  scope(
    'resources:write',
    'Add and change APIs and their scopes',
    'Also what people read when they allow an app',
  ),
  scope('keys:read', 'See the signing keys', 'Not their private parts'),
  scope('keys:write', 'Rotate the signing keys'),
  scope(
    'audit:read',
    'Read the whole audit log',
    'What everybody did, from which address, with which browser',
  ),
] as const

/** The name of a scope of the Admin API. */
export type ApiScope = (typeof API_SCOPES)[number]['name']

/** The path of the Admin API under the issuer. */
export const API_PATH = '/api/v1'

/** Whether a scope is one of the Admin API's. */
export function isApiScope(name: string): name is ApiScope {
  return API_SCOPES.some((each) => each.name === name)
}

/** The Admin API as an API among the others; its identifier is where it is. */
export function builtInApi(issuer: string) {
  return {
    identifier: `${issuer}${API_PATH}`,
    name: 'Administration of this server',
    scopes: [...API_SCOPES],
    // Look every token up nevertheless: a token that administers must end at once when it is revoked.
    token_format: 'opaque' as const,
    token_seconds: null,
    being_removed: [],
  }
}

function scope<Name extends string>(name: Name, sentence: string, detail = '') {
  return { name, sentence, detail, dangerous: true, by_default: false, kinds: null }
}
