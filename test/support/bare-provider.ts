// oidc-provider over HTTP and in memory, with all replacements of src/protocol/internals/library.ts and nothing else of our code.
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair } from 'jose'
import Koa, { type Context } from 'koa'
import compose from 'koa-compose'
import { type Adapter, type AdapterPayload, type Configuration, Provider } from 'oidc-provider'
import {
  accessTokenOf,
  changeParams,
  formStateOf,
  isSessionStored,
  leaveSession,
  middlewareOf,
  onUntyped,
  providerContext,
  replaceClientLookup,
  replacePermissions,
  replacePrompts,
  replaceSecretComparison,
  replaceSessionRotation,
  replaceTokenId,
  replaceTokenLookup,
  replaceTokenValue,
  routeOf,
  useAround,
} from '../../src/protocol/internals/library.ts'

/** An API whose tokens are JWTs. */
export const API = 'https://api.example'
/** An authorization request. */
export const REQUEST = {
  client_id: 'app',
  response_type: 'code',
  redirect_uri: 'https://app.example/callback',
  scope: 'openid',
}

interface Call {
  model: string
  call: 'upsert' | 'destroy'
  id: string
  payload?: AdapterPayload
}

/** The library in a Koa app, a browser that visits it, and what the accessors of internals/library.ts saw of it. */
export interface Host {
  server: Server
  provider: Provider
  /** The same without any replacement. */
  untouched: Provider
  publicKey: Awaited<ReturnType<typeof generateKeyPair>>['publicKey']
  observed: ReturnType<typeof nothingObserved>
  get(path: string): Promise<{ location: string | null }>
  post(
    path: string,
    form: Record<string, string>,
    secret?: string,
  ): Promise<{ status: number; body: Record<string, unknown> }>
  /** Completes a pushed request, over the login page and the consent page. @returns the code */
  signIn(): Promise<void>
  /** Another browser. */
  forget(): void
  cookies(): string[]
  stored(model: string): AdapterPayload[]
}

function nothingObserved() {
  return {
    calls: [] as Call[],
    contexts: [] as Context[],
    current: undefined as Context | undefined,
    events: [] as string[],
    formats: [] as unknown[],
    values: [] as object[],
    payloads: [] as unknown[],
    lookups: [] as unknown[],
    secrets: [] as string[],
    params: [] as { route: unknown; params: object }[],
    permissions: [] as string[],
    tokens: [] as unknown[],
    rotations: [] as object[],
    pending: [] as string[],
    cookiesAtStoring: [] as string[][],
    form: undefined as { isStored: boolean; secret?: string; error?: Error } | undefined,
  }
}

const SECRET = 'right'

