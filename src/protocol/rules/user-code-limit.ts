// How many codes that are none may be typed in at /device (RFC 8628 §5.1): by somebody who is signed in; by a browser that nobody
// is signed in at, by one address, and by the block around it. An address that others have used up does not hold up who is known.
import type { Context } from 'koa'
import { errors } from 'oidc-provider'
import { findPersonOfDevice } from '../../core/users/known-devices.ts'
import type { Pool } from '../../db/pool.ts'
import type { BlockLimits } from '../../http/block-limits.ts'
import { TooManyRequests } from '../../http/errors.ts'
import { placeOf, type Throttle, throttle } from '../../http/throttle.ts'
import { currentDeviceId } from './device.ts'

/** Counts what is typed in. @returns takes it back, where it was a code. @throws TooManyUserCodes */
export type CountUserCode = (ctx: Context) => Promise<() => Promise<void>>

const QUARTER = 15 * 60
const MESSAGE = 'Too many codes that are none.'

/** Makes the counters, which all nodes share. */
export function userCodeRateLimit(db: Pool, limits: BlockLimits): CountUserCode {
  const limit = (name: string, attempts: number) =>
    throttle(db, { name, attempts, seconds: QUARTER, message: MESSAGE })
  const people = limit('user-code-person', 10)
  const sessions = limit('user-code', 10)
  const addresses = limit('user-code-address', 50)
  const blocks = limits.limit({ name: 'user-code', perBlock: 500, seconds: QUARTER, message: MESSAGE })

  const count = async (counter: Throttle, key: string) => {
    await counter.count(key)
    return () => counter.forgive(key)
  }
  const countAddress = async (ip: string) => {
    blocks.count(ip)
    try {
      const forgive = await count(addresses, placeOf(ip))
      return () => {
        blocks.forgive(ip)
        return forgive()
      }
    } catch (refusal) {
      // One address does not use its block up.
      blocks.forgive(ip)
      throw refusal
    }
  }
  const countBrowser = async (ctx: Context) => {
    // First what there are few of: whoever sends no cookie is another session each time.
    const ofAddress = await countAddress(ctx.ip).catch(async (refusal) => {
      const device_id = currentDeviceId(ctx)
      if (!(refusal instanceof TooManyRequests) || device_id === undefined) throw refusal
      const user_id = await findPersonOfDevice(db, device_id)
      if (user_id === undefined) throw refusal
      return count(people, user_id)
    })
    const ofSession = await count(sessions, ctx.oidc.session?.uid ?? 'none')
    return async () => void (await Promise.all([ofSession(), ofAddress()]))
  }

  return async (ctx) => {
    const user_id = ctx.oidc.session?.accountId
    try {
      return await (user_id === undefined ? countBrowser(ctx) : count(people, user_id))
    } catch (refusal) {
      if (!(refusal instanceof TooManyRequests)) throw refusal
      ctx.set(refusal.headers)
      throw new TooManyUserCodes(refusal.message)
    }
  }
}

class TooManyUserCodes extends errors.OIDCProviderError {
  constructor(message: string) {
    super(429, 'too_many_requests')
    this.expose = true
    this.error_description = message
  }
}
