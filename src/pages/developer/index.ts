// The developers' portal: wires its pages.
import type { Row } from '../../http/routes.ts'
import type { Guard } from '../../protocol/guards.ts'
import type { LogoForm } from '../shared/logo-form.ts'
import { developerForms } from './client-forms.ts'
import { developerPages as clientPages } from './clients.ts'
import { developerFixes } from './fixes.ts'
import { developerInsight } from './insight.ts'
import { developerInvitation } from './invitation.ts'
import { developerLogo } from './logo.ts'
import type { DeveloperParts } from './own-client.ts'
import { developerOwners } from './owners.ts'
import { quickStartPages } from './quick-start.ts'
import { developerRoutes } from './routes.ts'
import { developerSecrets } from './secrets.ts'
import { developerTestUsers } from './test-users.ts'

/** The portal's rows of the URL table. */
export function developerPages(
  parts: DeveloperParts & {
    issuer: string
    sendLogo: LogoForm
    /** Whether the server can send mails. */
    mailIsOn: boolean
    developer: Guard
    recentDeveloper: Guard
  },
): Row[] {
  const handlers = {
    apps: clientPages(parts),
    forms: developerForms(parts),
    secrets: developerSecrets(parts),
    owners: developerOwners(parts),
    testUsers: developerTestUsers(parts),
    invitation: developerInvitation(parts),
    quickStart: quickStartPages(parts),
    logo: developerLogo({ ...parts, send: parts.sendLogo }),
    insight: developerInsight(parts),
    fixes: developerFixes(parts),
  }
  return developerRoutes(handlers, parts)
}
