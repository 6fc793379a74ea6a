// The components of the OpenAPI document that operations refer to: answers that are errors, headers, parameters, security.
import { API_PATH, API_SCOPES } from '../base/admin-api-scopes.ts'

/** All components but the schemas. */
export function components(issuer: string) {
  return {
    responses: errorResponses(),
    headers: Object.fromEntries(
      Object.entries(HEADERS).map(([name, description]) => [
        name,
        { description, schema: { type: 'string' } },
      ]),
    ),
    parameters: PARAMETERS,
    securitySchemes: { oauth: oauth(issuer) },
  }
}

/** Refers to a header among the components. */
export function header(name: string): string {
  return `#/components/headers/${name}`
}

/** Headers of every answer. */
export const RATE = ['RateLimit', 'RateLimit-Policy']

const HEADERS: Record<string, string> = {
  ETag: 'The version of what is answered, for If-Match.',
  Location: 'Where that is which was made.',
  Link: 'rel="next": the next page.',
  'Idempotency-Replayed': 'true: this is the answer of an earlier request.',
  'WWW-Authenticate': 'What kind of token is needed (RFC 6750, RFC 9449).',
  'Retry-After': 'After how many seconds to try again.',
  RateLimit: 'How many requests are left, and for how many seconds.',
  'RateLimit-Policy': 'How many requests a minute one client may send.',
}

const ERRORS: [status: number, description: string, headers?: string[]][] = [
  [400, 'A parameter is wrong or not known, or the request cannot be read.'],
  [401, 'There is no token, or it is not good here.', ['WWW-Authenticate']],
  [403, 'The token has not the scope, or its person does not administer this server.', ['WWW-Authenticate']],
  [404, 'There is no such thing.'],
  [412, 'It was changed since.', ['ETag']],
  [413, 'The body is too large.'],
  [415, 'The body is of another kind.'],
  [422, 'A member is wrong or not known.'],
  [428, 'If-Match is missing, or says no version.'],
  [429, 'Too many requests.', ['Retry-After']],
  [503, 'The server cannot reach its database.', ['Retry-After']],
]

function errorResponses() {
  return Object.fromEntries(
    ERRORS.map(([status, description, headers = []]) => [
      `Refused${status}`,
      {
        description,
        headers: Object.fromEntries([...headers, ...RATE].map((name) => [name, { $ref: header(name) }])),
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    ]),
  )
}

const PARAMETERS = {
  'If-Match': {
    name: 'If-Match',
    in: 'header',
    required: true,
    description: 'The ETag of what you have seen. Where something is vouched for, `*` is none.',
    schema: { type: 'string' },
    example: '"3"',
  },
  'If-Match-Optional': {
    name: 'If-Match',
    in: 'header',
    description: 'The ETag of what you have seen; without it, whatever stands.',
    schema: { type: 'string' },
    example: '"3"',
  },
  'Idempotency-Key': {
    name: 'Idempotency-Key',
    in: 'header',
    description:
      'For 24 hours a request with the same key gets the same answer, and nothing is made twice. Secrets are null then.',
    schema: { type: 'string', pattern: '^[!-~]{1,255}$' },
    example: '8e03978e-40d5-43dd-bc93-6894a57f9324',
  },
}

const SCOPES = Object.fromEntries(API_SCOPES.map(({ name, sentence }) => [name, sentence]))

function oauth(issuer: string) {
  return {
    type: 'oauth2',
    description: `Tokens of this server for the API ${issuer}${API_PATH}.`,
    flows: {
      clientCredentials: { tokenUrl: `${issuer}/token`, scopes: SCOPES },
      authorizationCode: {
        authorizationUrl: `${issuer}/auth`,
        tokenUrl: `${issuer}/token`,
        refreshUrl: `${issuer}/token`,
        scopes: SCOPES,
      },
    },
  }
}
