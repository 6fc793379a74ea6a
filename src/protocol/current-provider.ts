// The provider of this moment: built from the signing keys and the scopes of the APIs, and anew when they are others.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Provider } from 'oidc-provider'
import { digest } from '../base/credentials.ts'
import { loadKeySet } from '../core/keys/store.ts'
import type { Logger } from '../http/log.ts'
import { createProvider } from './provider.ts'
import type { ProviderParts } from './provider-parts.ts'

/** The provider of this moment. */
export interface CurrentProvider {
  /** Builds the first one. @throws DatabaseUnavailable */
  start(): Promise<void>
  /** Another one takes its place when keys or scopes change; requests under way finish with the one they began with. */
  provider(): Provider
  /** Reads keys and scopes anew, again and again until that works. */
  renew(): void
  /** The same, unless that is under way. */
  renewUnlessUnderWay(): void
  close(): void
}

/** A provider, and a digest of all that it was built from and that may change. */
interface Built {
  provider: Provider
  from: Buffer
}

const AGAIN_MS = 1_000

/** @param parts all that a provider stands on, but what is read from the database */
export function currentProvider(
  parts: Omit<ProviderParts, 'keySet' | 'identifiers' | 'resourceScopes'>,
  log: Logger,
): CurrentProvider {
  let current: Built | undefined
  // Announcements come faster than reading takes: only what was read last may take effect.
  let newest = 0
  let isUnderWay = false

  const build = async (): Promise<Built> => {
    const keySet = await loadKeySet(parts.db, parts.secrets)
    const apis = await parts.resources.all()
    const resourceScopes = apis.flatMap(({ scopes }) => scopes.map(({ name }) => name))
    const identifiers = apis.map(({ identifier }) => identifier)
    const from = digest(JSON.stringify([keySet, identifiers, resourceScopes]))
    // Much is announced that makes no difference here.
    if (current?.from.equals(from)) return current
    const provider = createProvider({ ...parts, keySet, identifiers, resourceScopes })
    provider.on('server_error', (ctx, error) => {
      log.error({ request_id: ctx.state.requestId, err: error }, 'protocol error of ours')
    })
    return { provider, from }
  }
  // What could not be read is read again, because nobody announces it a second time.
  const renew = async (): Promise<void> => {
    const mine = ++newest
    isUnderWay = true
    for (let tries = 1; mine === newest; tries++) {
      try {
        const built = await build()
        if (mine !== newest) return
        if (built !== current) log.info('signing keys or scopes have changed')
        current = built
        isUnderWay = false
        return
      } catch (error) {
        if (tries === 1) log.error({ err: error }, 'keys and APIs could not be read anew, it is tried again')
        await sleep(AGAIN_MS, undefined, { ref: false })
      }
    }
  }
  return {
    async start() {
      const first = await build()
      current ??= first
    },
    provider: () => current!.provider,
    renew: () => void renew(),
    renewUnlessUnderWay() {
      if (!isUnderWay) void renew()
    },
    close() {
      newest = Number.NaN
    },
  }
}
