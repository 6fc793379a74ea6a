// The sample API: the photos of whoever the token speaks for. It asks Valetkey about every token on every
// call and remembers nothing, so that access ends here in the moment it ends there.
import Koa, { type Context } from 'koa'
import * as openid from 'openid-client'
import { albumOf } from './album.ts'
import { type Trace, tracedFetch } from './trace.ts'

/** Where the API stands and how it asks about tokens. */
export interface PhotosApiParts {
  /** The API's own identifier (RFC 8707): tokens for anything else are refused. */
  identifier: string
  issuer: string
  /** Its credentials for introspection. */
  client: { id: string; secret: string }
  trace?: Trace
}

/** The API: `GET /photos` needs `photos.read`, `POST /prints` needs `prints.order`. Bearer tokens (RFC 6750). */
export function createPhotosApi({ identifier, issuer, client, trace }: PhotosApiParts): Koa {
  const app = new Koa()
  let server: Promise<openid.Configuration> | undefined

  app.use(async (ctx) => {
    ctx.set('Cache-Control', 'no-store')
    const route = ROUTES[ctx.path]
    if (!route) return answer(ctx, 404, { error: 'not_found' })
    if (ctx.method !== route.method) {
      ctx.set('Allow', route.method)
      return answer(ctx, 405, { error: 'method_not_allowed' })
    }

    const token = /^Bearer ([\w.~+/-]+=*)$/i.exec(ctx.get('authorization'))?.[1]
    // Without any token there is no error to name (RFC 6750 §3.1).
    if (!token) return challenge(ctx, 401)
    const facts = await introspect(token)
    if (!facts) {
      ctx.set('Retry-After', '1')
      return answer(ctx, 503, { error: 'temporarily_unavailable' })
    }
    // A token bound to a key (DPoP) is not a bearer token: this API cannot check the proof, so it refuses.
    if (!facts.active || !facts.sub || facts.cnf || ![facts.aud].flat().includes(identifier)) {
      return challenge(ctx, 401, 'invalid_token')
    }
    if (!facts.scope?.split(' ').includes(route.scope)) {
      return challenge(ctx, 403, 'insufficient_scope', route.scope)
    }

    answer(ctx, route.status, route.body(facts.sub))
  })
  return app

  async function introspect(token: string): Promise<openid.IntrospectionResponse | undefined> {
    try {
      server ??= discover()
      return await openid.tokenIntrospection(await server, token, { token_type_hint: 'access_token' })
    } catch (error) {
      server = undefined
      console.error(`Photos API: ${issuer} gave no answer about a token: ${(error as Error).message}`)
      return undefined
    }
  }

  function discover() {
    return openid.discovery(new URL(issuer), client.id, {}, openid.ClientSecretBasic(client.secret), {
      execute: [openid.allowInsecureRequests],
      [openid.customFetch]: tracedFetch('Photos API', trace),
    })
  }
}

const ROUTES: Record<
  string,
  { method: string; scope: string; status: number; body(sub: string): object } | undefined
> = {
  '/photos': { method: 'GET', scope: 'photos.read', status: 200, body: (sub) => ({ photos: albumOf(sub) }) },
  '/prints': { method: 'POST', scope: 'prints.order', status: 201, body: () => ({ ordered: true }) },
}

function answer(ctx: Context, status: number, body: object): void {
  ctx.status = status
  ctx.body = body
}

function challenge(ctx: Context, status: number, error?: string, scope?: string): void {
  const parts = [error && `error="${error}"`, scope && `scope="${scope}"`].filter(Boolean)
  ctx.set('WWW-Authenticate', ['Bearer', parts.join(', ')].join(' ').trim())
  answer(ctx, status, error ? { error } : { error: 'unauthorized' })
}
