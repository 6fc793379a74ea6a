// What a request says about itself before anything of it is believed: who it claims to come from, and what it brings along
// to prove it. For notes about refused requests only; the protocol library decides.
import type { Context } from 'koa'
import { isShortId } from '../../base/ids.ts'

/** What a request brings to prove who sends it. */
export interface Presented {
  /** In the words of `token_endpoint_auth_method`. */
  method: 'none' | 'client_secret_basic' | 'client_secret_post' | 'private_key_jwt'
  client_id: string | undefined
  secret: string | undefined
  assertion: string | undefined
}

/** Reads the credentials of a request without judging them. */
export function presentedBy(ctx: Context): Presented {
  const body = fields(ctx)
  const client_id = text(body.client_id)
  const assertion = text(body.client_assertion)
  const basic = basicOf(ctx)
  if (basic) return { method: 'client_secret_basic', assertion, ...basic }
  if (assertion) {
    const subject = text(payloadOf(assertion)?.sub)
    return { method: 'private_key_jwt', client_id: client_id ?? subject, secret: undefined, assertion }
  }
  const secret = text(body.client_secret)
  return { method: secret ? 'client_secret_post' : 'none', client_id, secret, assertion }
}

/** The client that a request names, if it looks like a client of ours. */
export function presentedClientId(ctx: Context): string | undefined {
  const { client_id } = presentedBy(ctx)
  return client_id && isShortId(client_id) ? client_id : undefined
}

/** The payload of a JWT, unverified. */
export function payloadOf(jwt: string): Record<string, unknown> | undefined {
  try {
    const payload = JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString())
    return payload && typeof payload === 'object' ? payload : undefined
  } catch {
    return undefined
  }
}

function fields(ctx: Context): Record<string, unknown> {
  const { body, params } = ctx.oidc
  return { ...ctx.query, ...params, ...body }
}

function basicOf(ctx: Context): { client_id: string; secret: string } | undefined {
  const value = /^basic ([A-Za-z0-9+/]+=*)$/i.exec(ctx.get('authorization'))?.[1]
  const [, id, secret] = /^([^:]*):(.*)$/s.exec(value ? Buffer.from(value, 'base64').toString() : '') ?? []
  return id === undefined || secret === undefined
    ? undefined
    : { client_id: decoded(id), secret: decoded(secret) }
}

function decoded(encoded: string): string {
  try {
    return decodeURIComponent(encoded.replaceAll('+', '%20'))
  } catch {
    return encoded
  }
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
