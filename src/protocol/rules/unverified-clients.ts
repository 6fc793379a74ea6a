// What may be stored for clients that proved nothing, in whose name anybody can ask: so much of an address block, and so many rows
// that wait of one client. A client that has shown its secret is never slowed.
import type { Context } from 'koa'
import { LRUCache } from 'lru-cache'
import { errors } from 'oidc-provider'
import type { Db } from '../../db/pool.ts'
import type { BlockLimit, BlockLimits } from '../../http/block-limits.ts'
import { TooManyRequests } from '../../http/errors.ts'
import type { Logger } from '../../http/log.ts'
import { countDeviceCodes } from '../storage/device-codes.ts'
import { countPushedRequests } from '../storage/state.ts'

/** Lets requests through to storage, or refuses them. @throws errors.OIDCProviderError 429 temporarily_unavailable */
export interface UnverifiedClientLimits {
  /** Before a pushed request is stored, and whatever else is stored on the way there. Counts once a request. */
  mayPush(ctx: Context, client_id: string): Promise<void>
  /** Before a device code is stored. */
  mayAskForCode(ctx: Context, client_id: string): Promise<void>
}

/** What it stands on. */
export interface UnverifiedClientLimitParts {
  db: Db
  limits: BlockLimits
  log: Logger
}

/** Of one client, of each kind. */
export const MOST_WAITING = 10_000
const LOOK_MS = 1_000
const SAY_MS = 60_000
const RETRY_SECONDS = 30
const MESSAGE = 'Too many requests of this address.'

/** Makes the limits of this node. */
export function unverifiedClientLimits({
  db,
  limits,
  log,
}: UnverifiedClientLimitParts): UnverifiedClientLimits {
  const limit = (name: string, perAddress: number) =>
    limits.limit({ name, perAddress, perBlock: perAddress * 10, seconds: 60, message: MESSAGE })
  // Pushed requests live a minute and device codes ten: neither fills up its client from one block.
  const pushed = limit('par', 120)
  const codes = limit('device', 60)
  const pushedWaiting = bounded((id) => countPushedRequests(db, id, MOST_WAITING), log)
  const codesWaiting = bounded((id) => countDeviceCodes(db, id, MOST_WAITING), log)
  return {
    mayPush: (ctx, client_id) => once(ctx, () => admit(ctx, pushed, () => pushedWaiting.add(client_id))),
    mayAskForCode: (ctx, client_id) => once(ctx, () => admit(ctx, codes, () => codesWaiting.add(client_id))),
  }
}

async function once(ctx: Context, admit: () => Promise<void>): Promise<void> {
  if (ctx.state.authenticated) return
  ctx.state.admitted ??= admit()
  await ctx.state.admitted
}

async function admit(ctx: Context, limit: BlockLimit, wait: () => Promise<void>): Promise<void> {
  try {
    limit.count(ctx.ip)
    await wait()
  } catch (refusal) {
    if (!(refusal instanceof TooManyRequests)) throw refusal
    ctx.set(refusal.headers)
    throw new TooManyStored(refusal)
  }
}

class TooManyStored extends errors.OIDCProviderError {
  constructor(cause: TooManyRequests) {
    super(429, 'temporarily_unavailable')
    this.cause = cause
    this.expose = true
    this.error_description = cause.message
  }
}

interface Bound {
  /** Counts one more row of a client. @throws TooManyRequests when as many wait as may */
  add(client_id: string): Promise<void>
}

interface Seen {
  lookedAt: number
  /** Rows that waited then, and those that this node has added since. */
  rows: Promise<number>
  added: number
}

// The database is asked once a second a client, so that the cost does not grow with rows or requests. What other nodes add within that
// second comes on top.
function bounded(count: (client_id: string) => Promise<number>, log: Logger): Bound {
  const seen = new LRUCache<string, Seen>({ max: MOST_CLIENTS })
  const saidAt = new LRUCache<string, number>({ max: MOST_CLIENTS })
  const look = (client_id: string): Seen => {
    const known = seen.get(client_id)
    const now = performance.now()
    if (known && now - known.lookedAt < LOOK_MS) return known
    const looked = { lookedAt: now, rows: count(client_id), added: 0 }
    looked.rows.catch(() => seen.delete(client_id))
    seen.set(client_id, looked)
    return looked
  }
  return {
    async add(client_id) {
      const looked = look(client_id)
      const rows = await looked.rows
      if (rows + looked.added < MOST_WAITING) {
        looked.added++
        return
      }
      const now = performance.now()
      if (now - (saidAt.get(client_id) ?? Number.NEGATIVE_INFINITY) >= SAY_MS) {
        saidAt.set(client_id, now)
        log.warn(
          { client_id, most: MOST_WAITING },
          'too many requests of a client wait, more are refused until some are over',
        )
      }
      const message = `Too many requests of this client wait. Try again in ${RETRY_SECONDS} seconds.`
      throw new TooManyRequests(message, RETRY_SECONDS, false)
    },
  }
}

// Remembered at a time.
const MOST_CLIENTS = 1_000
