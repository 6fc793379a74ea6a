// Lists the surfaces of the server beside the protocol, with what each needs, and puts all rows into one table.
import type { Provider } from 'oidc-provider'
import { adminApi } from './api/index.ts'
import { FORMER_API_ADDRESSES } from './api/table.ts'
import { builtInApi } from './base/admin-api-scopes.ts'
import type { Config } from './base/config.ts'
import type { Secrets } from './base/secrets.ts'
import type { ClientDirectory } from './core/clients/cache.ts'
import type { RejectedRequestRecorder } from './core/diagnostics/store.ts'
import type { UseRecorder } from './core/grants/usage.ts'
import { limitedLogos } from './core/logos/upload.ts'
import type { Registrations } from './core/registration/outcomes.ts'
import type { ResourceDirectory } from './core/resources/cache.ts'
import type { Pool } from './db/pool.ts'
import type { BlockLimits } from './http/block-limits.ts'
import { type HealthParts, healthRoutes } from './http/health.ts'
import type { Logger } from './http/log.ts'
import type { Render } from './http/render.ts'
import type { Row } from './http/routes.ts'
import { throttle } from './http/throttle.ts'
import { accountPages } from './pages/account/index.ts'
import { adminPages } from './pages/admin/index.ts'
import { FORMER_ADMIN_ADDRESSES } from './pages/admin/routes.ts'
import { developerPages } from './pages/developer/index.ts'
import { logoFiles } from './pages/shared/logo-files.ts'
import { logoForm } from './pages/shared/logo-form.ts'
import {
  adminGuard,
  apiTokenGuard,
  changesOfPerson,
  developerGuard,
  signedInGuard,
} from './protocol/guards.ts'
import { interactionPages } from './protocol/interaction/pages.ts'
import { interactionRoutes } from './protocol/interaction/routes.ts'
import { registrationRoutes } from './protocol/register.ts'
import type { TokenStore } from './protocol/storage/tokens.ts'

/** What the surfaces need. */
export interface SurfaceParts {
  config: Config
  secrets: Secrets
  db: Pool
  log: Logger
  render: Render
  issuer: string
  health: HealthParts
  clients: ClientDirectory
  resources: ResourceDirectory
  tokens: TokenStore
  use: UseRecorder
  rejectedRequests: RejectedRequestRecorder
  limits: BlockLimits
  registrations: Registrations
  provider(): Provider
}

/** The addresses of surfaces in an earlier version. */
export const FORMER_ADDRESSES = [...FORMER_ADMIN_ADDRESSES, ...FORMER_API_ADDRESSES]

/** The URL table of the server, without the addresses of the protocol (protocol/mount.ts). */
export function surfaces(parts: SurfaceParts): Row[] {
  const { config, db, issuer, tokens, use, health } = parts
  const mode = config.developerRegistration
  const mayRegister = config.dynamicRegistration.mode !== 'off'
  const changes = changesOfPerson(db)
  const makeLogo = limitedLogos(db)
  const perMinute = config.apiRequestsPerMinute
  const guarded = { ...parts, hasPortal: mode !== 'off', changes }
  const shared = {
    ...parts,
    mailIsOn: config.mail !== undefined,
    makeLogo,
    sendLogo: logoForm({ db, issuer, makeLogo }),
    signedIn: signedInGuard(guarded),
    ...adminGuard(guarded),
    ...developerGuard(guarded),
  }
  const apiToken = apiTokenGuard({
    db,
    tokens,
    issuer,
    audience: builtInApi(issuer).identifier,
    use,
    perMinute,
    perClient: throttle(db, {
      name: 'api',
      attempts: perMinute,
      seconds: 60,
      message: 'Too many requests of this client.',
      inMemory: true,
    }),
  })
  return [
    ...healthRoutes(health),
    ...interactionRoutes(interactionPages({ ...parts, changes })),
    ...accountPages(shared),
    logoFiles({ db }),
    ...adminPages({
      ...shared,
      documents: config.clientDocuments.on,
      mayRegister,
      standardSeconds: config.ttl.accessTokenSeconds,
      rotationDays: config.signingKeyRotationDays,
    }),
    ...(mode === 'off' ? [] : developerPages({ ...shared, mode })),
    ...adminApi({ ...shared, brand: config.brand.name, apiToken }),
    ...(mayRegister ? registrationRoutes(parts) : []),
  ]
}
