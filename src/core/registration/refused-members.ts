// Members of client metadata that this server knows, cannot keep, and must not leave out in silence: whoever registers with one counts on a
// protection that would not be there. Other members that are not kept do no harm, and the answer shows their absence (RFC 7591 §3.2.1).
import { InvalidMetadata } from '../clients/metadata.ts'

/** Whether a value asks for something. */
type Asks = (value: unknown) => boolean

const isSet: Asks = (value) => value !== null && value !== undefined && value !== ''
const isTrue: Asks = (value) => value === true
const isAlgorithm: Asks = (value) => isSet(value) && value !== 'none'

const REFUSED: Record<string, [asks: Asks, instead: string]> = {
  backchannel_logout_uri: [isSet, 'apps are not told of a sign-out here yet; leave it out'],
  frontchannel_logout_uri: [isSet, 'apps are not told of a sign-out here yet; leave it out'],
  default_max_age: [isSet, 'cannot be kept yet: send max_age in each request, and leave it out'],
  require_auth_time: [isTrue, 'cannot be kept yet: send max_age in each request, and leave it out'],
  dpop_bound_access_tokens: [
    isTrue,
    'cannot be kept yet: tokens are bound whenever a proof is sent; leave it out',
  ],
  require_pushed_authorization_requests: [isTrue, 'cannot be kept yet: push each request, and leave it out'],
  require_signed_request_object: [isTrue, 'cannot be had: request objects are not read here; leave it out'],
  tls_client_certificate_bound_access_tokens: [
    isTrue,
    'cannot be had: certificates are not read here; leave it out',
  ],
  subject_type: [(value) => isSet(value) && value !== 'public', 'must be public, e.g. "public"'],
  sector_identifier_uri: [isSet, 'is for pairwise subjects, which there are not; leave it out'],
  userinfo_signed_response_alg: [isAlgorithm, 'cannot be had: userinfo answers JSON; leave it out'],
  userinfo_encrypted_response_alg: [isAlgorithm, 'cannot be had: userinfo answers JSON; leave it out'],
  id_token_encrypted_response_alg: [isAlgorithm, 'cannot be had: ID tokens are signed only; leave it out'],
  introspection_signed_response_alg: [isAlgorithm, 'cannot be had: introspection answers JSON; leave it out'],
  authorization_signed_response_alg: [
    isAlgorithm,
    'cannot be had: answers are not signed here; leave it out',
  ],
}

/** @throws InvalidMetadata for a member on which the client's security would rest, and which cannot be kept */
export function checkRefusedMembers(members: Record<string, unknown>): void {
  for (const [name, [asks, instead]] of Object.entries(REFUSED)) {
    if (Object.hasOwn(members, name) && asks(members[name])) throw new InvalidMetadata(name, instead)
  }
}