/** Starts it on a free port. */
export async function startHost(): Promise<Host> {
  const observed = nothingObserved()
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true })
  const app = new Koa()
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const jwk = { ...(await exportJWK(privateKey)), alg: 'ES256', use: 'sig', kid: 'a' }
  const settled = settings(observed, { keys: [jwk] } as Configuration['jwks'])
  const provider = new Provider(issuer, settled)
  const untouched = new Provider(issuer, settled)
  replaceAll(provider, observed)
  useAround(provider, async (ctx, next) => {
    await next()
    observed.contexts.push(ctx)
  })
  app.use(async (ctx, next) => {
    if (ctx.path.startsWith('/interaction/')) await decide(provider, ctx)
    else await next()
  })
  app.use(compose(middlewareOf(provider)))
  server.on('request', app.callback())

  const jar = new Map<string, { value: string; path: string }>()
  const send = async (path: string, init: RequestInit = {}): Promise<Response> => {
    const sent = [...jar].filter(([, { path: under }]) => path.startsWith(under))
    const cookie = sent.map(([key, { value }]) => `${key.split(' ')[0]}=${value}`).join('; ')
    const headers = { ...(init.headers as Record<string, string>), cookie }
    const answer = await fetch(issuer + path, { ...init, headers, redirect: 'manual' })
    for (const line of answer.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      const under = /path=([^;]+)/.exec(line)?.[1] ?? '/'
      if (value) jar.set(`${name} ${under}`, { value, path: under })
      else jar.delete(`${name} ${under}`)
    }
    return answer
  }
  const host: Host = {
    server,
    provider,
    untouched,
    publicKey,
    observed,
    async get(path) {
      const answer = await send(path)
      await answer.text()
      return { location: answer.headers.get('location') }
    },
    async post(path, form, secret = SECRET) {
      const authorization = `Basic ${Buffer.from(`app:${secret}`).toString('base64')}`
      // No client sends the forms of people, and a token is shown in one way only.
      const headers: Record<string, string> =
        path === '/device' || path === '/userinfo' ? {} : { authorization }
      const answer = await send(path, { method: 'POST', body: new URLSearchParams(form), headers })
      const text = await answer.text()
      const isJson = answer.headers.get('content-type')?.includes('json')
      return { status: answer.status, body: isJson ? JSON.parse(text) : {} }
    },
    async signIn() {
      this.forget()
      observed.rotations.length = 0
      observed.calls.length = 0
      // A new session has no earlier id to replace.
      await this.get('/device')
      const { body } = await this.post('/par', REQUEST)
      const query = new URLSearchParams({ client_id: 'app', request_uri: String(body.request_uri) })
      for (
        let address: string | null = `/auth?${query}`;
        address && !address.startsWith(REQUEST.redirect_uri);
      ) {
        address = (await this.get(address)).location
        address = address?.replace(issuer, '') ?? null
      }
    },
    forget: () => jar.clear(),
    cookies: () => [...jar.keys()].map((key) => key.split(' ')[0]!),
    stored: (model) =>
      observed.calls
        .filter((each) => each.model === model && each.call === 'upsert')
        .map(({ payload }) => payload!),
  }
  return host
}

type Observed = Host['observed']

function settings(observed: Observed, jwks: Configuration['jwks']): Configuration {
  const noteForm = (ctx: Context, error?: Error): void => {
    if (ctx.query.leave) leaveSession(ctx)
    observed.form = { isStored: isSessionStored(ctx), secret: formStateOf(ctx.oidc.session)?.secret, error }
    ctx.body = 'a form'
  }
  return {
    adapter: (model) => adapter(model, observed),
    clients: [
      {
        client_id: 'app',
        client_secret: 'none that anybody presents',
        redirect_uris: [REQUEST.redirect_uri],
        post_logout_redirect_uris: ['https://app.example/bye'],
        grant_types: [
          'authorization_code',
          'client_credentials',
          'urn:ietf:params:oauth:grant-type:device_code',
        ],
      },
    ],
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    cookies: { keys: ['a key'], names: { session: '_session' }, short: { signed: false } },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      deviceFlow: {
        enabled: true,
        userCodeInputSource: async (ctx, _form, _out, error) => noteForm(ctx, error),
      },
      introspection: { enabled: true },
      pushedAuthorizationRequests: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({ scope: '', audience: API, accessTokenFormat: 'jwt' }),
      },
      revocation: { enabled: true },
      rpInitiatedLogout: { enabled: true },
    },
    findAccount: (_ctx, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
    interactions: { url: (_ctx, { uid }) => `/interaction/${uid}` },
    jwks,
    pkce: { required: () => false },
    routes: {
      authorization: '/auth',
      code_verification: '/device',
      device_authorization: '/device_authorization',
      end_session: '/session/end',
      introspection: '/introspect',
      pushed_authorization_request: '/par',
      revocation: '/revoke',
      token: '/token',
      userinfo: '/userinfo',
    },
    ttl: {
      AccessToken: 60,
      AuthorizationCode: 60,
      ClientCredentials: 60,
      DeviceCode: 60,
      Grant: 60,
      IdToken: 60,
      Interaction: 60,
      Session: 60,
    },
  }
}

