// The unit of work of one protocol request: what it has read, so that nothing is read twice, and what it will write, so
// that using a code up and issuing tokens for it happen in one statement or not at all. It knows no SQL.
import { AsyncLocalStorage } from 'node:async_hooks'
import type { Context, Middleware } from 'koa'
import type { Registration } from '../../core/clients/cache.ts'
import type { User } from '../../core/users/store.ts'
import type { Answers } from '../../db/answers.ts'
import { providerContext } from '../internals/library.ts'
import type { NewToken } from './token-rows.ts'
import type { TokenRow } from './tokens.ts'

/** What apps may be told of a user. */
export type Person = Pick<User, 'id' | 'email' | 'email_verified' | 'name'>

/** What one request has read and is about to write. */
export interface Unit {
  /** Rows by the token's value; undefined is an answer too. */
  tokens: Map<string, Promise<TokenRow | undefined>>
  users: Map<string, Person>
  /** Registrations by client id, as they were held against the row. */
  registrations: Map<string, Registration>
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
    registrations: new Map(),
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

/** The request under way as the provider sees it; undefined where our own pages call the provider. */
export function currentContext(): Context | undefined {
  return providerContext()
}

/** The request under way, whoever handles it: its cookies are what storage may keep of a browser that nobody has signed in at. */
export function currentRequest(): Context | undefined {
  return currentContext() ?? requests.getStore()
}

/** A name under which the request under way marks what it does, so that others can ask whether it was answered (answers.ts). */
export function nameRequest(answers: Answers): string {
  const name = answers.newId()
  const ctx = currentContext()
  if (ctx) ctx.state.names = [...namesOf(ctx), name]
  return name
}

/** Tells all nodes that a request is answered as what it has done. */
export function noteAnswered(answers: Answers, ctx: Context): void {
  for (const name of namesOf(ctx)) answers.note(name)
}

function namesOf(ctx: Context): string[] {
  return (ctx.state.names ?? []) as string[]
}

/** Lets {@link currentRequest} find the request. */
export const rememberRequest: Middleware = (ctx, next) => requests.run(ctx, next)

const requests = new AsyncLocalStorage<Context>()
