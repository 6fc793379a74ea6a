// How many codes that are none may be typed in at /device: by one browser, and by one address (RFC 8628 §5.1).
import type { Context } from 'koa'
import { errors } from 'oidc-provider'
import type { Pool } from '../db/pool.ts'
import { TooManyRequests } from '../web/errors.ts'
import { placeOf, throttle } from '../web/throttle.ts'

/** Counts what is typed in. */
export interface Guesses {
  /** @throws errors.CustomOIDCProviderError too_many_requests */
  count(ctx: Context): Promise<void>
  /** It was a code. */
  forgive(ctx: Context): Promise<void>
}

const QUARTER = 15 * 60
const MESSAGE = 'Too many codes that are none.'

/** Makes the counters, which all nodes share. */
export function userCodeGuesses(db: Pool): Guesses {
  const sessions = throttle(db, { name: 'user-code', attempts: 10, seconds: QUARTER, message: MESSAGE })
  const addresses = throttle(db, {
    name: 'user-code-address',
    attempts: 50,
    seconds: QUARTER,
    message: MESSAGE,
  })
  const sessionOf = (ctx: Context): string => ctx.oidc.session?.uid ?? 'none'
  return {
    async count(ctx) {
      try {
        await sessions.count(sessionOf(ctx))
        await addresses.count(placeOf(ctx.ip))
      } catch (refusal) {
        if (!(refusal instanceof TooManyRequests)) throw refusal
        ctx.set(refusal.headers)
        throw new TooManyGuesses(refusal.message)
      }
    },
    async forgive(ctx) {
      await Promise.all([sessions.forgive(sessionOf(ctx)), addresses.forgive(placeOf(ctx.ip))])
    },
  }
}

class TooManyGuesses extends errors.OIDCProviderError {
  constructor(message: string) {
    super(429, 'too_many_requests')
    this.expose = true
    this.error_description = message
  }
}
