// The unit of work of one protocol request: what it has read, so that nothing is read twice, and what it will write, so
// that using a code up and issuing tokens for it happen in one statement or not at all. It knows no SQL.
import type { Context } from 'koa'
import { Provider } from 'oidc-provider'
import type { User } from '../users/store.ts'
import type { NewToken, TokenRow } from './tokens.ts'

/** What apps may be told of a user. */
export type Person = Pick<User, 'id' | 'email' | 'email_verified' | 'name'>

/** What one request has read and is about to write. */
export interface Unit {
  /** Rows by the token's value; undefined is an answer too. */
  tokens: Map<string, Promise<TokenRow | undefined>>
  users: Map<string, Person>
  /** Collected writes; undefined where each write goes out at once. */
  writes: { consume?: Buffer; issue: NewToken[] } | undefined
  /** Grants that this request has ended already: the provider asks for it several times. */
  revoked: Set<string>
}

/** Starts the unit of work of a request. @param collect whether writes wait for the end of the request. */
export function beginUnit(ctx: Context, collect: boolean): Unit {
  const unit: Unit = {
    tokens: new Map(),
    users: new Map(),
    writes: collect ? { issue: [] } : undefined,
    revoked: new Set(),
  }
  ctx.state.unit = unit
  return unit
}

/** The unit of work of the request under way; undefined outside of one. */
export function currentUnit(): Unit | undefined {
  return currentContext()?.state.unit as Unit | undefined
}

/** The request under way as the provider sees it. */
export function currentContext(): Context | undefined {
  return Provider.ctx as unknown as Context | undefined
}
