// How often it may be tried to sign in, and what an attempt counts on. Known devices have counters of their own, so that an attacker
// cannot lock an owner out; an unknown device counts by account and address, so that nobody can lock it out from elsewhere; by
// account, so that many addresses together cannot guess on; by address, and by the block around it, so that one cannot try one
// password on everybody (ASVS 6.3.1), nor fill the audit log.
import type { Pool } from '../../db/pool.ts'
import type { BlockLimits } from '../../http/block-limits.ts'
import { TooManyRequests } from '../../http/errors.ts'
import { placeOf, throttle } from '../../http/throttle.ts'

/** Whose password is tried, and from where. */
export interface Attempt {
  /** Under which the account counts. */
  account: string
  ip: string
  /** By which the account knows the browser; null: the device is unknown. */
  known_by: string | null
}

/** An attempt that was counted. */
export interface Counted {
  /** Nobody looked at the password: that was no attempt. */
  forgive(): Promise<void>
  /** The password was right: the wrong ones before it, from there, are forgotten. What others try elsewhere goes on counting. */
  clear(): Promise<void>
}

const MESSAGE = 'Too many attempts to sign in.'
const QUARTER = 15 * 60

/** Makes the counters, which all nodes share. @returns counts an attempt. @throws TooManyRequests */
export function signInAttempts(db: Pool, limits: BlockLimits): (attempt: Attempt) => Promise<Counted> {
  const limit = (name: string, attempts: number, seconds: number) =>
    throttle(db, { name, attempts, seconds, message: MESSAGE })
  const devices = limit('sign-in-device', 10, QUARTER)
  const pairs = limit('sign-in', 5, QUARTER)
  const accounts = limit('sign-in-account', 50, QUARTER * 4)
  const addresses = limit('sign-in-address', 50, QUARTER)

  // In memory: whoever walks through a block makes no rows beyond this.
  const blocks = limits.limit({ name: 'sign-in', perBlock: 500, seconds: QUARTER, message: MESSAGE })

  const asUnknown = async ({ account, ip }: Attempt): Promise<Counted> => {
    const place = placeOf(ip)
    const pair = `${account} ${place}`
    // First what there are few of: an address that is refused must not make a row for each account that it invents.
    blocks.count(ip)
    await addresses.count(place).catch((refusal) => {
      // One address does not use its block up.
      blocks.forgive(ip)
      throw refusal
    })
    await pairs.count(pair)
    await accounts.count(account)
    const forgiveOthers = () => {
      blocks.forgive(ip)
      return Promise.all([accounts.forgive(account), addresses.forgive(place)])
    }
    return {
      forgive: async () => void (await Promise.all([pairs.forgive(pair), forgiveOthers()])),
      clear: async () => void (await Promise.all([pairs.reset(pair), forgiveOthers()])),
    }
  }

  return async (attempt) => {
    if (attempt.known_by === null) return asUnknown(attempt)
    const device = `${attempt.account} ${attempt.known_by}`
    try {
      await devices.count(device)
    } catch (refusal) {
      if (!(refusal instanceof TooManyRequests)) throw refusal
      // Whoever holds a stolen device guesses no faster than with an unknown device, once these are used up.
      const { forgive, clear } = await asUnknown(attempt)
      return { forgive, clear: async () => void (await Promise.all([clear(), devices.reset(device)])) }
    }
    return { forgive: () => devices.forgive(device), clear: () => devices.reset(device) }
  }
}
