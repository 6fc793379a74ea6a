// The answer for each role at every address of the server. A row that is missing here fails the test, so that whoever adds an address
// decides whom it is for.

/** The roles that ask. */
export const ROLES = [
  'anonymous',
  'person',
  'other developer',
  'owner',
  'owner, old sign-in',
  'administrator',
  'administrator, old sign-in',
  'disabled administrator and owner',
  'program without a token',
  'token of another API',
  'token of a lesser scope',
  'fitting token',
  'registration access token',
] as const

/** One of {@link ROLES}. */
export type Role = (typeof ROLES)[number]

/** A status, or the target of a redirect: `sign in` for the sign-in page. */
export type Answer = number | string

/** A class of rows: the answer for each role without the hidden CSRF field of its session, and with it. */
interface RowClass {
  bare(role: Role): Answer
  /** Undefined where a valid form would succeed. The test does not send that. */
  own?(role: Role): Answer | undefined
}

const SIGNED_IN: readonly Role[] = [
  'person',
  'other developer',
  'owner',
  'owner, old sign-in',
  'administrator',
  'administrator, old sign-in',
]
const OWNERS: readonly Role[] = ['owner', 'owner, old sign-in']
const ADMINISTRATORS: readonly Role[] = ['administrator', 'administrator, old sign-in']

const isOld = (role: Role): boolean => role.endsWith('old sign-in')
const signedIn =
  (answer: (role: Role) => Answer) =>
  (role: Role): Answer =>
    SIGNED_IN.includes(role) ? answer(role) : 'sign in'
const only =
  (roles: readonly Role[], answer: Answer) =>
  (role: Role): Answer =>
    roles.includes(role) ? answer : 404

/** The same for everybody. */
const open = (answer: Answer): RowClass => ({ bare: () => answer })
const form = (
  own: (role: Role) => Answer | undefined,
  bare: (role: Role) => Answer = () => 403,
): RowClass => ({
  bare: signedIn(bare),
  own: (role) => (SIGNED_IN.includes(role) ? own(role) : 'sign in'),
})
const page = (answer: (role: Role) => Answer): RowClass => ({ bare: signedIn(answer) })
const recent = (answer: (role: Role) => Answer) => (role: Role) => (isOld(role) ? 'sign in' : answer(role))
/** @param answer to an empty form with a token that has the scope. @param scope for the test to find such tokens by */
const api = (scope: string, answer: Answer): RowClass & { scope: string } => ({
  scope,
  bare: (role) => ({ 'token of a lesser scope': 403, 'fitting token': answer })[role as string] ?? 401,
})
const unlessOwner = (role: Role) => (OWNERS.includes(role) ? undefined : 404)
const unlessAdministrator = (role: Role): Answer | undefined => {
  if (role === 'administrator') return undefined
  return isOld(role) && ADMINISTRATORS.includes(role) ? 'sign in' : 404
}
const onFormPage = (role: Role): Answer =>
  role === 'administrator, old sign-in' ? 'sign in' : only(ADMINISTRATORS, 200)(role)

