// The URL table of the developers' portal.
import { MOST_BYTES } from '../../core/logos/image.ts'
import { form, get, post, type Row, uploadForm } from '../../http/routes.ts'
import { type Guard, revoking } from '../../protocol/guards.ts'
import type { developerForms } from './client-forms.ts'
import type { developerPages } from './clients.ts'
import type { developerFixes } from './fixes.ts'
import type { developerInsight } from './insight.ts'
import type { developerInvitation } from './invitation.ts'
import type { developerLogo } from './logo.ts'
import type { developerOwners } from './owners.ts'
import type { quickStartPages } from './quick-start.ts'
import type { developerSecrets } from './secrets.ts'
import type { developerTestUsers } from './test-users.ts'

/** The handlers that the table names. */
export interface DeveloperHandlers {
  apps: ReturnType<typeof developerPages>
  forms: ReturnType<typeof developerForms>
  secrets: ReturnType<typeof developerSecrets>
  owners: ReturnType<typeof developerOwners>
  testUsers: ReturnType<typeof developerTestUsers>
  invitation: ReturnType<typeof developerInvitation>
  quickStart: ReturnType<typeof quickStartPages>
  logo: ReturnType<typeof developerLogo>
  insight: ReturnType<typeof developerInsight>
  fixes: ReturnType<typeof developerFixes>
}

/** The rows, each behind its guard. */
export function developerRoutes(
  {
    apps,
    forms,
    secrets,
    owners,
    testUsers,
    invitation,
    quickStart,
    logo,
    insight,
    fixes,
  }: DeveloperHandlers,
  { developer, recentDeveloper }: { developer: Guard; recentDeveloper: Guard },
): Row[] {
  return [
    get('/developer', developer(apps.list)),
    ...form('/developer/apps/new', developer, forms.register),
    get('/developer/apps/:client_id', developer(apps.show)),
    ...form('/developer/apps/:client_id/edit', developer, forms.edit),
    post('/developer/apps/:client_id/ask-again', developer(apps.askAgain)),
    post('/developer/apps/:client_id/change/withdraw', developer(apps.withdrawChange)),
    ...form('/developer/apps/:client_id/delete', revoking(recentDeveloper), apps.remove),
    get('/developer/apps/:client_id/secrets', developer(secrets.list)),
    ...form('/developer/apps/:client_id/secrets/new', recentDeveloper, secrets.add),
    ...form('/developer/apps/:client_id/secrets/rotate', recentDeveloper, secrets.rotate),
    ...form(
      '/developer/apps/:client_id/secrets/:secret_id/revoke',
      revoking(recentDeveloper),
      secrets.revoke,
    ),
    get('/developer/apps/:client_id/quick-start', developer(quickStart.show)),
    ...uploadForm('/developer/apps/:client_id/logo', developer, logo, MOST_BYTES),
    get('/developer/apps/:client_id/errors', developer(insight.errors)),
    ...form('/developer/apps/:client_id/errors/:rejection_id/fix', developer, fixes),
    get('/developer/apps/:client_id/usage', developer(insight.usage)),
    ...form('/developer/apps/:client_id/test-users', developer, testUsers),
    post('/developer/apps/:client_id/test-users/remove', revoking(developer)(testUsers.remove)),
    get('/developer/apps/:client_id/owners', developer(owners.list)),
    ...form('/developer/apps/:client_id/owners/invite', recentDeveloper, owners.invite),
    post(
      '/developer/apps/:client_id/owners/invitations/:invitation_id/withdraw',
      revoking(developer)(owners.withdraw),
    ),
    ...form('/developer/apps/:client_id/owners/:user_id/remove', revoking(recentDeveloper), owners.remove),
    get('/developer/invitations/:secret', invitation.enter),
    ...form('/developer/invitation', developer, { show: invitation.show, send: invitation.accept }),
  ]
}
