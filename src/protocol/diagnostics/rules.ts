// From an error of the protocol library to a reason in our words: a table of what the library says, first match first. Texts that
// it does not have any more fall through to the last rows, which are true of every error.
import { hash } from 'node:crypto'
import type { Context } from 'koa'
import type { errors } from 'oidc-provider'
import { digest, kindOf } from '../../base/credentials.ts'
import { isOpenidScope } from '../../base/openid-scopes.ts'
import { DEVICE_GRANT } from '../../core/clients/kinds.ts'
import { nearest, similar } from '../../core/diagnostics/diff.ts'
import type { ResourceDirectory } from '../../core/resources/cache.ts'
import { type ErrorText, isSaid, saidBy } from '../internals/library.ts'
import { authMethod, clock, dpopTarget, malformed, otherKey, wrongSecret } from './authentication.ts'
import { characters, given, type Params, type Reason, readBy, type Seen } from './context.ts'

/** Works out why a request was refused, from the error and from the request held against the registration. */
export async function reasonOf(
  ctx: Context,
  error: errors.OIDCProviderError,
  resources: ResourceDirectory,
): Promise<Reason> {
  const { says, scope } = saidBy(error)
  const line = `${error.error}: ${says}`
  const params = (ctx.oidc.params ?? {}) as Params
  const seen: Seen = { ctx, client: ctx.oidc.client as Seen['client'], params, says, scope, resources }
  for (const [pattern, reason] of RULES) {
    if (typeof pattern === 'string' ? isSaid(says, pattern) : pattern.test(line)) return reason(seen)
  }
  return { kind: 'other', received: says }
}

/** What the library says, or code and text of an error. */
type Rule = [ErrorText | RegExp, (seen: Seen) => Reason | Promise<Reason>]

const RULES: Rule[] = [
  ['client_gone', () => ({ kind: 'app_suspended' })],
  ['secret_wrong', wrongSecret],
  ['auth_method', authMethod],
  ['auth_malformed', malformed],
  ['post_logout', postLogoutRedirectUri],
  [
    'id_token_hint',
    ({ says }) => ({
      kind: 'id_token_hint',
      expected: 'an ID token that this app was given',
      received: says,
    }),
  ],
  ['redirect_uri', redirectUri],
  ['redirect_uri_of_code', redirectUriOfCode],
  ['no_challenge', noChallenge],
  ['challenge_method', ({ params }) => challengeMethod(params)],
  ['no_verifier', () => ({ kind: 'pkce_verifier_missing', expected: 'code_verifier', received: 'none' })],
  ['verifier_wrong', wrongVerifier],
  ['pkce_malformed', malformedPkce],
  ['clock', clock],
  ['dpop_target', dpopTarget],
  ['dpop_replayed', () => ({ kind: 'dpop_replayed' })],
  ['dpop_other_key', otherKey],
  ['dpop_missing', () => ({ kind: 'dpop_missing', expected: 'a DPoP header', received: 'none' })],
  [/^invalid_dpop_proof/, ({ says }) => ({ kind: 'dpop_invalid', received: says })],
  ['dpop', ({ says }) => ({ kind: 'dpop_invalid', received: says })],
  ['grant_type', grantType],
  [
    /^unsupported_grant_type/,
    ({ params }) => ({ kind: 'grant_type_unsupported', received: `grant_type=${params.grant_type}` }),
  ],
  [/^unsupported_response_type/, responseType],
  ['response_type', responseType],
  ['scope_malformed', ({ ctx }) => ({ kind: 'scope_malformed', received: given(ctx, 'scope') })],
  ['scope_not_granted', ({ scope }) => ({ kind: 'scope_not_granted', received: scope })],
  [/^insufficient_scope/, lacksScope],
  [/^invalid_scope: the request names no scope/, noScope],
  [/^invalid_scope: requested scope is of another resource/, scopeOfOther],
  [/^invalid_scope/, scopeNotAllowed],
  [
    'resource_malformed',
    ({ ctx, says }) => ({ kind: 'resource_malformed', expected: says, received: given(ctx, 'resource') }),
  ],
  [/^invalid_target/, resource],
  ['code_unknown', ({ params }) => lost('code', params.code)],
  ['refresh_unknown', ({ params }) => lost('refresh', params.refresh_token)],
  ['access_token', accessToken],
  [
    'other_client',
    ({ params }) => ({ kind: params.refresh_token ? 'refresh_other_client' : 'code_other_client' }),
  ],
  ['pushed_request_gone', () => ({ kind: 'pushed_request_gone' })],
  ['code_expired', codeExpired],
  ['refresh_expired', () => ({ kind: 'refresh_expired' })],
  ['used', used],
  // The adapters of tokens and of pushed requests say so.
  [/was used already/, used],
  [/^invalid_grant: /, ({ params }) => ({ kind: params.refresh_token ? 'refresh_revoked' : 'code_revoked' })],
  [/^invalid_token: /, () => ({ kind: 'access_token_revoked' })],
  [/^(slow_down|too_many_requests)/, () => ({ kind: 'rate_limited' })],
  ['parameter_missing', ({ says }) => ({ kind: 'parameter_missing', received: says })],
  ['parameter_repeated', ({ says }) => ({ kind: 'parameter_repeated', received: says })],
  [/^(invalid_request|request_not_supported|request_uri_not_supported|unsupported_)/, invalid],
]

