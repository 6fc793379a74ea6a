// Reading an access token that was presented to an API of our own: whether it lives, for whom and for what it was given, and
// whether whoever presents it holds the key it is bound to (RFC 9449).
import { createHash } from 'node:crypto'
import { calculateJwkThumbprint, EmbeddedJWK, jwtVerify } from 'jose'
import type { Context } from 'koa'
import { digest, kindOf } from '../../base/credentials.ts'
import type { Db } from '../../db/pool.ts'
import { saveNewState } from '../storage/state.ts'
import type { TokenRow, TokenStore } from '../storage/tokens.ts'
import { apiScope } from './token-scopes.ts'

/** A living access token for this API. */
export interface Access {
  client_id: string
  /** Null: the client acts for itself. */
  user_id: string | null
  grant_id: string | null
  role: TokenRow['role']
  scopes: ReadonlySet<string>
}

/** What is read with. */
export interface AccessParts {
  db: Db
  tokens: TokenStore
  issuer: string
  /** What tokens must be meant for. */
  audience: string
}

/** What proofs may be signed with, here as at the protocol's own addresses. */
export const PROOF_ALGS = ['ES256', 'EdDSA', 'RS256', 'PS256']

/** The access token of a request; a word why there is none: `absent`, or `invalid` for one that is not good here. */
export async function readAccess(
  { db, tokens, issuer, audience }: AccessParts,
  ctx: Context,
): Promise<Access | 'absent' | 'invalid'> {
  const header = ctx.get('authorization')
  if (!header) return 'absent'
  const [, scheme, value] = /^(Bearer|DPoP) +([\x21-\x7e]{1,200})$/i.exec(header) ?? []
  if (!scheme || !value) return 'invalid'
  const kind = kindOf(value)
  if (kind !== 'access_token' && kind !== 'client_credentials') return 'invalid'
  const row = await tokens.find(digest(value))
  if (!row || row.kind !== kind || row.exp <= Date.now() / 1000) return 'invalid'
  const { aud, scope, jkt } = row.payload as { aud?: string | string[]; scope?: string; jkt?: string }
  if (![aud ?? []].flat().includes(audience)) return 'invalid'
  // RFC 9449 §7.1: a bound token with its proof, and nothing but a bound token with a proof.
  if ((jkt !== undefined) !== (scheme.toLowerCase() === 'dpop')) return 'invalid'
  if (jkt !== undefined && !(await isProven(db, ctx, `${issuer}${ctx.path}`, value, jkt))) return 'invalid'
  return {
    client_id: row.client_id,
    user_id: row.user_id,
    grant_id: row.grant_id,
    role: row.role,
    scopes: new Set(apiScope(scope)?.split(' ')),
  }
}

const PROOF_SECONDS = 300
const MOST_PROOF = 8_000

// RFC 9449 §4.3
async function isProven(db: Db, ctx: Context, htu: string, token: string, jkt: string): Promise<boolean> {
  const proof = ctx.get('dpop')
  if (!proof || proof.length > MOST_PROOF) return false
  let jti: string
  try {
    const options = { algorithms: PROOF_ALGS, typ: 'dpop+jwt', currentDate: new Date(Date.now()) }
    const { payload, protectedHeader } = await jwtVerify(proof, EmbeddedJWK, options)
    const url = typeof payload.htu === 'string' ? URL.parse(payload.htu) : null
    if (payload.htm !== ctx.method || !url || `${url.origin}${url.pathname}` !== htu) return false
    if (!payload.iat || Math.abs(Date.now() / 1000 - payload.iat) > PROOF_SECONDS) return false
    if (payload.ath !== createHash('sha256').update(token).digest('base64url')) return false
    if ((await calculateJwkThumbprint(protectedHeader.jwk!)) !== jkt) return false
    if (typeof payload.jti !== 'string' || !payload.jti) return false
    jti = payload.jti
  } catch {
    return false
  }
  // Each is good for one use (§11.1), on whichever node.
  return saveNewState(db, 'replay_detection', `api ${jkt} ${jti}`, '{}', 2 * PROOF_SECONDS)
}