const CLASSES = {
  'open 200': open(200),
  'open 204': open(204),
  'to the account': open('/account'),
  // For holders of a link. Here nobody has one.
  'link 404': open(404),
  'link 200': open(200),
  'link 403': open(403),
  'link to its page': open('/developer/invitation'),
  // For those who started it. Here nobody has.
  'interaction 410': open(410),
  'interaction to its page': open('/interaction/nothing'),
  'person page': page(() => 200),
  'person form': form(() => undefined),
  'consent page': page(only(['person'], 200)),
  'consent form': form((role) => (role === 'person' ? undefined : 404)),
  // What there is not: an invitation, a refused request.
  'invited page': page(() => 404),
  'invited form': form(() => 404),
  'owner page': page(only(OWNERS, 200)),
  'owner form': form(unlessOwner),
  'owner form, recent: page': page(recent(only(OWNERS, 200))),
  'owner form, recent': form((role) => (isOld(role) ? 'sign in' : unlessOwner(role))),
  'administrator page': page(only(ADMINISTRATORS, 200)),
  'administrator form: page': page(onFormPage),
  // For others there is nothing here, whatever they send.
  // About those that a filter finds; without one there are none.
  'administrator form of some: page': page((role) =>
    role === 'administrator' ? '/admin/consents' : onFormPage(role),
  ),
  'administrator form': form(unlessAdministrator, only(ADMINISTRATORS, 403)),
  'registration 401': open(401),
  'registration 200': { bare: (role) => (role === 'registration access token' ? 200 : 401) },
  'registration 415': { bare: (role) => (role === 'registration access token' ? 415 : 401) },
  'protocol 200': open(200),
  'protocol 204': open(204),
  'protocol 400': open(400),
  'protocol 401': open(401),
  'protocol 410': open(410),
  'protocol, by GET': open('/auth'),
  'signing out, by GET': open('/session/end'),
} satisfies Record<string, RowClass>

type Rows = Record<string, RowClass>
const rows = (name: keyof typeof CLASSES, ...list: string[]): Rows =>
  Object.fromEntries(list.map((row) => [row, CLASSES[name]]))
const gets = (name: keyof typeof CLASSES, prefix: string, list: string): Rows =>
  rows(name, ...words(list).map((path) => `GET ${prefix}${path === '.' ? '' : path}`))
const posts = (name: keyof typeof CLASSES, prefix: string, list: string): Rows =>
  rows(name, ...words(list).map((path) => `POST ${prefix}${path}`))
const words = (list: string) => list.trim().split(/\s+/)
const apiRows = (scope: string, list: Record<string, Answer>): Rows =>
  Object.fromEntries(
    Object.entries(list).map(([row, answer]) => [row.replace(' ', ' /api/v1'), api(scope, answer)]),
  )

const ADMIN_FORMS = `/clients/new /clients/clean-up /clients/:client_id/edit /clients/:client_id/logo /clients/:client_id/approve
  /clients/:client_id/reject /clients/:client_id/change/approve /clients/:client_id/change/reject /clients/:client_id/verify
  /clients/:client_id/unverify /clients/:client_id/suspend /clients/:client_id/resume /clients/:client_id/end-access
  /clients/:client_id/delete /clients/:blocked_id/unblock /clients/:client_id/secrets/new /clients/:client_id/secrets/rotate
  /clients/:client_id/secrets/:secret_id/revoke /registration-tokens/new /registration-tokens/:token_id/revoke
  /users/:user_id/make-admin /users/:user_id/make-user /users/:user_id/disable /users/:user_id/enable
  /users/:user_id/end-sessions /users/:user_id/send-reset /users/:user_id/withdraw-reset /users/:user_id/end-access /consents/end
  /consents/:consent_id/end /apis/new /apis/:api/rename /apis/:api/tokens /apis/:api/secret /apis/:api/secrets/new
  /apis/:api/secrets/:api_secret_id/revoke /apis/:api/scopes/new /apis/:api/scopes/:scope
  /apis/:api/scopes/:scope/remove /keys/rotate /audit/export`
const RECENT_FORMS = `/delete /secrets/new /secrets/rotate /secrets/:secret_id/revoke /owners/invite
  /owners/:user_id/remove`

