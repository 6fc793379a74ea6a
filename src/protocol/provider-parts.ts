// What a provider is built from.
import type { JWK } from 'jose'
import type { Context } from 'koa'
import type { Client } from 'oidc-provider'
import { isApiScope } from '../base/admin-api-scopes.ts'
import type { Config } from '../base/config.ts'
import { OPENID_SCOPES } from '../base/openid-scopes.ts'
import type { Secrets } from '../base/secrets.ts'
import type { ClientUseRecorder } from '../core/clients/usage.ts'
import type { DocumentReader } from '../core/registration/document-reader.ts'
import type { ResourceDirectory } from '../core/resources/cache.ts'
import type { FetchOutside } from '../http/fetch.ts'
import type { AdapterParts } from './adapters/parts.ts'

/** What a provider is built from. */
export interface ProviderParts extends AdapterParts {
  config: Config
  secrets: Secrets
  resources: ResourceDirectory
  clientUse: ClientUseRecorder
  /** Undefined: no client id is the address of a document. */
  documents: DocumentReader | undefined
  fetchOutside: FetchOutside
  keySet: { keys: JWK[] }
  /** Identifiers of all APIs. */
  identifiers: string[]
  /** Scopes of all APIs, for discovery. */
  resourceScopes: string[]
  pages: ProviderPages
}

/** Where an answer to an app goes: an address to open, or a form to post there. */
export interface WayOn {
  href: string
  fields?: [name: string, value: string][]
}

/** The pages that the provider shows itself. */
export interface ProviderPages {
  error(ctx: Context, out: { error: string; error_description?: string }, error: Error): Promise<void>
  /** Asks the person before they are sent to an app that nobody knows, with an error and nothing decided. */
  leaving(ctx: Context, client: Client, way: WayOn | undefined): void
  logout(ctx: Context): Promise<void>
  loggedOut(ctx: Context): Promise<void>
  /** Asks for the code that a device shows, and says what was wrong with the last one. */
  deviceCode(ctx: Context, error?: Error): void
  /** Asks whether the device is the person's own (RFC 8628 §5.4). */
  deviceConfirm(ctx: Context, client: Client, userCode: string): Promise<void>
  deviceDone(ctx: Context): void
}

/** The issuer identifier: the public origin, without a slash at the end. */
export function issuerOf(config: Config): string {
  return config.issuerUrl.origin
}

/** The scopes that discovery lists: not those of the Admin API, because some apps ask for all that is listed. */
export function listedScopes({ resourceScopes }: ProviderParts): string[] {
  return [...OPENID_SCOPES, ...resourceScopes.filter((scope) => !isApiScope(scope))]
}
