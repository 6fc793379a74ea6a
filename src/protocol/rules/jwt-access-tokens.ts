// Access tokens that an API reads by itself (RFC 9068). Each has its row as every token has, under the digest of its jti,
// so that it is issued, ended and asked about like the others; only the API that does not ask learns nothing of its end.
import { randomBytes } from 'node:crypto'
import { createLocalJWKSet, type JWK, type JWTPayload, jwtVerify } from 'jose'
import type { Context } from 'koa'
import type { Client, Provider } from 'oidc-provider'
import { digest } from '../../base/credentials.ts'
import {
  accessTokenOf,
  replaceTokenId,
  replaceTokenLookup,
  replaceTokenValue,
  routeOf,
  useAround,
} from '../internals/library.ts'
import { throughStorage } from '../storage/errors.ts'
import { scopeLeft, type TokenRow, type TokenStore, tokenPayload } from '../storage/tokens.ts'
import { currentContext, type Unit } from '../storage/unit-of-work.ts'
import { apiScope } from './token-scopes.ts'

/** What answering for these tokens stands on. */
export interface StructuredParts {
  tokens: TokenStore
  keySet: { keys: JWK[] }
  /** Who may be told of a token. */
  maySeeToken(
    client: Client,
    token: { clientId: string; accountId?: string; aud?: string; scope?: string },
  ): boolean
}

/** Lets the APIs that want it have their tokens as a JWT. */
export function issueStructured(provider: Provider): void {
  for (const model of [provider.AccessToken, provider.ClientCredentials]) {
    replaceTokenId(model, (token, original) => {
      if (token.resourceServer?.accessTokenFormat !== 'jwt') return original()
      // Nothing of this API was allowed by the person: an API that looks at audience and subject alone must not take it.
      if (token.accountId !== undefined && !apiScope(token.scope)) return original()
      token.format = 'jwt'
      // Without a prefix of ours: whoever reads it in a token, or in a log, must not be able to use it as one.
      return randomBytes(32).toString('base64url')
    })
    replaceTokenValue(model, async (token, original) => {
      if (token.format !== 'jwt') return original()
      const { scope } = token
      token.format = 'opaque'
      const { payload } = await original()
      // Its row has all scopes; the text says to its API what that API was granted.
      Object.assign(token, { format: 'jwt', iat: payload!.iat, exp: payload!.exp, scope: apiScope(scope) })
      const { value } = await original()
      token.scope = scope
      return { value, payload: payload! }
    })
  }
}

/**
 * Answers /userinfo, /introspect and /revoke for these tokens. The provider keeps nothing of them; we do. At the last two it
 * authenticates the client, and then refuses them.
 */
export function answerForStructured(provider: Provider, parts: StructuredParts): void {
  const keys = createLocalJWKSet({ keys: parts.keySet.keys.map(publicPart) })
  const refused = (ctx: Context, error: Error & { error?: string }): void => {
    if (error.error === 'unsupported_token_type') ctx.state.structured = true
  }
  replaceTokenLookup(provider, async (value, original) => {
    const ctx = currentContext()
    if (routeOf(ctx) !== 'userinfo' || !String(value).includes('.')) return original()
    const found = await throughStorage(() => find(ctx!, String(value), provider.issuer, keys, parts))
    if (found?.row.kind !== 'access_token') return undefined
    return accessTokenOf(provider, tokenPayload('AccessToken', String(value), found.row))
  })
  provider.on('introspection.error', refused)
  provider.on('revocation.error', refused)
  useAround(provider, async (ctx, next) => {
    await next()
    if (!ctx.state.structured) return
    // Answered after all: nothing that the app did wrong.
    ctx.state.rejection = undefined
    const found = await throughStorage(() =>
      find(ctx, String(ctx.oidc.params?.token), provider.issuer, keys, parts),
    )
    ctx.status = 200
    if (ctx.path === '/introspect') {
      ctx.body =
        found && parts.maySeeToken(ctx.oidc.client!, found.seen)
          ? told(found, ctx.oidc.client!)
          : { active: false }
    } else {
      if (found && found.seen.clientId === ctx.oidc.client!.clientId) {
        await throughStorage(() => parts.tokens.destroy(found.hash))
      }
      ctx.body = ''
    }
  })
}

interface Found {
  hash: Buffer
  row: TokenRow
  claims: JWTPayload & { client_id: string; scope?: string; cnf?: { jkt?: string } }
  seen: { clientId: string; accountId?: string; aud?: string; scope?: string }
}

async function find(
  ctx: Context,
  value: string,
  issuer: string,
  keys: ReturnType<typeof createLocalJWKSet>,
  { tokens }: StructuredParts,
): Promise<Found | undefined> {
  // A signature of ours, so that a jti alone is worth nothing.
  const verified = await jwtVerify(value, keys, {
    issuer,
    typ: 'at+jwt',
    currentDate: new Date(Date.now()),
  }).catch(() => undefined)
  if (!verified?.payload.jti) return undefined
  const hash = digest(verified.payload.jti)
  const reading = tokens.find(hash)
  const unit = ctx.state.unit as Unit
  unit.tokens.set(value, reading)
  const row = await reading
  if (!row || !isAccess(row)) return undefined
  const claims = verified.payload as Found['claims']
  return {
    hash,
    row,
    claims,
    seen: {
      clientId: row.client_id,
      ...(row.user_id === null ? {} : { accountId: row.user_id }),
      aud: claims.aud as string,
      scope: scopeLeft(row.payload.scope as string | undefined, row),
    },
  }
}

function isAccess({ kind }: TokenRow): boolean {
  return kind === 'access_token' || kind === 'client_credentials'
}

// What introspection says of an opaque token, and its jti, which whoever asks has read already.
function told({ claims, seen }: Found, { clientId }: Client): Record<string, unknown> {
  const { client_id, exp, iat, iss, jti, aud, cnf } = claims
  return {
    active: true,
    ...(seen.accountId === undefined ? {} : { sub: seen.accountId }),
    client_id,
    exp,
    iat,
    iss,
    jti,
    aud,
    scope: clientId === client_id ? seen.scope : apiScope(seen.scope),
    cnf,
    token_type: cnf?.jkt ? 'DPoP' : 'Bearer',
  }
}

function publicPart({ kty, kid, alg, use, crv, x, y, n, e }: JWK): JWK {
  const jwk = { kty, kid, alg, use, crv, x, y, n, e }
  return Object.fromEntries(Object.entries(jwk).filter(([, value]) => value !== undefined)) as JWK
}
