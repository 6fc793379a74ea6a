// What src/protocol/internals/library.ts relies on, against the installed oidc-provider and over real HTTP: a test for each of them, so that
// an update of the library fails by the name of what has moved.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { jwtVerify } from 'jose'
import type { Context } from 'koa'
import { errors, interactionPolicy, type Provider } from 'oidc-provider'
import {
  ERROR_TEXTS,
  forgetInteraction,
  formStateOf,
  interactionOf,
  isSaid,
  middlewareOf,
  policyCheck,
  READ_IN,
  type Route,
  routeOf,
  saidBy,
  sessionCookieNames,
  type UntypedEvent,
  USER_CODE_TEXTS,
  userCodeError,
  withoutSessionCookie,
} from '../../../src/protocol/internals/library.ts'
import { API, type Host, REQUEST, startHost } from '../../support/bare-provider.ts'

const PACKAGE = join(import.meta.dirname, '../../../node_modules/oidc-provider')
const JOSE = join(import.meta.dirname, '../../../node_modules/jose')

test('the installed version is the one that was read', async () => {
  const { version } = JSON.parse(await readFile(join(PACKAGE, 'package.json'), 'utf8'))

  const task = 'read what src/protocol/internals/library.ts names in this version again, then set its READ_IN'
  expect(version === READ_IN ? '' : `oidc-provider is ${version}, not ${READ_IN}: ${task}`).toBe('')
})

let host: Host
beforeAll(async () => {
  host = await startHost()
})
afterAll(() => {
  host?.server.close()
})

