// What the reasons of refused requests are worked out from.
import type { Context } from 'koa'
import type { Client } from 'oidc-provider'
import type { RejectedRequest } from '../../core/diagnostics/enrich.ts'
import type { ResourceDirectory } from '../../core/resources/cache.ts'
import type { OwnMetadata } from '../rules/clients.ts'
import type { TokenRow } from '../storage/tokens.ts'
import type { Unit } from '../storage/unit-of-work.ts'

/** Why a request was refused. */
export type Reason = Pick<RejectedRequest, 'kind' | 'expected' | 'received' | 'secret_hash' | 'token_hash'>

/** Parameters by name. */
export type Params = Record<string, unknown>

/** A refused request, and what the library says of it. */
export interface Seen {
  ctx: Context
  client: (Client & OwnMetadata) | undefined
  params: Params
  /** What the library says, to itself or to the app. */
  says: string
  scope: string | undefined
  resources: ResourceDirectory
}

/** A parameter as it came: the library takes away what it refuses. */
export function given(ctx: Context, name: string): string | undefined {
  const { body, params } = ctx.oidc
  const value = params?.[name] ?? body?.[name] ?? ctx.query[name]
  return value === undefined ? undefined : [value].flat().join(' ')
}

/** What this request has read of a code or token. */
export async function readBy(ctx: Context, value: unknown): Promise<TokenRow | undefined> {
  return (ctx.state.unit as Unit | undefined)?.tokens.get(String(value))
}

/** `3 characters` */
export function characters(text: string): string {
  return text.length === 1 ? '1 character' : `${text.length} characters`
}
