// Device codes, as the provider stores them: named by their value by the device, by what was typed by the person.
import { type AdapterPayload, errors } from 'oidc-provider'
import { DEVICE_INTERVAL_SECONDS } from '../../core/clients/kinds.ts'
import { currentDeviceId, deviceOf } from '../rules/device.ts'
import { deviceRequest } from '../rules/prompts.ts'
import {
  findByUserCode,
  findLastPoll,
  hashInName,
  insertDeviceCode,
  nameOfCode,
  notePoll,
  updateDeviceCode,
} from '../storage/device-codes.ts'
import { tokenPayload } from '../storage/tokens.ts'
import { currentContext, currentUnit, nameRequest } from '../storage/unit-of-work.ts'
import type { Adapter, AdapterParts } from './parts.ts'
import { newToken, tokenAdapter } from './tokens.ts'

// A device that waits for the whole interval may still come a little early: networks are not even.
const EARLY_SECONDS = 1

/** The adapter of device codes. */
export function deviceCodeAdapter(parts: AdapterParts): Adapter {
  const { db, tokens, countUserCode, unverifiedLimits, answers } = parts
  const base = tokenAdapter(parts, 'DeviceCode', 'device_code')
  const byDigest = async (hash: Buffer, more: object): Promise<AdapterPayload | undefined> => {
    const row = await tokens.find(hash)
    if (row?.kind !== 'device_code') return undefined
    // The value itself is the device's alone; whoever decides about it needs a name for it, and this is none that it takes.
    return { ...tokenPayload('DeviceCode', nameOfCode(hash), row), ...more }
  }
  // Who asked a moment ago and got no answer, because a node had lost its way to the database, is not asking too often.
  const mayPoll = async (value: string): Promise<boolean> => {
    const seconds = DEVICE_INTERVAL_SECONDS - EARLY_SECONDS
    const by = nameRequest(answers)
    if (await notePoll(db, { value, by }, seconds)) return true
    const last = await findLastPoll(db, value)
    if (last === undefined || (await answers.wasAnswered(last))) return false
    return notePoll(db, { value, by, unanswered: last }, seconds)
  }
  return {
    ...base,
    async find(value) {
      const unit = currentUnit()
      const named = hashInName(value)
      // A device sends the value.
      if (named) return unit?.writes ? undefined : byDigest(named, {})
      const found = await base.find(value)
      const isPending = found && !found.accountId && !found.error
      if (!unit?.writes || !isPending || found.exp! * 1000 <= Date.now()) return found
      if (found.clientId !== currentContext()?.oidc.client?.clientId) return found
      // RFC 8628 §3.5.
      if (!(await mayPoll(value))) throw new errors.SlowDown()
      return found
    },
    async findByUserCode(typed) {
      const ctx = currentContext()
      // Counted before it is looked up: parallel guesses cannot slip through together (RFC 8628 §5.1).
      const takeBack = ctx && (await countUserCode(ctx))
      try {
        const hash = await findByUserCode(db, typed)
        const found = hash && (await byDigest(hash, { userCode: typed }))
        // Their sign-in was left half-way: until somebody has decided, the code stays open to the browser in which it was typed.
        if (found?.inFlight && ctx && found.typedBy === currentDeviceId(ctx)) delete found.inFlight
        if (found) await takeBack?.()
        return found
      } catch (error) {
        // Nobody looked at it: that was no guess.
        void takeBack?.().catch(() => {})
        throw error
      }
    },
    async upsert(value, { userCode, deviceInfo: _, ...payload }, expiresIn) {
      const named = hashInName(value)
      const ctx = currentContext()
      const begins = named && ctx && payload.inFlight && !payload.accountId && !payload.error
      const noted = begins ? { ...payload, typedBy: deviceOf(ctx).id } : payload
      const code = newToken(named ?? value, 'device_code', named ? noted : asAsked(payload), expiresIn)
      if (!named) {
        if (ctx) await unverifiedLimits.mayAskForCode(ctx, code.client_id)
        if (!(await insertDeviceCode(db, code, userCode!)))
          throw new errors.InvalidClient('client is invalid', 'client not found')
      } else if (!(await updateDeviceCode(db, code))) {
        throw new errors.InvalidRequest('this code has been decided about already')
      }
    },
  }
}

// The provider drops `prompt` here.
function asAsked(payload: AdapterPayload): AdapterPayload {
  return {
    ...payload,
    params: deviceRequest(payload.params ?? {}, currentContext()?.oidc.body?.prompt),
  } as AdapterPayload
}
