// The closed list of error codes of pages and problem+json, so that a code has one meaning. docs/error-codes.md shows it. OAuth has
// error codes of its own (docs/api.md).

interface ErrorCodeEntry {
  /** The HTTP statuses it is used with. */
  statuses: readonly number[]
  /** What happened, in a sentence. */
  meaning: string
  /** What the developer of the client does about it. */
  remedy: string
}

/** Codes never change their meaning; a new kind of error gets a new code. */
export const ERROR_CODES = {
  bad_request: {
    statuses: [400, 413, 415],
    meaning: 'The request cannot be read, or something in it cannot be meant.',
    remedy: 'Correct what `detail` names. The same request fails again.',
  },
  malformed: {
    statuses: [400],
    meaning: 'The body is not JSON in UTF-8.',
    remedy: 'Send JSON.',
  },
  invalid: {
    statuses: [400, 422],
    meaning: 'A parameter (400) or a member of the body (422) does not follow the rules.',
    remedy: 'Correct the members that `errors` names.',
  },
  unauthorized: {
    statuses: [401],
    meaning: 'The request has no access token.',
    remedy: 'Send one for the Admin API, with the scope that `WWW-Authenticate` names.',
  },
  invalid_token: {
    statuses: [401],
    meaning: 'The access token has expired, was revoked, or is for another API.',
    remedy: 'Get a new one.',
  },
  insufficient_scope: {
    statuses: [403],
    meaning:
      'The token is good, and its scopes do not cover this, or the power of the person whom it is about.',
    remedy: 'Ask for the scopes that `WWW-Authenticate` names.',
  },
  not_administrator: {
    statuses: [403],
    meaning: 'The person for whom this is done is no administrator.',
    remedy: 'Let an administrator sign in, or use client credentials.',
  },
  not_invited: {
    statuses: [403],
    meaning: 'The invitation was sent to another e-mail address.',
    remedy: 'Sign in with the account that was invited.',
  },
  form_expired: {
    statuses: [403],
    meaning: 'The form is older than the session, or comes from another site.',
    remedy: 'Open the page again and send the form once more.',
  },
  not_found: {
    statuses: [404],
    meaning: 'There is no such thing, or whoever asks may not see it.',
    remedy: 'Look the id up in its list.',
  },
  method_not_allowed: {
    statuses: [405],
    meaning: 'The address does not take this method.',
    remedy: 'Use one that `Allow` names.',
  },
  last_administrator: {
    statuses: [409],
    meaning: 'Nobody could administer this server any more.',
    remedy: 'Make somebody else an administrator first.',
  },
  built_in: {
    statuses: [409],
    meaning: 'The thing belongs to the server itself and stays.',
    remedy: 'Leave it as it is.',
  },
  disabled: {
    statuses: [409],
    meaning: 'The account is disabled.',
    remedy: 'Enable it first.',
  },
  change_outdated: {
    statuses: [409],
    meaning: 'The change that waits was replaced or withdrawn since it was read.',
    remedy: 'Read it again, and decide anew.',
  },
  change_not_allowed: {
    statuses: [409],
    meaning: 'The rules do not allow the change that waits any more.',
    remedy: 'Reject it, and say why.',
  },
  scope_being_removed: {
    statuses: [409],
    meaning: 'The scope is still being taken from the apps that had it.',
    remedy: 'Add it again when that is done.',
  },
  idempotency_key_in_use: {
    statuses: [409],
    meaning: 'A request with this `Idempotency-Key` is under way.',
    remedy: 'Send the same request again after `Retry-After` seconds.',
  },
  idempotency_key_reused: {
    statuses: [422],
    meaning: 'This `Idempotency-Key` stood for another request.',
    remedy: 'Choose a new key for each new request.',
  },
  changed_meanwhile: {
    statuses: [412],
    meaning: 'Somebody has changed it since the `ETag` in `If-Match`.',
    remedy: 'Read it again, and decide anew.',
  },
  precondition_required: {
    statuses: [428],
    meaning: '`If-Match` is missing where nobody may act on what they have not seen.',
    remedy: 'Send the `ETag` of what was read.',
  },
  too_large: {
    statuses: [413],
    meaning: 'The address, the body or the file is larger than allowed.',
    remedy: 'Send less; `detail` names the limit where there is one.',
  },
  unsupported_media_type: {
    statuses: [415],
    meaning: 'The body has another `Content-Type` than the address takes.',
    remedy: 'Send one that `detail` names.',
  },
  too_many_requests: {
    statuses: [429],
    meaning: 'A limit for this client, account, address or network is used up.',
    remedy: 'Wait for `Retry-After` seconds.',
  },
  busy: {
    statuses: [503],
    meaning: 'The server has as much work of this kind as it takes at a time. Nothing was done.',
    remedy: 'Send the same request again after `Retry-After` seconds.',
  },
  temporarily_unavailable: {
    statuses: [503],
    meaning: 'The database is away. Nothing is lost.',
    remedy: 'Send the same request again after `Retry-After` seconds.',
  },
  internal_error: {
    statuses: [500],
    meaning: 'The server failed in a way that nobody foresaw.',
    remedy: 'Tell the operator the `request_id`.',
  },
} as const satisfies Record<string, ErrorCodeEntry>

/** A code of {@link ERROR_CODES}. */
export type ErrorCode = keyof typeof ERROR_CODES

/** A status that a code is used with. */
export type StatusOf<Code extends ErrorCode> = (typeof ERROR_CODES)[Code]['statuses'][number]