describe('a method that is replaced', () => {
  test.each<[name: string, of: (provider: Provider) => object, method: string, parameters: number]>([
    ['AccessToken.generateTokenId', (p) => p.AccessToken.prototype, 'generateTokenId', 0],
    ['ClientCredentials.generateTokenId', (p) => p.ClientCredentials.prototype, 'generateTokenId', 0],
    ['AuthorizationCode.generateTokenId', (p) => p.AuthorizationCode.prototype, 'generateTokenId', 0],
    ['DeviceCode.generateTokenId', (p) => p.DeviceCode.prototype, 'generateTokenId', 0],
    ['RefreshToken.generateTokenId', (p) => p.RefreshToken.prototype, 'generateTokenId', 0],
    ['AccessToken.getValueAndPayload', (p) => p.AccessToken.prototype, 'getValueAndPayload', 0],
    ['ClientCredentials.getValueAndPayload', (p) => p.ClientCredentials.prototype, 'getValueAndPayload', 0],
    ['Client.find', (p) => p.Client, 'find', 1],
    ['Client.compareClientSecret', (p) => p.Client.prototype, 'compareClientSecret', 1],
    ['AccessToken.find', (p) => p.AccessToken, 'find', 0],
    ['Client.grantTypeAllowed', (p) => p.Client.prototype, 'grantTypeAllowed', 1],
    ['Client.responseTypeAllowed', (p) => p.Client.prototype, 'responseTypeAllowed', 1],
    ['Session.resetIdentifier', (p) => p.Session.prototype, 'resetIdentifier', 0],
    ['OIDCContext.promptPending', (p) => p.OIDCContext.prototype, 'promptPending', 1],
  ])('%s is there, and takes what it took', (_, of, method, parameters) => {
    const replaced = (of(host.untouched) as Record<string, unknown>)[method]

    expect(replaced).toBeInstanceOf(Function)
    expect(replaced).toHaveLength(parameters)
  })

  test('OIDCContext.prompts is a getter', () => {
    const { get } = Object.getOwnPropertyDescriptor(host.untouched.OIDCContext.prototype, 'prompts') ?? {}

    expect(get).toBeInstanceOf(Function)
  })

  test('generateTokenId makes the value of an opaque token, and sets its format', async () => {
    const { body } = await host.post('/token', { grant_type: 'client_credentials' })

    expect(body).toMatchObject({ access_token: expect.stringMatching(/^opaque-/) })
    expect(host.observed.formats).toContain('opaque')
  })

  test('getValueAndPayload of a JWT gives no payload, and that of the opaque format gives it', async () => {
    const { body } = await host.post('/token', { grant_type: 'client_credentials', resource: API })

    const { payload } = await jwtVerify(String(body.access_token), host.publicKey, { typ: 'at+jwt' })
    expect(payload).toMatchObject({ aud: API, jti: expect.stringMatching(/^jti-/) })
    expect(host.observed.values).toEqual([{ value: body.access_token }])
    expect(host.observed.payloads[0]).toMatchObject({ iat: payload.iat, exp: payload.exp, jti: payload.jti })
    expect(host.stored('ClientCredentials').at(-1)).toMatchObject({ jti: payload.jti })
  })

  test('Client.find is what every request finds its client by', async () => {
    host.observed.lookups.length = 0

    await host.post('/token', { grant_type: 'client_credentials' })

    expect(new Set(host.observed.lookups)).toEqual(new Set(['app']))
  })

  test('AccessToken.find is what userinfo finds a token by, and a token can be made of what is stored', async () => {
    host.observed.tokens.length = 0

    const { status } = await host.post('/userinfo', { access_token: 'made of what is stored' }, undefined)

    expect(host.observed.tokens).toEqual(['made of what is stored'])
    // It was found, and lacks the scope openid.
    expect(status).toBe(403)
  })

  test('the permissions of a client are what requests for grants and response types are held to', async () => {
    host.observed.permissions.length = 0

    const { status } = await host.post('/token', { grant_type: 'refresh_token' })
    await host.get(`/auth?${new URLSearchParams({ ...REQUEST, response_type: 'none' })}`)

    expect(status).toBe(400)
    expect(host.observed.permissions).toEqual(
      expect.arrayContaining(['grant refresh_token false', 'response none false']),
    )
  })

  test('parameters are set before the library reads them, at each route', async () => {
    host.observed.params.length = 0

    await host.post('/token', { grant_type: 'client_credentials' })
    await host.get(`/auth?${new URLSearchParams(REQUEST)}`)

    expect(host.observed.params).toEqual(
      expect.arrayContaining([
        { route: 'token', params: expect.objectContaining({ grant_type: 'client_credentials' }) },
        { route: 'authorization', params: expect.objectContaining(REQUEST) },
      ]),
    )
  })

  test('compareClientSecret judges a presented secret, in a request of the provider', async () => {
    const { status, body } = await host.post('/token', { grant_type: 'client_credentials' }, 'wrong')

    expect([status, body.error]).toEqual([401, 'invalid_client'])
    expect(host.observed.secrets).toEqual(expect.arrayContaining(['right', 'wrong']))
  })

  test('resetIdentifier is called at each resume; the old session is destroyed before the new one is stored', async () => {
    await host.signIn()

    expect(host.observed.rotations).toEqual([
      { route: 'resume', login: true },
      { route: 'resume', login: false },
    ])
    const calls = host.observed.calls.filter(({ model }) => model === 'Session')
    const at = calls.findIndex(({ call }) => call === 'destroy')
    expect(calls[at + 1]).toMatchObject({ call: 'upsert' })
    expect(calls[at + 1]!.id).not.toBe(calls[at]!.id)
  })

  test('promptPending and prompts say whether a page is due', async () => {
    const { location } = await host.get(`/auth?${new URLSearchParams({ ...REQUEST, prompt: 'select' })}`)

    expect(location).toMatch(/^\/interaction\//)
    expect(host.observed.pending).toEqual(expect.arrayContaining(['prompts', 'login']))
  })

  test.each([
    ['login', 'id_token_hint'],
    ['login', 'max_age'],
    ['consent', 'native_client_prompt'],
  ] as const)('the policy of %s has the check %s', (prompt, name) => {
    expect(policyCheck(interactionPolicy.base(), prompt, name).check).toBeInstanceOf(Function)
  })
})

describe('a request', () => {
  test('the middleware of the provider is what a Koa of ours can run', () => {
    expect(middlewareOf(host.untouched).length).toBeGreaterThan(0)
    for (const each of middlewareOf(host.untouched)) expect(each).toBeInstanceOf(Function)
  })

  test.each<[Route, string]>([
    ['authorization', '/auth'],
    ['resume', '/auth/some-uid'],
    ['pushed_authorization_request', '/par'],
    ['device_authorization', '/device_authorization'],
    ['device_resume', '/device/some-uid'],
    ['token', '/token'],
    ['introspection', '/introspect'],
    ['revocation', '/revoke'],
    ['userinfo', '/userinfo'],
    ['discovery', '/.well-known/oauth-authorization-server'],
    ['end_session_confirm', '/session/end/confirm'],
  ])('the route %s has its name, and leads to %s', (route, path) => {
    expect(host.provider.urlFor(route, { uid: 'some-uid' })).toBe(`${host.provider.issuer}${path}`)
  })

  test.each<[name: string, is: (ctx: Context) => unknown]>([
    ['route', (ctx) => routeOf(ctx) === 'token'],
    ['body', (ctx) => ctx.oidc.body?.unheard_of === 'as it came'],
    ['params', (ctx) => ctx.oidc.params?.grant_type === 'client_credentials'],
    ['params without what the library does not know', (ctx) => !('unheard_of' in ctx.oidc.params!)],
    ['urlFor', (ctx) => ctx.oidc.urlFor('token') === `${host.provider.issuer}/token`],
    ['client', (ctx) => ctx.oidc.client?.clientId === 'app'],
    ['entities', (ctx) => ctx.oidc.entities.ClientCredentials?.clientId === 'app'],
    ['issuer', (ctx) => ctx.oidc.issuer === host.provider.issuer],
    ['provider', (ctx) => ctx.oidc.provider === host.provider],
    ['Provider.ctx', (ctx) => host.observed.current === ctx],
  ])('has its %s', async (_, is) => {
    await host.post('/token', { grant_type: 'client_credentials', unheard_of: 'as it came' })

    expect(is(host.observed.contexts.at(-1)!)).toBe(true)
  })

  test.each<[UntypedEvent, () => Promise<unknown>]>([
    ['device_authorization.success', () => host.post('/device_authorization', { scope: 'openid' })],
    ['device_authorization.error', () => host.post('/device_authorization', { scope: 'no"scope' })],
    ['pushed_authorization_request.error', () => host.post('/par', { ...REQUEST, scope: 'no"scope' })],
    ['end_session.error', () => host.get('/session/end?client_id=app&post_logout_redirect_uri=x')],
  ])('the event %s is sent', async (event, send) => {
    host.observed.events.length = 0

    await send()

    expect(host.observed.events).toEqual([event])
  })
})

describe('an interaction', () => {
  beforeAll(() => host.signIn())

  test('keeps the id of the pushed request that it came from as parJti', () => {
    const pushed = host.observed.calls.find(({ model }) => model === 'PushedAuthorizationRequest')!

    expect(host.stored('Interaction')[0]).toMatchObject({ parJti: pushed.id })
  })

  test('keeps the value of the session cookie as session.cookie, which withoutSessionCookie takes away', () => {
    const { session } = host.stored('Interaction').find((each) => each.session)!

    const sessions = host.observed.calls.filter(({ model }) => model === 'Session').map(({ id }) => id)
    const { cookie, ...rest } = session as Record<string, unknown>
    expect(sessions).toContain(cookie)
    expect(withoutSessionCookie(session!)).toEqual(rest)
    expect(rest).toMatchObject({ accountId: 'ada', uid: expect.any(String) })
    for (const value of Object.values(rest)) expect(sessions).not.toContain(value)
  })

  test('is an entity of the request that goes on with it, until it is forgotten', () => {
    const ctx = host.observed.contexts.findLast((each) => routeOf(each) === 'resume')!
    expect(interactionOf(ctx)).toMatchObject({ jti: expect.any(String), parJti: expect.any(String) })

    forgetInteraction(ctx)

    expect(interactionOf(ctx)).toBeUndefined()
  })
})

describe('a session', () => {
  test('is not stored before its first request is over, and then it is', async () => {
    host.forget()
    await host.get('/device')
    expect(host.observed.form).toMatchObject({ isStored: false })

    await host.get('/device')

    expect(host.observed.form).toMatchObject({ isStored: true })
  })

  test('keeps the secret of a form, in its stored payload, too', async () => {
    await host.get('/device')

    expect(host.observed.form?.secret).toMatch(/^[\w-]{20,}$/)
    expect(formStateOf(host.stored('Session').at(-1))?.secret).toBe(host.observed.form?.secret)
  })

  test('keeps who signs out, and to where', async () => {
    const query = { client_id: 'app', post_logout_redirect_uri: 'https://app.example/bye' }
    await host.get(`/session/end?${new URLSearchParams(query)}`)

    expect(formStateOf(host.stored('Session').at(-1))).toMatchObject({
      secret: expect.any(String),
      clientId: 'app',
      postLogoutRedirectUri: 'https://app.example/bye',
    })
  })

  test('has the cookies of these names, set before it is stored', async () => {
    host.forget()
    await host.get('/device')

    const names = sessionCookieNames(host.observed.contexts.at(-1)!)
    expect(names.filter((name) => host.cookies().includes(name))).toEqual(names)
    expect(host.observed.cookiesAtStoring.at(-1)).toEqual(names)
  })

  test('is neither stored nor sent where it is left', async () => {
    host.forget()
    const before = host.stored('Session').length

    await host.get('/device?leave=it')

    expect(host.stored('Session')).toHaveLength(before)
    expect(host.cookies()).toEqual([])
  })
})

describe('an error', () => {
  // Put together by the library: the pieces of it.
  const COMPOSED: Record<string, string[]> = {
    'code_verifier must be a string': ['{param} must be a string', "'code_verifier'"],
    'code_verifier contains': ['{param} contains', "'code_verifier'"],
    'code_challenge must be a string': ['{param} must be a string', "'code_challenge'"],
    'code_challenge contains': ['{param} contains', "'code_challenge'"],
    'device_code is not allowed': ['{grantType} is not allowed', "grant-type:device_code'"],
    'authorization code not found': ['{label} not found', "'authorization code'"],
    'missing required parameter': ['missing required $', "pluralize('parameter', missing.length)"],
  }
  let source: string
  beforeAll(async () => {
    source = await sourceOf(PACKAGE, 'lib')
    source += await readFile(join(JOSE, 'dist/webapi/lib/jwt_claims_set.js'), 'utf8')
  })

  const texts = Object.entries(ERROR_TEXTS).flatMap(([name, all]) => all.map((text) => [name, text] as const))
  test.each(texts)('%s: the library still says "%s"', (_, text) => {
    const pieces = COMPOSED[text] ?? [text]

    expect(pieces.filter((piece) => !source.includes(piece))).toEqual([])
  })

  test('says to itself what it keeps from the app, and otherwise what it says to the app', () => {
    expect(saidBy(new errors.InvalidGrant('client mismatch')).says).toBe('client mismatch')
    expect(saidBy(new errors.InvalidScope('not allowed', 'photos')).scope).toBe('photos')
    expect(saidBy(new errors.InvalidRedirectUri()).says).toContain(ERROR_TEXTS.redirect_uri[0])
    expect(saidBy(new errors.AccessDenied()).says).toBe('')
    expect(isSaid('client mismatch', 'other_client')).toBe(true)
  })

  test.each([
    ['aborted', 'AbortedError'],
    ['missing', 'NoCodeError'],
    ['unknown', 'NotFoundError'],
    ['expired', 'ExpiredError'],
    ['used', 'AlreadyUsedError'],
  ] as const)('of a typed code that is %s has its text', async (name, of) => {
    const classes = await import(join(PACKAGE, 'lib/helpers/re_render_errors.js'))

    const error = new classes[of]('CODE')

    expect(error.message).toBe(USER_CODE_TEXTS[name])
    expect(userCodeError(error)).toBe(name)
  })

  test('of a typed code reaches the form', async () => {
    host.forget()
    await host.get('/device')

    await host.post('/device', { xsrf: host.observed.form!.secret!, user_code: 'NONE-SUCH' })

    expect(userCodeError(host.observed.form?.error)).toBe('unknown')
  })
})

async function sourceOf(folder: string, under: string): Promise<string> {
  const files = await readdir(join(folder, under), { recursive: true })
  const texts = files.filter((file) => file.endsWith('.js')).map((file) => join(folder, under, file))
  return (await Promise.all(texts.map((file) => readFile(file, 'utf8')))).join('\n')
}
