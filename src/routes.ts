// The URL table: method, path, guard, handler — a row a line. The protocol's own addresses stand in oidc/protocol.ts.
import { METHODS } from 'node:http'
import Router from '@koa/router'
import type { Context } from 'koa'
import type { apiDocs } from './api/docs.ts'
import type { ApiRow } from './api/handle.ts'
import type { activityPages } from './audit/account.ts'
import type { auditAdmin } from './audit/admin.ts'
import type { clientAdmin } from './clients/admin.ts'
import type { changeAdmin } from './clients/admin-changes.ts'
import type { cleanUpAdmin } from './clients/admin-clean-up.ts'
import type { clientAdminForms } from './clients/admin-forms.ts'
import type { adminLogo } from './clients/admin-logo.ts'
import type { registrationTokenAdmin } from './clients/admin-registration-tokens.ts'
import type { clientAdminSteps } from './clients/admin-steps.ts'
import type { developerPages } from './clients/developer.ts'
import type { developerForms } from './clients/developer-forms.ts'
import type { developerInsight } from './clients/developer-insight.ts'
import type { developerInvitation } from './clients/developer-invitation.ts'
import type { developerLogo } from './clients/developer-logo.ts'
import type { developerPeople } from './clients/developer-people.ts'
import type { quickStartPages } from './clients/developer-quick-start.ts'
import type { developerSecrets } from './clients/developer-secrets.ts'
import type { logoFiles } from './clients/logo-files.ts'
import { MOST_BYTES } from './clients/logo-image.ts'
import type { registrationEndpoints } from './clients/register.ts'
import type { appPages } from './grants/account.ts'
import type { accessAdmin } from './grants/admin.ts'
import type { Guard, SignedIn } from './guards.ts'
import type { healthPages } from './health.ts'
import type { interactionPages } from './interaction/pages.ts'
import type { keyAdmin } from './keys/admin.ts'
import type { overviewAdmin } from './overview/admin.ts'
import type { resourceAdmin } from './resources/admin.ts'
import type { resourceAdminSecrets } from './resources/admin-secrets.ts'
import type { profilePages } from './users/account.ts'
import type { userAdmin } from './users/admin.ts'
import type { resetPages } from './users/reset.ts'
import type { setupPages } from './users/setup.ts'
import { formBody, jsonBody } from './web/form.ts'
import { uploadBody } from './web/upload.ts'

/** The handlers that the table names. */
export interface Handlers {
  health: ReturnType<typeof healthPages>
  interaction: ReturnType<typeof interactionPages>
  setup: ReturnType<typeof setupPages>
  reset: ReturnType<typeof resetPages>
  profile: ReturnType<typeof profilePages>
  apps: ReturnType<typeof appPages>
  activity: ReturnType<typeof activityPages>
  logoFiles: ReturnType<typeof logoFiles>
  administration: {
    overview: ReturnType<typeof overviewAdmin>
    clients: ReturnType<typeof clientAdmin>
    clientForms: ReturnType<typeof clientAdminForms>
    clientSteps: ReturnType<typeof clientAdminSteps>
    changes: ReturnType<typeof changeAdmin>
    logo: ReturnType<typeof adminLogo>
    insight: ReturnType<typeof developerInsight>
    cleanUp: ReturnType<typeof cleanUpAdmin>
    registrationTokens: ReturnType<typeof registrationTokenAdmin>
    users: ReturnType<typeof userAdmin>
    access: ReturnType<typeof accessAdmin>
    apis: ReturnType<typeof resourceAdmin>
    apiSecrets: ReturnType<typeof resourceAdminSecrets>
    keys: ReturnType<typeof keyAdmin>
    audit: ReturnType<typeof auditAdmin>
  }
  /** Undefined: nobody registers apps of their own here. */
  portal:
    | {
        apps: ReturnType<typeof developerPages>
        forms: ReturnType<typeof developerForms>
        secrets: ReturnType<typeof developerSecrets>
        people: ReturnType<typeof developerPeople>
        invitation: ReturnType<typeof developerInvitation>
        quickStart: ReturnType<typeof quickStartPages>
        logo: ReturnType<typeof developerLogo>
        insight: ReturnType<typeof developerInsight>
      }
    | undefined
  /** Undefined: no app registers itself here. */
  registration: ReturnType<typeof registrationEndpoints> | undefined
  /** The Admin API: its table of operations (api/table.ts), each behind apiToken. */
  api: ApiRow[]
  apiDocs: ReturnType<typeof apiDocs>
  signedIn: Guard
  admin: Guard
  recentAdmin: Guard
  developer: Guard
  recentDeveloper: Guard
  home(ctx: Context): unknown
  afterSignIn(ctx: Context): unknown
}

interface Form {
  show(ctx: SignedIn): unknown
  send(ctx: SignedIn): unknown
}