function used({ params }: Seen): Reason {
  return { kind: params.refresh_token ? 'refresh_used' : 'code_used' }
}

function redirectUri({ client, params }: Seen): Reason {
  const received = String(params.redirect_uri ?? '')
  const expected = nearest(client?.redirectUris ?? [], received)
  return { kind: 'redirect_uri_mismatch', expected: expected ?? 'none is registered', received }
}

function postLogoutRedirectUri({ client, params }: Seen): Reason {
  const received = String(params.post_logout_redirect_uri ?? '')
  const expected = nearest(client?.postLogoutRedirectUris ?? [], received)
  return { kind: 'post_logout_mismatch', expected: expected ?? 'none is registered', received }
}

async function redirectUriOfCode({ ctx, params }: Seen): Promise<Reason> {
  const row = await readBy(ctx, params.code)
  const expected = String(row?.payload.redirectUri ?? '')
  return { kind: 'redirect_uri_changed', expected, received: String(params.redirect_uri ?? '') }
}

function noChallenge({ params }: Seen): Reason {
  const received = params.code_challenge_method ? 'code_challenge_method alone' : 'neither'
  return {
    kind: 'pkce_challenge_missing',
    expected: 'code_challenge and code_challenge_method=S256',
    received,
  }
}

function challengeMethod({ code_challenge_method, code_verifier }: Params): Reason {
  if (code_verifier) return { kind: 'pkce_verifier_unexpected' }
  const received = code_challenge_method ? String(code_challenge_method) : 'none, which means plain'
  return { kind: 'pkce_method', expected: 'S256', received }
}

async function wrongVerifier({ ctx, params }: Seen): Promise<Reason> {
  const challenge = (await readBy(ctx, params.code))?.payload.codeChallenge
  const verifier = String(params.code_verifier)
  const slips = {
    'the verifier itself was sent as the challenge: hash it': verifier,
    'the challenge is the hash in hexadecimal: use base64url': hash('sha256', verifier, 'hex'),
    'the challenge is the hash of the hash in hexadecimal': Buffer.from(
      hash('sha256', verifier, 'hex'),
    ).toString('base64url'),
  }
  const slip = Object.entries(slips).find(([, value]) => value === challenge)?.[0]
  const received = slip ?? `a verifier of ${verifier.length} characters that hashes to something else`
  return {
    kind: 'pkce_verifier_wrong',
    expected: 'a verifier that hashes to the code_challenge of this code',
    received,
  }
}

function malformedPkce({ params, says }: Seen): Reason {
  const value = params[says.split(' ')[0]!]
  return {
    kind: 'pkce_malformed',
    expected: '43 to 128 characters of A–Z a–z 0–9 - . _ ~',
    received: `${says.split(' ')[0]} of ${characters(String(value ?? ''))}`,
  }
}

function grantType({ client, params }: Seen): Reason {
  if (client?.state === 'pending' && params.grant_type === 'client_credentials')
    return { kind: 'app_pending' }
  const expected = (client?.grantTypes ?? []).join(' or ') || 'none'
  return { kind: 'grant_type_not_allowed', expected, received: String(params.grant_type ?? DEVICE_GRANT) }
}

