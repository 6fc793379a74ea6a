// The URL table of the console.
import { MOST_BYTES } from '../../core/logos/image.ts'
import type { Renamed } from '../../http/renamed.ts'
import { form, get, type Row, uploadForm } from '../../http/routes.ts'
import type { Guard } from '../../protocol/guards.ts'
import type { auditAdmin } from './audit.ts'
import type { blockedClientAdmin } from './clients/blocked.ts'
import type { changeAdmin } from './clients/changes.ts'
import type { cleanUpAdmin } from './clients/cleanup.ts'
import type { clientAdmin } from './clients/clients.ts'
import type { clientAdminSteps } from './clients/decisions.ts'
import type { clientAdminForms } from './clients/forms.ts'
import type { clientAdminInsight } from './clients/insight.ts'
import type { adminLogo } from './clients/logo.ts'
import type { clientAdminSecrets } from './clients/secrets.ts'
import type { consentAdmin } from './consents.ts'
import type { registrationTokenAdmin } from './initial-access-tokens.ts'
import type { jobAdmin } from './jobs.ts'
import type { keyAdmin } from './keys.ts'
import type { overviewAdmin } from './overview.ts'
import type { resourceAdminSecrets } from './resource-secrets.ts'
import type { resourceAdmin } from './resources.ts'
import type { userAdmin } from './users.ts'

/** The handlers that the table names. */
export interface AdminHandlers {
  overview: ReturnType<typeof overviewAdmin>
  clients: ReturnType<typeof clientAdmin>
  clientForms: ReturnType<typeof clientAdminForms>
  clientSteps: ReturnType<typeof clientAdminSteps>
  clientSecrets: ReturnType<typeof clientAdminSecrets>
  blocked: ReturnType<typeof blockedClientAdmin>
  changes: ReturnType<typeof changeAdmin>
  logo: ReturnType<typeof adminLogo>
  insight: ReturnType<typeof clientAdminInsight>
  cleanUp: ReturnType<typeof cleanUpAdmin>
  registrationTokens: ReturnType<typeof registrationTokenAdmin>
  users: ReturnType<typeof userAdmin>
  consents: ReturnType<typeof consentAdmin>
  jobs: ReturnType<typeof jobAdmin>
  apis: ReturnType<typeof resourceAdmin>
  apiSecrets: ReturnType<typeof resourceAdminSecrets>
  keys: ReturnType<typeof keyAdmin>
  audit: ReturnType<typeof auditAdmin>
}

/** Addresses of the console in an earlier version, and their present ones. */
export const FORMER_ADMIN_ADDRESSES: readonly Renamed[] = [
  { from: /^\/admin\/apps\/away$/, to: '/admin/clients/blocked' },
  { from: /^\/admin\/apps\/([^/]+)\/readmit$/, to: '/admin/clients/$1/unblock' },
  { from: /^\/admin\/apps((?:\/.*)?)$/, to: '/admin/clients$1' },
  { from: /^\/admin\/access((?:\/.*)?)$/, to: '/admin/consents$1' },
]