/** Our own addresses. */
export function routes({
  health,
  interaction,
  setup,
  reset,
  profile,
  apps,
  activity,
  logoFiles,
  administration,
  portal,
  registration,
  api,
  apiDocs,
  signedIn,
  admin,
  recentAdmin,
  developer,
  recentDeveloper,
  home,
  afterSignIn,
}: Handlers) {
  // All methods there are: one that no row takes is refused with 405 rather than said to be unknown.
  const router = new Router({ sensitive: true, methods: METHODS })
  const body = formBody()
  const get = (path: string, handler: (ctx: Context) => unknown) =>
    router.get(path, (ctx) => handler(ctx as Context))
  const post = (path: string, handler: (ctx: Context) => unknown) =>
    router.post(path, body, (ctx) => handler(ctx as Context))
  // A page with a form, which is sent to the address of its page. Whatever an administrator changes is one of these.
  const form = (path: string, { show, send }: Form, guard = recentAdmin) => {
    get(path, guard(show))
    post(path, guard(send))
  }
  // The same with a file in the form, which the guard has read once it knows who sends it.
  const upload = uploadBody(MOST_BYTES)
  const uploadForm = (path: string, guard: Guard, { show, send }: Form) => {
    const sent = guard(send)
    get(path, guard(show))
    router.post(path, (ctx) => {
      ctx.state.readBody = () => upload(ctx as Context, async () => {})
      return sent(ctx as Context)
    })
  }
  const {
    overview,
    clients,
    clientForms,
    clientSteps,
    cleanUp,
    registrationTokens,
    changes,
    logo,
    insight,
    users,
    access,
    apis,
    apiSecrets,
    keys,
    audit,
  } = administration

  get('/', home)
  get('/healthz', health.alive)
  get('/readyz', health.ready)

  get('/interaction/:uid', interaction.show)
  post('/interaction/:uid/login', interaction.login)
  post('/interaction/:uid/consent', interaction.consent)
  post('/interaction/:uid/abort', interaction.abort)
  post('/interaction/:uid/switch', interaction.switch)
  // Where a form post was, a reload or the address bar may ask with GET.
  get('/interaction/:uid/:action', interaction.back)

  get('/setup/:secret', setup.show)
  post('/setup/:secret', setup.create)
  get('/reset/done', reset.done)
  get('/reset/:secret', reset.show)
  post('/reset/:secret', reset.choose)

  get('/account/signed-in', afterSignIn)
  get('/account', signedIn(profile.show))
  post('/account/name', signedIn(profile.rename))
  post('/account/password', signedIn(profile.changePassword))
  get('/account/apps', signedIn(apps.list))
  get('/account/apps/remove-all', signedIn(apps.confirmRemoveAll))
  post('/account/apps/remove-all', signedIn(apps.removeAll))
  get('/account/apps/:client_id/remove', signedIn(apps.confirmRemove))
  post('/account/apps/:client_id/remove', signedIn(apps.remove))
  get('/account/apps/:client_id/devices/:device/remove', signedIn(apps.confirmRemoveDevice))
  post('/account/apps/:client_id/devices/:device/remove', signedIn(apps.removeDevice))
  get('/account/activity', signedIn(activity.list))

  get('/logos/:file', logoFiles.show)

  get('/admin', admin(overview.show))
  get('/admin/apps', admin(clients.list))
  form('/admin/apps/new', clientForms.register)
  get('/admin/apps/away', admin(clientSteps.listAway))
  form('/admin/apps/clean-up', cleanUp)
  get('/admin/apps/:client_id', admin(clients.show))
  form('/admin/apps/:client_id/edit', clientForms.edit)
  get('/admin/apps/:client_id/errors', admin(insight.errorsForAdmin))
  get('/admin/apps/:client_id/usage', admin(insight.usageForAdmin))
  uploadForm('/admin/apps/:client_id/logo', recentAdmin, logo)
  form('/admin/apps/:client_id/approve', clientSteps.approve)
  form('/admin/apps/:client_id/reject', clientSteps.reject)
  form('/admin/apps/:client_id/change/approve', changes.approve)
  form('/admin/apps/:client_id/change/reject', changes.reject)
  form('/admin/apps/:client_id/verify', clientSteps.verify)
  form('/admin/apps/:client_id/unverify', clientSteps.unverify)
  form('/admin/apps/:client_id/suspend', clientSteps.suspend)
  form('/admin/apps/:client_id/resume', clientSteps.resume)
  form('/admin/apps/:client_id/end-access', clientSteps.endAccess)
  form('/admin/apps/:client_id/delete', clientSteps.remove)
  form('/admin/apps/:away_id/readmit', clientSteps.readmit)
  form('/admin/apps/:client_id/secrets/new', clientSteps.addSecret)
  form('/admin/apps/:client_id/secrets/rotate', clientSteps.rotateSecret)
  form('/admin/apps/:client_id/secrets/:secret_id/revoke', clientSteps.revokeSecret)
  get('/admin/registration-tokens', admin(registrationTokens.list))
  form('/admin/registration-tokens/new', registrationTokens.create)
  form('/admin/registration-tokens/:token_id/revoke', registrationTokens.revoke)
  get('/admin/users', admin(users.list))
  get('/admin/users/:user_id', admin(users.show))
  form('/admin/users/:user_id/make-admin', users.makeAdmin)
  form('/admin/users/:user_id/make-user', users.makeUser)
  form('/admin/users/:user_id/disable', users.disable)
  form('/admin/users/:user_id/enable', users.enable)
  form('/admin/users/:user_id/end-sessions', users.endSessions)
  form('/admin/users/:user_id/send-reset', users.sendReset)
  form('/admin/users/:user_id/end-access', users.endAccess)
  get('/admin/access', admin(access.list))
  form('/admin/access/end', access.endAll)
  form('/admin/access/:consent_id/end', access.end)
  get('/admin/jobs', admin(access.jobs))
  get('/admin/jobs/:job_id', admin(access.job))
  get('/admin/apis', admin(apis.list))
  form('/admin/apis/new', apis.register)
  get('/admin/apis/:api', admin(apis.show))
  form('/admin/apis/:api/rename', apis.rename)
  form('/admin/apis/:api/tokens', apis.tokens)
  form('/admin/apis/:api/secret', apiSecrets.rotate)
  form('/admin/apis/:api/secrets/new', apiSecrets.add)
  form('/admin/apis/:api/secrets/:api_secret_id/revoke', apiSecrets.revoke)
  form('/admin/apis/:api/scopes/new', apis.addScope)
  form('/admin/apis/:api/scopes/:scope', apis.editScope)
  form('/admin/apis/:api/scopes/:scope/remove', apis.removeScope)
  get('/admin/keys', admin(keys.list))
  form('/admin/keys/rotate', keys.rotate)
  get('/admin/audit', admin(audit.list))
  form('/admin/audit/export', audit.exportFile)
  if (portal) {
    const { forms, secrets, people, invitation } = portal
    get('/developer', developer(portal.apps.list))
    form('/developer/apps/new', forms.register, developer)
    get('/developer/apps/:client_id', developer(portal.apps.show))
    form('/developer/apps/:client_id/edit', forms.edit, developer)
    post('/developer/apps/:client_id/ask-again', developer(portal.apps.askAgain))
    post('/developer/apps/:client_id/change/withdraw', developer(portal.apps.withdrawChange))
    form('/developer/apps/:client_id/delete', portal.apps.remove, recentDeveloper)
    get('/developer/apps/:client_id/secrets', developer(secrets.list))
    form('/developer/apps/:client_id/secrets/new', secrets.add, recentDeveloper)
    form('/developer/apps/:client_id/secrets/rotate', secrets.rotate, recentDeveloper)
    form('/developer/apps/:client_id/secrets/:secret_id/revoke', secrets.revoke, recentDeveloper)
    get('/developer/apps/:client_id/quick-start', developer(portal.quickStart.show))
    uploadForm('/developer/apps/:client_id/logo', developer, portal.logo)
    get('/developer/apps/:client_id/errors', developer(portal.insight.errors))
    get('/developer/apps/:client_id/usage', developer(portal.insight.usage))
    form('/developer/apps/:client_id/test-users', people.testUsers, developer)
    post('/developer/apps/:client_id/test-users/remove', developer(people.testUsers.remove))
    get('/developer/apps/:client_id/owners', developer(people.owners.list))
    form('/developer/apps/:client_id/owners/invite', people.owners.invite, recentDeveloper)
    post(
      '/developer/apps/:client_id/owners/invitations/:invitation_id/withdraw',
      developer(people.owners.withdraw),
    )
    form('/developer/apps/:client_id/owners/:user_id/remove', people.owners.remove, recentDeveloper)
    get('/developer/invitations/:secret', invitation.enter)
    form('/developer/invitation', { show: invitation.show, send: invitation.accept }, developer)
  }
  get('/api/docs', apiDocs.page)
  get('/api/v1/openapi.json', apiDocs.document)
  for (const { method, path, handle } of api) {
    router.register(path, [method], (ctx) => handle(ctx as Context))
  }
  if (registration) {
    const json = jsonBody()
    router.options('/register', (ctx) => registration.preflight(ctx as Context))
    router.post('/register', (ctx) => registration.register(ctx as Context, json))
    router.options('/register/:client_id', (ctx) => registration.preflight(ctx as Context))
    get('/register/:client_id', registration.show)
    router.put('/register/:client_id', (ctx) => registration.change(ctx as Context, json))
    router.delete('/register/:client_id', (ctx) => registration.remove(ctx as Context))
  }
  return router
}
