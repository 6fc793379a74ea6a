// Why requests of apps are rejected, in words for developers: what went wrong, and how to fix it. Only the owners of the app read
// them; the protocol answers with its own errors.

/** A reason in words. */
export interface RejectionMessage {
  title: string
  advice: string
}

/** Every reason there is a word for. */
export type RejectionKind = keyof typeof REJECTIONS

/** The words of each reason. */
export const REJECTIONS = {
  redirect_uri_mismatch: {
    title: 'The redirect URI is not registered',
    advice:
      'Send a registered redirect URI, character by character, or register the one you send. Scheme, host, port, path and a slash at the end all count.',
  },
  post_logout_mismatch: {
    title: 'The address after signing out is not registered',
    advice:
      'Send a registered post-logout redirect URI, character by character, or register the one you send. Without one, people stay on a page of this server.',
  },
  id_token_hint: {
    title: 'The ID token that came as a hint cannot be used',
    advice:
      'Send an ID token that this server gave to this app, as it came, or none; at sign-out client_id does as well.',
  },
  redirect_uri_changed: {
    title: 'The redirect URI is not the one the code was asked for with',
    advice: 'Send the same redirect_uri to the token endpoint as in the authorization request.',
  },
  pkce_challenge_missing: {
    title: 'PKCE is missing',
    advice:
      'Make a random code_verifier for each sign-in, keep it, and send code_challenge=BASE64URL(SHA-256(code_verifier)) with code_challenge_method=S256.',
  },
  pkce_method: {
    title: 'The PKCE method is not S256',
    advice:
      'Send code_challenge_method=S256 and hash the verifier. Without a method it would be “plain”, which is refused.',
  },
  pkce_verifier_missing: {
    title: 'The PKCE verifier is missing',
    advice:
      'Send the code_verifier whose challenge began this sign-in. It has to be kept until the person comes back.',
  },
  pkce_verifier_wrong: {
    title: 'The PKCE verifier does not fit the challenge',
    advice:
      'Send the verifier of this very sign-in: keep one for each, e.g. in the session under its state. The challenge is base64url, without “=”, of the SHA-256 bytes.',
  },
  pkce_verifier_unexpected: {
    title: 'A PKCE verifier came, but the sign-in began without a challenge',
    advice: 'Send code_challenge and code_challenge_method=S256 in the authorization request, too.',
  },
  pkce_malformed: {
    title: 'The PKCE value is malformed',
    advice: 'Use 32 random bytes in base64url: 43 characters.',
  },
  scope_unknown: {
    title: 'No API here knows this scope',
    advice: 'Check the spelling. Scopes are separated by one space.',
  },
  scope_missing: {
    title: 'The request has no scope',
    advice:
      'Send the scopes that the app needs, e.g. scope=openid%20email to sign people in. Without any, it gets the default scopes of the API that resource names, and there is none that the app may ask for.',
  },
  scope_left_out: {
    title: 'A scope that nobody here knows was left out',
    advice: 'The request went on without it. Check the spelling, or do not ask for it.',
  },
  scope_of_other_resource: {
    title: 'The scope belongs to another API than the one that is named',
    advice:
      'Name the API of the scope as resource, or leave resource out: the scopes say which API is meant.',
  },
  scope_not_allowed: {
    title: 'The app may not ask for this scope',
    advice: 'Ask for less, or have the scope added to the app’s registration.',
  },
  scope_malformed: {
    title: 'The scope parameter is malformed',
    advice: 'Separate scopes by single spaces, e.g. scope=openid%20email. No quotes, commas or brackets.',
  },
  scope_not_granted: {
    title: 'More was asked for than was allowed',
    advice:
      'A refresh can narrow scopes, not widen them. Send the person through a new authorization request for more.',
  },
  resource_unknown: {
    title: 'No API here goes by this resource',
    advice:
      'Send the identifier of the API exactly as it is registered, or leave the parameter out: the scopes say which API is meant.',
  },
  resource_malformed: {
    title: 'The resource parameter is malformed',
    advice: 'A resource is an absolute URI without a fragment (RFC 8707), one of them for each token.',
  },
  resource_not_granted: {
    title: 'The token is not for that API',
    advice: 'Ask for the API, or for one of its scopes, in the authorization request already.',
  },
  grant_type_not_allowed: {
    title: 'The app may not use this grant type',
    advice:
      'Which grants an app may use follows from its kind. Services use client_credentials; apps in which people sign in use authorization_code and refresh_token.',
  },
  grant_type_unsupported: {
    title: 'There is no such grant type here',
    advice:
      'Use one that the discovery document lists under grant_types_supported. Passwords and the implicit flow are not to be had.',
  },
  response_type_unsupported: {
    title: 'The response type cannot be used',
    advice: 'Use response_type=code.',
  },
  secret_wrong: {
    title: 'The client secret is wrong',
    advice:
      'Compare the first characters with your secrets. Look for a value of another environment, a line break at its end, quotes, or an encoding that does not belong there.',
  },
  secret_expired: {
    title: 'The client secret has expired',
    advice: 'Use one of the live secrets, or make a new one.',
  },
  secret_revoked: {
    title: 'The client secret was revoked',
    advice:
      'Use one of the live secrets, or make a new one. If you did not expect this, look who still has the old one.',
  },
  auth_method: {
    title: 'The app did not authenticate in the way it is registered for',
    advice:
      'Web apps and services send their secret, in an Authorization: Basic header or as client_secret in the body. Single-page and native apps send client_id alone.',
  },
  auth_malformed: {
    title: 'How the app authenticates could not be read',
    advice:
      'Use one way only: “Authorization: Basic ” and base64 of client_id:client_secret, both form-encoded first (RFC 6749 §2.3.1), or client_id and client_secret in the body.',
  },
  code_unknown: {
    title: 'There is no such code',
    advice:
      'Send the code just as it came in the redirect, URL-decoded once. A code ends with the access it belongs to.',
  },
  code_expired: {
    title: 'The code has expired',
    advice:
      'Redeem it at once when the person comes back. Then look at what holds your callback up, or at a queue in between.',
  },
  code_used: {
    title: 'The code was used already',
    advice:
      'Redeem a code once: look for a double request, a reload of the callback page, or a retry. For safety what the first use gave has ended.',
  },
  code_revoked: {
    title: 'The access behind this code was removed',
    advice: 'Send the person through a new authorization request.',
  },
  code_other_client: {
    title: 'The code belongs to another app',
    advice: 'Redeem it with the client_id that asked for it. Are the settings of two environments mixed up?',
  },
  refresh_unknown: {
    title: 'There is no such refresh token',
    advice:
      'Store the newest refresh token of each answer completely. If you did, it has ended: ask the person to connect again.',
  },
  refresh_used: {
    title: 'The refresh token was used already',
    advice:
      'Each refresh gives a new refresh token; store it, and let only one worker refresh at a time. For safety the whole access has ended: ask the person to connect again.',
  },
  refresh_expired: {
    title: 'The refresh token has expired',
    advice: 'Ask the person to connect again.',
  },
  refresh_revoked: {
    title: 'The access behind this refresh token was removed',
    advice:
      'The person, an administrator or the app itself ended it. Forget the token and ask the person to connect again.',
  },
  refresh_other_client: {
    title: 'The refresh token belongs to another app',
    advice: 'Use it with the client_id that got it. Are the settings of two environments mixed up?',
  },
  access_token_expired: {
    title: 'The access token has expired',
    advice: 'Refresh before expires_in is over, or once when a request is answered with 401.',
  },
  access_token_revoked: {
    title: 'The access behind this access token was removed',
    advice: 'Forget the tokens and ask the person to connect again.',
  },
  access_token_api: {
    title: 'This access token is for an API alone, not for userinfo',
    advice: 'Ask for the scope openid, too: the same token then opens the API and userinfo.',
  },
  access_token_scope: {
    title: 'The access token lacks a scope',
    advice: 'Ask for it in the authorization request. The person may have said no to it.',
  },
  clock_skew: {
    title: 'The clock of the app is off',
    advice: 'Set the clock of the machine by NTP, and make each proof or assertion just before it is sent.',
  },
  dpop_missing: {
    title: 'The DPoP proof is missing',
    advice:
      'What was got with a key is used with the same key: send a DPoP header (RFC 9449) with each request.',
  },
  dpop_other_key: {
    title: 'The DPoP proof is of another key',
    advice: 'Keep one key for each set of tokens and sign all proofs with it.',
  },
  dpop_replayed: {
    title: 'The DPoP proof was used before',
    advice: 'Make a new proof with a new jti for each request, for retries, too.',
  },
  dpop_target: {
    title: 'The DPoP proof is for another request',
    advice: 'htm is the method and htu the address of this very request, as the discovery document has it.',
  },
  dpop_invalid: {
    title: 'The DPoP proof is not valid',
    advice:
      'See RFC 9449 §4.2: typ dpop+jwt, an asymmetric alg that discovery lists, the public key as jwk, and jti, htm, htu, iat.',
  },
  pushed_request_gone: {
    title: 'The pushed request is over',
    advice: 'A request_uri serves once and for 60 seconds. Push a new request for each sign-in.',
  },
  parameter_missing: {
    title: 'A parameter is missing',
    advice: 'Send it in the query of the authorization request, or form-encoded in the body of a POST.',
  },
  parameter_repeated: {
    title: 'A parameter came twice',
    advice: 'Send each parameter once.',
  },
  parameter_invalid: {
    title: 'A parameter cannot be used like this',
    advice: 'Compare the request with the discovery document and the standard.',
  },
  app_pending: {
    title: 'The app waits for approval',
    advice: 'Until it is approved only its owners can use it, and it cannot act for itself.',
  },
  app_suspended: {
    title: 'The app is suspended',
    advice: 'Nothing of it works until an administrator resumes it. Ask them.',
  },
  app_rejected: {
    title: 'The app was rejected',
    advice: 'Nothing of it works. The reason stands in its registration.',
  },
  rate_limited: {
    title: 'Too many requests',
    advice: 'Wait as long as Retry-After or the polling interval says, and longer each time.',
  },
  other: {
    title: 'The request was refused',
    advice: 'Compare the request with the discovery document and the standard.',
  },
} as const satisfies Record<string, RejectionMessage>