/** The rows, each behind its guard. A form sends every change that an administrator makes. */
export function adminRoutes(
  handlers: AdminHandlers,
  { admin, recentAdmin }: { admin: Guard; recentAdmin: Guard },
): Row[] {
  const { overview, clients, clientForms, clientSteps, cleanUp, registrationTokens, changes, logo } = handlers
  const { clientSecrets, blocked, insight, users, consents, jobs, apis, apiSecrets, keys, audit } = handlers
  return [
    get('/admin', admin(overview.show)),
    get('/admin/clients', admin(clients.list)),
    ...form('/admin/clients/new', recentAdmin, clientForms.register),
    get('/admin/clients/blocked', admin(blocked.list)),
    ...form('/admin/clients/clean-up', recentAdmin, cleanUp),
    get('/admin/clients/:client_id', admin(clients.show)),
    ...form('/admin/clients/:client_id/edit', recentAdmin, clientForms.edit),
    get('/admin/clients/:client_id/errors', admin(insight.errors)),
    get('/admin/clients/:client_id/usage', admin(insight.usage)),
    ...uploadForm('/admin/clients/:client_id/logo', recentAdmin, logo, MOST_BYTES),
    ...form('/admin/clients/:client_id/approve', recentAdmin, clientSteps.approve),
    ...form('/admin/clients/:client_id/reject', recentAdmin, clientSteps.reject),
    ...form('/admin/clients/:client_id/change/approve', recentAdmin, changes.approve),
    ...form('/admin/clients/:client_id/change/reject', recentAdmin, changes.reject),
    ...form('/admin/clients/:client_id/verify', recentAdmin, clientSteps.verify),
    ...form('/admin/clients/:client_id/unverify', recentAdmin, clientSteps.unverify),
    ...form('/admin/clients/:client_id/suspend', recentAdmin, clientSteps.suspend),
    ...form('/admin/clients/:client_id/resume', recentAdmin, clientSteps.resume),
    ...form('/admin/clients/:client_id/end-access', recentAdmin, clientSteps.endAccess),
    ...form('/admin/clients/:client_id/delete', recentAdmin, clientSteps.remove),
    ...form('/admin/clients/:blocked_id/unblock', recentAdmin, blocked.unblock),
    ...form('/admin/clients/:client_id/secrets/new', recentAdmin, clientSecrets.add),
    ...form('/admin/clients/:client_id/secrets/rotate', recentAdmin, clientSecrets.rotate),
    ...form('/admin/clients/:client_id/secrets/:secret_id/revoke', recentAdmin, clientSecrets.revoke),
    get('/admin/registration-tokens', admin(registrationTokens.list)),
    ...form('/admin/registration-tokens/new', recentAdmin, registrationTokens.create),
    ...form('/admin/registration-tokens/:token_id/revoke', recentAdmin, registrationTokens.revoke),
    get('/admin/users', admin(users.list)),
    get('/admin/users/:user_id', admin(users.show)),
    ...form('/admin/users/:user_id/make-admin', recentAdmin, users.makeAdmin),
    ...form('/admin/users/:user_id/make-user', recentAdmin, users.makeUser),
    ...form('/admin/users/:user_id/disable', recentAdmin, users.disable),
    ...form('/admin/users/:user_id/enable', recentAdmin, users.enable),
    ...form('/admin/users/:user_id/end-sessions', recentAdmin, users.endSessions),
    ...form('/admin/users/:user_id/send-reset', recentAdmin, users.sendReset),
    ...form('/admin/users/:user_id/withdraw-reset', recentAdmin, users.withdrawReset),
    ...form('/admin/users/:user_id/end-access', recentAdmin, users.endAccess),
    get('/admin/consents', admin(consents.list)),
    ...form('/admin/consents/end', recentAdmin, consents.endAll),
    ...form('/admin/consents/:consent_id/end', recentAdmin, consents.end),
    get('/admin/jobs', admin(jobs.list)),
    get('/admin/jobs/:job_id', admin(jobs.show)),
    get('/admin/apis', admin(apis.list)),
    ...form('/admin/apis/new', recentAdmin, apis.register),
    get('/admin/apis/:api', admin(apis.show)),
    ...form('/admin/apis/:api/rename', recentAdmin, apis.rename),
    ...form('/admin/apis/:api/tokens', recentAdmin, apis.tokens),
    ...form('/admin/apis/:api/secret', recentAdmin, apiSecrets.rotate),
    ...form('/admin/apis/:api/secrets/new', recentAdmin, apiSecrets.add),
    ...form('/admin/apis/:api/secrets/:api_secret_id/revoke', recentAdmin, apiSecrets.revoke),
    ...form('/admin/apis/:api/scopes/new', recentAdmin, apis.addScope),
    ...form('/admin/apis/:api/scopes/:scope', recentAdmin, apis.editScope),
    ...form('/admin/apis/:api/scopes/:scope/remove', recentAdmin, apis.removeScope),
    get('/admin/keys', admin(keys.list)),
    ...form('/admin/keys/rotate', recentAdmin, keys.rotate),
    get('/admin/audit', admin(audit.list)),
    ...form('/admin/audit/export', recentAdmin, audit.exportFile),
  ]
}
