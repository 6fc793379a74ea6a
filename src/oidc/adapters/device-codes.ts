// Device codes, as the provider stores them: named by their value by the device, by what was typed by the person.
import { type AdapterPayload, errors } from 'oidc-provider'
import { DEVICE_INTERVAL_SECONDS } from '../../clients/metadata.ts'
import {
  findByUserCode,
  hashInName,
  insertDeviceCode,
  nameOfCode,
  notePoll,
  updateDeviceCode,
} from '../device-codes.ts'
import { currentContext, currentUnit } from '../unit.ts'
import type { Adapter, AdapterParts } from './parts.ts'
import { newToken, tokenAdapter, tokenPayload } from './tokens.ts'

// A device that waits for the whole interval may still come a little early: networks are not even.
const EARLY_SECONDS = 1

/** The adapter of device codes. */
export function deviceCodeAdapter(parts: AdapterParts): Adapter {
  const { db, tokens, guesses } = parts
  const base = tokenAdapter(parts, 'DeviceCode', 'device_code')
  const byDigest = async (hash: Buffer, more: object): Promise<AdapterPayload | undefined> => {
    const row = await tokens.find(hash)
    if (row?.kind !== 'device_code') return undefined
    // The value itself is the device's alone; whoever decides about it needs a name for it, and this is none that it takes.
    return { ...tokenPayload('DeviceCode', nameOfCode(hash), row), ...more }
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
      if (!(await notePoll(db, value, DEVICE_INTERVAL_SECONDS - EARLY_SECONDS))) throw new errors.SlowDown()
      return found
    },
    async findByUserCode(typed) {
      const ctx = currentContext()
      // Counted before it is looked up: parallel guesses cannot slip through together (RFC 8628 §5.1).
      if (ctx) await guesses.count(ctx)
      const hash = await findByUserCode(db, typed)
      const found = hash && (await byDigest(hash, { userCode: typed }))
      if (ctx && found) await guesses.forgive(ctx)
      return found
    },
    async upsert(value, { userCode, deviceInfo: _, ...payload }, expiresIn) {
      const named = hashInName(value)
      const code = newToken(named ?? value, 'device_code', payload, expiresIn)
      if (!named) {
        if (!(await insertDeviceCode(db, code, userCode!)))
          throw new errors.InvalidClient('client is invalid', 'client not found')
      } else if (!(await updateDeviceCode(db, code))) {
        throw new errors.InvalidRequest('this code has been decided about already')
      }
    },
  }
}
