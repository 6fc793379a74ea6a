// The console: wires its pages.
import type { Secrets } from '../../base/secrets.ts'
import type { ResourceDirectory } from '../../core/resources/cache.ts'
import type { Pool } from '../../db/pool.ts'
import type { Render } from '../../http/render.ts'
import type { Row } from '../../http/routes.ts'
import type { Guard } from '../../protocol/guards.ts'
import type { LogoForm } from '../shared/logo-form.ts'
import { auditAdmin } from './audit.ts'
import { blockedClientAdmin } from './clients/blocked.ts'
import { changeAdmin } from './clients/changes.ts'
import { cleanUpAdmin } from './clients/cleanup.ts'
import { clientAdmin } from './clients/clients.ts'
import { clientAdminSteps } from './clients/decisions.ts'
import { clientAdminForms } from './clients/forms.ts'
import { clientAdminInsight } from './clients/insight.ts'
import { adminLogo } from './clients/logo.ts'
import { clientAdminSecrets } from './clients/secrets.ts'
import { consentAdmin } from './consents.ts'
import { registrationTokenAdmin } from './initial-access-tokens.ts'
import { jobAdmin } from './jobs.ts'
import { keyAdmin } from './keys.ts'
import { overviewAdmin } from './overview.ts'
import { resourceAdminSecrets } from './resource-secrets.ts'
import { resourceAdmin } from './resources.ts'
import { adminRoutes } from './routes.ts'
import { userAdmin } from './users.ts'

/** What the console is made of. */
export interface AdminParts {
  db: Pool
  secrets: Secrets
  render: Render
  issuer: string
  resources: ResourceDirectory
  sendLogo: LogoForm
  /** Whether the server can send mails. */
  mailIsOn: boolean
  /** Whether the id of an app may be the URL of its metadata document. */
  documents: boolean
  /** Whether apps may register themselves now. */
  mayRegister: boolean
  /** Lifetime of an access token where its API sets none. */
  standardSeconds: number
  /** Days after which signing keys rotate by themselves; 0: never. */
  rotationDays: number
  admin: Guard
  recentAdmin: Guard
}

/** The console's rows of the URL table. */
export function adminPages(parts: AdminParts): Row[] {
  const handlers = {
    overview: overviewAdmin(parts),
    clients: clientAdmin(parts),
    clientForms: clientAdminForms(parts),
    clientSteps: clientAdminSteps(parts),
    clientSecrets: clientAdminSecrets(parts),
    blocked: blockedClientAdmin(parts),
    changes: changeAdmin(parts),
    cleanUp: cleanUpAdmin(parts),
    registrationTokens: registrationTokenAdmin(parts),
    logo: adminLogo({ ...parts, send: parts.sendLogo }),
    insight: clientAdminInsight(parts),
    users: userAdmin(parts),
    consents: consentAdmin(parts),
    jobs: jobAdmin(parts),
    apis: resourceAdmin(parts),
    apiSecrets: resourceAdminSecrets(parts),
    keys: keyAdmin(parts),
    audit: auditAdmin(parts),
  }
  return adminRoutes(handlers, parts)
}
