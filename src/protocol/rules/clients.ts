// A registration in the provider's words.
import { isApiScope } from '../../base/admin-api-scopes.ts'
import { isOpenidScope } from '../../base/openid-scopes.ts'
import type { Registration } from '../../core/clients/cache.ts'
import { DEVICE_GRANT, isConfidential } from '../../core/clients/kinds.ts'

/** Registration fields of ours that the provider carries along on its Client. */
export const OWN_METADATA = [
  'type',
  'first_party',
  'pkce_required',
  'resource',
  'resource_scopes',
  'state',
  'branding_changed_at',
  'unverified',
] as const

/** Our own fields as they stand on a provider's Client. */
export interface OwnMetadata {
  type?: Registration['type']
  first_party?: boolean
  pkce_required?: boolean
  /** The API whose tokens this client may introspect. */
  resource?: string
  /** Scopes of APIs that this client may ask for. */
  resource_scopes?: string[]
  state?: Registration['state']
  /** When what people see of it became another, in milliseconds. */
  branding_changed_at?: number
  /** It registered itself, and nobody of the operator has looked at it. */
  unverified?: boolean
}

/** Client metadata as RFC 7591 names it, plus {@link OWN_METADATA}. */
export function providerMetadata(registration: Registration): Record<string, unknown> {
  const { type, scopes } = registration
  // What acts for itself has nobody who may try it out: it waits for the decision.
  const actsForItself = registration.state === 'active'
  const signsIn = type === 'web' || type === 'spa' || type === 'native'
  // Whatever a row says: what administers this server is for apps of the administrators.
  const resource_scopes = scopes.filter(
    (scope) => !isOpenidScope(scope) && (registration.registered_by === 'admin' || !isApiScope(scope)),
  )
  return {
    client_id: registration.id,
    client_name: registration.name,
    // An app whose id anybody can use is asked about each time (RFC 8252 §8.6).
    application_type: type === 'native' || type === 'device' ? 'native' : 'web',
    redirect_uris: registration.redirect_uris,
    post_logout_redirect_uris: registration.post_logout_redirect_uris,
    grant_types: (registration.grant_types ?? grantTypes(registration)).filter(
      (grant) => actsForItself || grant !== 'client_credentials',
    ),
    response_types: signsIn ? ['code'] : [],
    token_endpoint_auth_method: isConfidential(type) ? 'client_secret_basic' : 'none',
    // The provider wants to see a secret; what is presented is compared with digests instead (provider.ts).
    ...(isConfidential(type) ? { client_secret: 'kept as digests only' } : {}),
    id_token_signed_response_alg: registration.id_token_signed_response_alg,
    scope: scopes.filter(isOpenidScope).join(' ') || undefined,
    ...(registration.homepage_uri ? { client_uri: registration.homepage_uri } : {}),
    ...(registration.logo_uri ? { logo_uri: registration.logo_uri } : {}),
    type,
    state: registration.state,
    first_party: registration.first_party,
    pkce_required: registration.pkce_required,
    ...(registration.resource ? { resource: registration.resource } : {}),
    resource_scopes,
    // RFC 9449 §5.2. It keeps no secret and stands where many look: what administers is bound to a key there, or is not given.
    dpop_bound_access_tokens: type === 'device' && resource_scopes.some(isApiScope),
    unverified: isUnverified(registration),
    ...(registration.branding_changed_at
      ? { branding_changed_at: registration.branding_changed_at.getTime() }
      : {}),
  }
}

function isUnverified({ registered_by, verified_at, first_party }: Registration): boolean {
  return registered_by === 'itself' && !verified_at && !first_party
}

function grantTypes({ type, registered_by }: Registration): string[] {
  if (type === 'service') return ['client_credentials']
  if (type === 'device') return [DEVICE_GRANT, 'refresh_token']
  if (type === 'resource_server') return []
  // A developer's app with people acts for them alone: what acts without a person is a service, which is decided about.
  const actsForItself = type === 'web' && registered_by !== 'developer'
  return ['authorization_code', 'refresh_token', ...(actsForItself ? ['client_credentials'] : [])]
}