function responseType({ client, params }: Seen): Reason {
  const expected = (client?.responseTypes ?? []).join(' or ') || 'none: nobody signs in to this app'
  return { kind: 'response_type_unsupported', expected, received: String(params.response_type) }
}

function allowedScopes(client: Seen['client']): string[] {
  return [...(client?.scope?.split(' ') ?? []), ...(client?.resource_scopes ?? [])]
}

function noScope({ client }: Seen): Reason {
  return {
    kind: 'scope_missing',
    expected: `any of: ${allowedScopes(client).join(' ') || 'none'}`,
    received: 'none',
  }
}

function scopeOfOther({ scope, params }: Seen): Reason {
  const expected = `scopes of ${[params.resource].flat().join(' ')}`
  return { kind: 'scope_of_other_resource', expected, received: scope }
}

// Anybody may send thousands.
const MOST_COMPARED = 10

/** A request that went on without scopes that nobody knows. */
export function leftOut(client: Seen['client'], unknown: string[]): Reason {
  const meant = unknown
    .slice(0, MOST_COMPARED)
    .map((scope) => similar(allowedScopes(client), scope))
    .filter((each) => each !== undefined)
  const expected = meant.length > 0 ? `did you mean ${meant.join(' ')}?` : 'scopes that an API here knows'
  return { kind: 'scope_left_out', expected, received: unknown.join(' ') }
}

async function scopeNotAllowed({ client, scope = '', says, resources }: Seen): Promise<Reason> {
  const allowed = allowedScopes(client)
  const meant = similar(allowed, scope)
  const expected = `${meant ? `did you mean ${meant}? ` : ''}any of: ${allowed.join(' ') || 'none'}`
  const isKnown = isOpenidScope(scope) || (await resources.findScope(scope)) !== undefined
  return { kind: isKnown ? 'scope_not_allowed' : 'scope_unknown', expected, received: scope || says }
}

async function resource({ ctx, resources }: Seen): Promise<Reason> {
  const received = given(ctx, 'resource')
  const isKnown = received !== undefined && (await resources.find(received)) !== undefined
  return { kind: isKnown ? 'resource_not_granted' : 'resource_unknown', received }
}

// What is well-formed may have lived once: its end is looked up by its digest.
function lost(kind: 'code' | 'refresh', value: unknown): Reason {
  const name = kind === 'code' ? 'authorization_code' : 'refresh_token'
  const expected = `one of our ${name.replace('_', ' ')}s`
  const unknown = kind === 'code' ? 'code_unknown' : 'refresh_unknown'
  const text = String(value)
  const is = kindOf(text)
  if (is === name)
    return {
      kind: unknown,
      expected,
      received: 'one that was never issued here, or is gone',
      token_hash: digest(text),
    }
  const received = is ? `one of our ${is.replaceAll('_', ' ')}s` : `${characters(text)}, mistyped or cut off`
  return { kind: unknown, expected, received }
}

function accessToken({ ctx }: Seen): Reason {
  const value = ctx.get('authorization').split(' ')[1] ?? String(ctx.oidc.body?.access_token ?? '')
  return { kind: 'access_token_revoked', token_hash: digest(value) }
}

function lacksScope({ ctx, scope }: Seen): Reason {
  const { AccessToken } = ctx.oidc.entities
  if (!AccessToken?.aud) return { kind: 'access_token_scope', expected: scope }
  return { kind: 'access_token_api', expected: 'a token with openid', received: `one for ${AccessToken.aud}` }
}

async function codeExpired({ ctx, params }: Seen): Promise<Reason> {
  const row = await readBy(ctx, params.code)
  if (!row) return { kind: 'code_expired' }
  const age = Math.round(Date.now() / 1000 - row.iat)
  return {
    kind: 'code_expired',
    expected: `within ${row.exp - row.iat} seconds`,
    received: `after ${age} seconds`,
  }
}

function invalid({ ctx, says }: Seen): Reason {
  // The library names the parameter where it can; values are shown of those only that hold nothing of anybody's.
  const name = [...SHOWN].find((each) => says.includes(each) && given(ctx, each) !== undefined)
  return { kind: 'parameter_invalid', expected: says, received: name && `${name}=${given(ctx, name)}` }
}

const SHOWN = new Set([
  'response_mode',
  'response_type',
  'prompt',
  'max_age',
  'request_uri',
  'token_type_hint',
])