function replaceAll(provider: Provider, observed: Observed): void {
  replaceTokenId(provider.ClientCredentials, (token, original) => {
    const id = original()
    observed.formats.push(token.format)
    return token.format === 'jwt' ? `jti-${id}` : `opaque-${id}`
  })
  replaceTokenValue(provider.ClientCredentials, async (token, original) => {
    if (token.format !== 'jwt') return original()
    token.format = 'opaque'
    const { payload } = await original()
    Object.assign(token, { format: 'jwt', iat: payload!.iat, exp: payload!.exp })
    const made = await original()
    observed.payloads.push(payload)
    observed.values.push(made)
    return { ...made, payload: payload! }
  })
  changeParams(provider, ({ route }, params) => observed.params.push({ route, params: { ...params } }))
  replacePermissions(provider, (kind, type, isAllowed) => {
    observed.permissions.push(`${kind} ${type} ${isAllowed}`)
    return isAllowed
  })
  replaceTokenLookup(provider, async (value, original) => {
    observed.tokens.push(value)
    if (value !== 'made of what is stored') return original()
    const exp = Math.floor(Date.now() / 1000) + 60
    return accessTokenOf(provider, {
      kind: 'AccessToken',
      jti: value,
      clientId: 'app',
      scope: 'profile',
      exp,
    })
  })
  replaceClientLookup(provider, (id, original) => {
    observed.lookups.push(id)
    observed.current = providerContext()
    return original(id)
  })
  replaceSecretComparison(provider, async (client, secret) => {
    if (client.clientId !== 'app' || !providerContext()) throw new Error('not as it was')
    observed.secrets.push(secret)
    return secret === SECRET
  })
  replaceSessionRotation(provider, (_session, original) => {
    const ctx = providerContext()
    observed.rotations.push({ route: routeOf(ctx), login: ctx?.oidc.result?.login !== undefined })
    original()
  })
  const prompts = new Set(['login', 'consent'])
  replacePrompts(
    provider,
    () => {
      observed.pending.push('prompts')
      return prompts
    },
    (oidc, name) => {
      observed.pending.push(name)
      return prompts.has(name) && !oidc.result?.[name] && !oidc.entities.Interaction?.lastSubmission?.[name]
    },
  )
  for (const event of [
    'device_authorization.success',
    'device_authorization.error',
    'pushed_authorization_request.error',
    'end_session.error',
  ] as const) {
    onUntyped(provider, event, () => observed.events.push(event))
  }
}

// The pages, which submit themselves.
async function decide(provider: Provider, ctx: Context): Promise<void> {
  const { prompt } = await provider.interactionDetails(ctx.req, ctx.res)
  ctx.respond = false
  if (prompt.name === 'login') {
    await provider.interactionFinished(ctx.req, ctx.res, { login: { accountId: 'ada' } })
    return
  }
  const grant = new provider.Grant({ accountId: 'ada', clientId: 'app' })
  grant.addOIDCScope('openid')
  const grantId = await grant.save()
  const consented = { consent: { grantId } }
  await provider.interactionFinished(ctx.req, ctx.res, consented, { mergeWithLastSubmission: false })
}

const rows = new Map<string, AdapterPayload>()

function adapter(model: string, observed: Observed): Adapter {
  const key = (id: string) => `${model} ${id}`
  const findBy = (name: 'uid' | 'userCode', value: string) =>
    [...rows].find(([each, row]) => each.startsWith(`${model} `) && row[name] === value)?.[1]
  return {
    async upsert(id, payload) {
      observed.calls.push({ model, call: 'upsert', id, payload: structuredClone(payload) })
      if (model === 'Session') observed.cookiesAtStoring.push(namesOfCookies(providerContext()))
      rows.set(key(id), payload)
    },
    find: async (id) => rows.get(key(id)),
    findByUid: async (uid) => findBy('uid', uid),
    findByUserCode: async (code) => findBy('userCode', code),
    async consume(id) {
      Object.assign(rows.get(key(id)) ?? {}, { consumed: true })
    },
    async destroy(id) {
      observed.calls.push({ model, call: 'destroy', id })
      rows.delete(key(id))
    },
    revokeByGrantId: async () => {},
  }
}

function namesOfCookies(ctx: Context | undefined): string[] {
  const lines = [(ctx?.response.get('set-cookie') || []) as string | string[]].flat()
  return lines.map((line) => line.split('=')[0]!).filter((name) => name.startsWith('_session'))
}
