// Storage as oidc-provider asks for it: one small adapter a model, over the stores. It adds what the provider leaves to
// storage: values kept as digests, single use that holds under races, and one transaction for consuming and issuing.
import type { AdapterPayload, Adapter as ProviderAdapter } from 'oidc-provider'
import { providerMetadata } from '../rules/clients.ts'
import { throughStorage } from '../storage/errors.ts'
import type { TokenKind } from '../storage/token-rows.ts'
import { deviceCodeAdapter } from './device-codes.ts'
import { grantAdapter } from './grants.ts'
import { interactionAdapter, pushedRequestAdapter } from './interactions.ts'
import { type Adapter, type AdapterParts, unused } from './parts.ts'
import { replayAdapter } from './replays.ts'
import { sessionAdapter } from './sessions.ts'
import { tokenAdapter } from './tokens.ts'

const TOKEN_MODELS: Record<string, TokenKind> = {
  AuthorizationCode: 'authorization_code',
  AccessToken: 'access_token',
  RefreshToken: 'refresh_token',
  ClientCredentials: 'client_credentials',
}

/** The adapter of each model, as the provider's `adapter` setting wants it. */
export function adapterFactory(parts: AdapterParts): (model: string) => ProviderAdapter {
  return (model) => {
    const kind = TOKEN_MODELS[model]
    if (kind) return protect(tokenAdapter(parts, model, kind))
    if (model === 'DeviceCode') return protect(deviceCodeAdapter(parts))
    if (model === 'Client') return protect(clientAdapter(parts))
    if (model === 'Grant') return protect(grantAdapter(parts))
    if (model === 'Session') return protect(sessionAdapter(parts))
    if (model === 'Interaction') return protect(interactionAdapter(parts))
    if (model === 'PushedAuthorizationRequest') return protect(pushedRequestAdapter(parts))
    if (model === 'ReplayDetection') return protect(replayAdapter(parts))
    // Models of features that are switched off: the provider makes their adapters and never calls them.
    return protect(unused(model))
  }
}

function clientAdapter({ clients }: AdapterParts): Adapter {
  return {
    ...unused('Client'),
    async find(id) {
      const registration = await clients.find(id)
      return registration && (providerMetadata(registration) as AdapterPayload)
    },
  }
}

// A database that cannot be reached is the provider's temporarily_unavailable with status 503, not its server_error.
function protect(adapter: Adapter): ProviderAdapter {
  const calls = Object.entries(adapter).map(([name, call]) => [
    name,
    (...args: unknown[]) => throughStorage(async () => (call as (...args: unknown[]) => unknown)(...args)),
  ])
  return Object.fromEntries(calls) as ProviderAdapter
}