/** Every row of the server: method and path, with its class. */
export const TABLE: Rows = {
  ...rows('to the account', 'GET /', 'GET /account/signed-in'),
  ...gets('open 200', '', '/healthz /readyz /reset/done /api/docs /api/v1/openapi.json /logos/:file'),
  ...rows('link 404', 'GET /setup/:secret', 'POST /setup/:secret'),
  ...rows('link 200', 'GET /reset/:secret'),
  ...rows('link 403', 'POST /reset/:secret'),
  ...rows('link to its page', 'GET /developer/invitations/:secret'),
  ...gets('interaction 410', '/interaction/', ':uid'),
  ...posts('interaction 410', '/interaction/', ':uid/select :uid/login :uid/consent :uid/abort :uid/switch'),
  ...gets('interaction to its page', '/interaction/', ':uid/:action'),

  ...gets('person page', '/account', '. /apps /activity'),
  ...posts('person form', '/account', '/name /password'),
  ...gets(
    'consent page',
    '/account/apps',
    '/remove-all /:client_id/remove /:client_id/devices/:device/remove',
  ),
  ...posts(
    'consent form',
    '/account/apps',
    '/remove-all /:client_id/remove /:client_id/devices/:device/remove',
  ),

  ...gets('person page', '/developer', '. /apps/new'),
  ...posts('person form', '/developer', '/apps/new'),
  ...gets('invited page', '/developer', '/invitation /apps/:client_id/errors/:rejection_id/fix'),
  ...posts('invited form', '/developer', '/invitation /apps/:client_id/errors/:rejection_id/fix'),
  ...gets(
    'owner page',
    '/developer/apps/:client_id',
    '. /edit /secrets /quick-start /logo /errors /usage /test-users /owners',
  ),
  ...posts(
    'owner form',
    '/developer/apps/:client_id',
    `/edit /ask-again /change/withdraw /logo /test-users /test-users/remove
     /owners/invitations/:invitation_id/withdraw`,
  ),
  ...gets('owner form, recent: page', '/developer/apps/:client_id', RECENT_FORMS),
  ...posts('owner form, recent', '/developer/apps/:client_id', RECENT_FORMS),

  ...gets(
    'administrator page',
    '/admin',
    `. /clients /clients/blocked /clients/:client_id /clients/:client_id/errors /clients/:client_id/usage /registration-tokens /users
     /users/:user_id /consents /jobs /jobs/:job_id /apis /apis/:api /keys /audit`,
  ),
  ...gets('administrator form: page', '/admin', ADMIN_FORMS),
  ...rows('administrator form of some: page', 'GET /admin/consents/end'),
  ...posts('administrator form', '/admin', ADMIN_FORMS),

  // With an empty form: what reads answers; what has a body wants JSON or a picture, and what has none is told there is
  // no such thing.
  ...apiRows('clients:read', {
    'GET /clients': 200,
    'GET /clients/:client_id': 200,
    'GET /clients/:client_id/secrets': 200,
    'GET /clients/:client_id/usage': 200,
    'GET /clients/:client_id/refused-requests': 200,
    'GET /clients/:client_id/changes/:change_id': 200,
    'GET /changes': 200,
    // Unused since when has to be said.
    'GET /unused-clients': 400,
    'GET /blocked-clients': 200,
    'GET /registration-tokens': 200,
    'GET /registration-tokens/:token_id': 200,
  }),
  ...apiRows('clients:write', {
    'POST /clients': 415,
    'PATCH /clients/:client_id': 415,
    'DELETE /clients/:client_id': 404,
    'PUT /clients/:client_id/approval': 428,
    'PUT /clients/:client_id/verification': 428,
    'DELETE /clients/:client_id/verification': 404,
    'PUT /clients/:client_id/suspension': 404,
    'DELETE /clients/:client_id/suspension': 404,
    'PUT /clients/:client_id/rejection': 415,
    'POST /clients/:client_id/secrets': 415,
    'POST /clients/:client_id/secret-rotation': 415,
    'DELETE /clients/:client_id/secrets/:secret_id': 404,
    'PUT /clients/:client_id/changes/:change_id/approval': 404,
    'PUT /clients/:client_id/changes/:change_id/rejection': 415,
    'PUT /clients/:client_id/logo': 415,
    'DELETE /clients/:client_id/logo': 404,
    'DELETE /unused-clients': 400,
    'DELETE /blocked-clients/:client_id': 404,
    'POST /registration-tokens': 415,
    'DELETE /registration-tokens/:token_id': 404,
  }),
  ...apiRows('users:read', {
    'GET /users': 200,
    'GET /users/:user_id': 200,
    'GET /users/:user_id/sessions': 200,
  }),
  ...apiRows('users:write', {
    'PUT /users/:user_id/role': 415,
    'PUT /users/:user_id/disablement': 404,
    'DELETE /users/:user_id/disablement': 404,
    'DELETE /users/:user_id/sessions': 404,
    'POST /users/:user_id/password-reset': 404,
    'DELETE /users/:user_id/password-reset': 404,
  }),
  ...apiRows('grants:read', {
    'GET /consents': 200,
    'GET /consents/:consent_id': 200,
    'GET /grants': 200,
    'GET /grants/:grant_id': 200,
    'GET /jobs': 200,
    'GET /jobs/:job_id': 200,
  }),
  ...apiRows('grants:write', {
    'DELETE /clients/:client_id/consents': 404,
    'DELETE /users/:user_id/consents': 404,
    // Which of them has to be said.
    'DELETE /consents': 400,
    'DELETE /consents/:consent_id': 404,
    'DELETE /grants/:grant_id': 404,
  }),
  ...apiRows('resources:read', {
    'GET /resources': 200,
    'GET /resources/:resource_id': 200,
    'GET /resources/:resource_id/secrets': 200,
  }),
  ...apiRows('resources:write', {
    'POST /resources': 415,
    'PATCH /resources/:resource_id': 415,
    'POST /resources/:resource_id/scopes': 415,
    'PATCH /resources/:resource_id/scopes/:scope_id': 415,
    'DELETE /resources/:resource_id/scopes/:scope_id': 404,
    'POST /resources/:resource_id/secret-rotation': 415,
    'POST /resources/:resource_id/secrets': 415,
    'DELETE /resources/:resource_id/secrets/:secret_id': 404,
  }),
  ...apiRows('keys:read', { 'GET /keys': 200 }),
  // It takes nothing, and does it at once: the one address where an empty form changes something.
  ...apiRows('keys:write', { 'POST /keys/rotation': 201 }),
  ...apiRows('audit:read', {
    'GET /overview': 200,
    'GET /audit-events': 200,
    'GET /audit-events/export': 200,
  }),

  ...rows('open 204', 'OPTIONS /register', 'OPTIONS /register/:client_id'),
  ...rows('registration 401', 'POST /register'),
  ...rows('registration 200', 'GET /register/:client_id'),
  ...rows('registration 415', 'PUT /register/:client_id'),
  // One's own is deleted at once: tested where it is; here it is somebody else's.
  ...rows('registration 401', 'DELETE /register/:client_id'),

  ...rows(
    'protocol 400',
    'GET /auth',
    'POST /token',
    'POST /introspect',
    'POST /revoke',
    'POST /par',
    'POST /device_authorization',
    'POST /device',
  ),
  ...rows('protocol 400', 'POST /session/end/confirm'),
  ...rows('protocol 410', 'GET /auth/:uid', 'GET /device/:uid'),
  ...rows('protocol, by GET', 'POST /auth'),
  ...rows('signing out, by GET', 'POST /session/end'),
  ...rows('protocol 401', 'GET /userinfo', 'POST /userinfo'),
  ...rows('protocol 200', 'GET /device', 'GET /session/end', 'GET /session/end/success', 'GET /jwks'),
  ...gets('protocol 200', '/.well-known/', 'openid-configuration oauth-authorization-server'),
  ...rows(
    'protocol 204',
    'OPTIONS /token',
    'OPTIONS /introspect',
    'OPTIONS /revoke',
    'OPTIONS /par',
    'OPTIONS /device_authorization',
  ),
  ...rows('protocol 204', 'OPTIONS /jwks', 'OPTIONS /userinfo'),
  ...rows(
    'protocol 204',
    'OPTIONS /.well-known/openid-configuration',
    'OPTIONS /.well-known/oauth-authorization-server',
  ),
}
