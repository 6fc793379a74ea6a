// Codes, access tokens, refresh tokens and client credentials, as the provider stores them.
import { type AdapterPayload, errors } from 'oidc-provider'
import { digest, kindOf } from '../../base/credentials.ts'
import { routeOf } from '../internals/library.ts'
import { storable } from '../storage/errors.ts'
import type { NewToken, TokenKind } from '../storage/token-rows.ts'
import { type TokenRow, tokenPayload } from '../storage/tokens.ts'
import { currentContext, currentUnit } from '../storage/unit-of-work.ts'
import { endGrant } from './grants.ts'
import { type Adapter, type AdapterParts, unused } from './parts.ts'

/** The adapter of a kind of token: reads each row once a request, and gathers what the token endpoint writes. */
export function tokenAdapter({ db, tokens, answers }: AdapterParts, model: string, kind: TokenKind): Adapter {
  const read = (value: string): Promise<TokenRow | undefined> => {
    const unit = currentUnit()
    if (!unit) return tokens.find(digest(value))
    const known = unit.tokens.get(value) ?? tokens.find(digest(value))
    unit.tokens.set(value, known)
    return known
  }
  return {
    ...unused(model),
    async find(value) {
      // The kind is in the prefix: introspection asks three models, and only one of them queries.
      if (kindOf(value) !== kind) return undefined
      const row = await read(value)
      if (!row || row.kind !== kind) return undefined
      // At the token endpoint it ends the grant when it was used already.
      if (row.consumed && currentUnit()?.writes) await answers.expect(row.used_by)
      rememberUser(row)
      return tokenPayload(model, value, row)
    },
    async upsert(value, payload, expiresIn) {
      const token = newToken(value, kind, payload, expiresIn)
      const writes = currentUnit()?.writes
      if (writes) writes.issue.push(token)
      else if (!(await tokens.insert(token))) throw new errors.InvalidGrant('access was removed')
    },
    async consume(value) {
      const writes = currentUnit()?.writes
      if (writes) writes.consume = digest(value)
      else if (!(await tokens.consume(digest(value))))
        throw new errors.InvalidGrant(`${kind} was used already`)
    },
    async destroy(value) {
      // RFC 7009 §2.1: a refresh token takes its grant along, and with it every token, in one transaction (endGrant). Deleted
      // before that, a second try would find nothing, and be told that everything has ended.
      if (kind === 'refresh_token' && routeOf(currentContext()) === 'revocation') return
      await tokens.destroy(digest(value))
    },
    revokeByGrantId: (grant_id) => endGrant(db, grant_id),
  }
}

/** A token as it is stored. */
export function newToken(
  value: string | Buffer,
  kind: TokenKind,
  payload: AdapterPayload,
  expiresIn: number,
): NewToken {
  const {
    jti: _jti,
    kind: _kind,
    iat: _iat,
    exp,
    clientId,
    grantId,
    accountId: _accountId,
    consumed: _c,
    ...rest
  } = payload
  return {
    hash: typeof value === 'string' ? digest(value) : value,
    kind,
    client_id: clientId!,
    grant_id: grantId ?? null,
    payload: storable(rest),
    exp: exp ?? Math.floor(Date.now() / 1000) + expiresIn,
  }
}

function rememberUser({ user_id, email, email_verified, name }: TokenRow): void {
  if (user_id === null) return
  currentUnit()?.users.set(user_id, {
    id: user_id,
    email: email!,
    email_verified: email_verified!,
    name: name!,
  })
}
