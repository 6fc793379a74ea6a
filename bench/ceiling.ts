// The ceiling: oidc-provider alone, with its in-memory adapter and the plainest pages, as a process of its own. It has the
// features, clients, signing algorithm and password hashing of Valetkey and nothing else, so what Valetkey lacks to it is
// what storage, limits, audit and pages cost. Started by ceiling() in targets.ts, which writes the set-up to its stdin.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { json, text } from 'node:stream/consumers'
import { type AdapterFactory, type ClientMetadata, Provider } from 'oidc-provider'
import { verifyPassword } from '../src/core/users/password.ts'
import { ACCESS_TOKEN_SECONDS, type CeilingSetUp, OPENID_SCOPES, RESOURCE, RESOURCE_SCOPE } from './plan.ts'

/**
 * The provider's own store forgets all but its 1,000 newest entries, codes and sessions included, before a round ends; and
 * its list of a grant's tokens, walked at each save, grows with the load. This one forgets tokens and codes later, sessions
 * and grants never, and keeps no such list, which nothing here reads: all of it makes the ceiling higher, not lower.
 */
class Store {
  readonly #lasting = new Map<string, unknown>()
  #passing = new Map<string, unknown>()
  #older = new Map<string, unknown>()

  get(key: string): unknown {
    return PASSING.test(key) ? (this.#passing.get(key) ?? this.#older.get(key)) : this.#lasting.get(key)
  }

  set(key: string, value: unknown): void {
    if (key.startsWith('grant:')) return
    if (!PASSING.test(key)) {
      this.#lasting.set(key, value)
      return
    }
    this.#passing.set(key, value)
    if (this.#passing.size < GENERATION) return
    this.#older = this.#passing
    this.#passing = new Map()
  }

  delete(key: string): void {
    for (const entries of [this.#lasting, this.#passing, this.#older]) entries.delete(key)
  }
}

const GENERATION = 10_000
const PASSING = /^(AccessToken|ClientCredentials|RefreshToken|AuthorizationCode|Interaction):/

const setUp = (await json(process.stdin)) as CeilingSetUp
const origin = `http://localhost:${setUp.port}`

// Not part of the library's types: its file is asked for by name.
const adapterFile: string = 'oidc-provider/lib/adapters/memory_adapter.js'
const { default: MemoryAdapter } = await import(adapterFile)
const store = new Store()
const adapter: AdapterFactory = (model) => new MemoryAdapter(model, store)

const provider = new Provider(origin, {
  adapter,
  clients: clients(setUp),
  jwks: { keys: [setUp.signingKey] },
  cookies: { keys: [setUp.cookieKey] },
  scopes: [...OPENID_SCOPES],
  claims: { openid: ['sub'], profile: ['name'], email: ['email', 'email_verified'] },
  conformIdTokenClaims: false,
  responseTypes: ['code'],
  clientDefaults: { id_token_signed_response_alg: setUp.alg },
  pkce: { required: () => true },
  issueRefreshToken: async (_ctx, client) => client.grantTypeAllowed('refresh_token'),
  expiresWithSession: async () => false,
  rotateRefreshToken: true,
  routes: { introspection: '/introspect', revocation: '/revoke', pushed_authorization_request: '/par' },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    dPoP: { enabled: true },
    introspection: { enabled: true, allowedPolicy: async () => true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: async () => RESOURCE,
      useGrantedResource: async () => true,
      getResourceServerInfo: async () => ({
        scope: RESOURCE_SCOPE,
        audience: RESOURCE,
        accessTokenFormat: 'opaque',
      }),
    },
  },
  interactions: { url: (_ctx, { uid }) => `/interaction/${uid}` },
  findAccount: (_ctx, sub) => ({
    accountId: sub,
    claims: () => ({ sub, name: 'Bench', email: sub, email_verified: true }),
  }),
  ttl: {
    AccessToken: () => ACCESS_TOKEN_SECONDS,
    ClientCredentials: () => ACCESS_TOKEN_SECONDS,
    AuthorizationCode: () => 60,
    RefreshToken: () => 30 * 86_400,
    IdToken: () => 3600,
    Interaction: () => 3600,
    Session: () => 14 * 86_400,
    Grant: () => 30 * 86_400,
  },
})

const protocol = provider.callback()
createServer((req, res) => {
  if (!req.url!.startsWith('/interaction/')) protocol(req, res)
  else interact(req, res).catch((error: Error) => res.writeHead(500).end(error.message))
}).listen(setUp.port, '127.0.0.1', () => console.log('ready'))

/** The sign-in and consent steps, with the least that lets the driver walk them as it walks Valetkey's. */
async function interact(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const { uid, prompt, params, session } = await provider.interactionDetails(req, res)
  if (req.method === 'GET') {
    const fields =
      prompt.name === 'login' ? '<input name="email"><input name="password" type="password">' : ''
    const page = `<!doctype html><title>${prompt.name}</title><form method="post" action="/interaction/${uid}">${fields}</form>`
    res.writeHead(200, { 'content-type': 'text/html', 'content-length': Buffer.byteLength(page) }).end(page)
    return
  }

  const form = new URLSearchParams(await text(req))
  if (prompt.name === 'login') {
    if (!(await verifyPassword(setUp.passwordHash, form.get('password') ?? ''))) {
      res.writeHead(422).end('wrong password')
      return
    }
    const login = { accountId: form.get('email')! }
    await provider.interactionFinished(req, res, { login }, { mergeWithLastSubmission: false })
    return
  }

  const grant = new provider.Grant({ accountId: session!.accountId, clientId: params.client_id as string })
  grant.addOIDCScope(OPENID_SCOPES.join(' '))
  grant.addResourceScope(RESOURCE, RESOURCE_SCOPE)
  await provider.interactionFinished(req, res, { consent: { grantId: await grant.save() } })
}

function clients({ app, service, api }: CeilingSetUp): ClientMetadata[] {
  return [
    {
      client_id: app.id,
      client_secret: app.secret,
      redirect_uris: [app.redirectUri],
      grant_types: ['authorization_code', 'refresh_token'],
    },
    {
      client_id: service.id,
      client_secret: service.secret,
      redirect_uris: [],
      response_types: [],
      grant_types: ['client_credentials'],
    },
    { client_id: api.id, client_secret: api.secret, redirect_uris: [], response_types: [], grant_types: [] },
  ]
}
