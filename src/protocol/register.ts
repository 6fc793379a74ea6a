// The addresses where apps register themselves (RFC 7591) and look after their registration (RFC 7592). They answer programs,
// pages of other origins too: nothing here rests on a cookie.
import type { Context, Middleware } from 'koa'
import type { Config } from '../base/config.ts'
import { isShortId } from '../base/ids.ts'
import { InvalidMetadata } from '../core/clients/metadata.ts'
import type { Registrations } from '../core/registration/outcomes.ts'
import { asciiText, asRegistrationError, clientInformation } from '../core/registration/rfc7591.ts'
import {
  type DynamicClient,
  deleteDynamicClient,
  findOwnRegistration,
  mayUpdateDynamicClient,
  updateDynamicClient,
} from '../core/registration/store.ts'
import { DatabaseUnavailable } from '../db/errors.ts'
import type { Pool } from '../db/pool.ts'
import { actorOf } from '../http/actor.ts'
import type { BlockLimits } from '../http/block-limits.ts'
import { HttpError } from '../http/errors.ts'
import { jsonBody } from '../http/form.ts'
import type { Logger } from '../http/log.ts'
import { get, type Row } from '../http/routes.ts'
import { placeOf, throttle } from '../http/throttle.ts'

/** What these addresses stand on. */
export interface RegistrationParts {
  db: Pool
  config: Config
  log: Logger
  issuer: string
  limits: BlockLimits
  registrations: Registrations
}

type Handler = (ctx: Context) => Promise<void>

const HOUR = 60 * 60

/** The rows of /register and /register/:client_id. */
export function registrationRoutes(parts: RegistrationParts): Row[] {
  const { preflight, register, show, change, remove } = registrationEndpoints(parts)
  return [
    { method: 'OPTIONS', path: '/register', handle: preflight },
    { method: 'POST', path: '/register', handle: register },
    { method: 'OPTIONS', path: '/register/:client_id', handle: preflight },
    get('/register/:client_id', show),
    { method: 'PUT', path: '/register/:client_id', handle: change },
    { method: 'DELETE', path: '/register/:client_id', handle: remove },
  ]
}

function registrationLimits(db: RegistrationParts['db'], limits: BlockLimits) {
  const perAddress = throttle(db, {
    name: 'register',
    attempts: 20,
    seconds: HOUR,
    message: 'Too many registrations from this address.',
    inMemory: true,
  })
  // For whoever walks through a block of addresses.
  const perBlock = limits.limit({
    name: 'register',
    perBlock: 400,
    seconds: HOUR,
    message: 'Too many registrations from around this address.',
  })
  const perClient = throttle(db, {
    name: 'register-change',
    attempts: 60,
    seconds: HOUR,
    message: 'Too many changes of this registration.',
    inMemory: true,
  })
  // Each change is on record for good, and whoever may register may register many.
  const changesPerAddress = throttle(db, {
    name: 'register-changes',
    attempts: 120,
    seconds: HOUR,
    message: 'Too many changes of registrations from this address.',
    inMemory: true,
  })
  return { perAddress, perBlock, perClient, changesPerAddress }
}

// Any page may ask: whoever has no token of ours gets nothing that it could not get by itself.
function preflight(ctx: Context): void {
  forPrograms(ctx)
  const methods = ctx.path === '/register' ? 'POST' : 'GET, PUT, DELETE'
  ctx.set('Access-Control-Allow-Methods', methods)
  ctx.set('Access-Control-Allow-Headers', 'Authorization, Content-Type')
  ctx.set('Access-Control-Max-Age', '3600')
  ctx.status = 204
}

function registrationEndpoints({ db, config, log, issuer, limits, registrations }: RegistrationParts) {
  const { mode, scopes, approval } = config.dynamicRegistration
  const open = { scopes, approval }
  const body = jsonBody()
  const { perAddress, perBlock, perClient, changesPerAddress } = registrationLimits(db, limits)

  /** Answers what is refused in the form of RFC 7591 §3.2.2, to whatever the client says it accepts. */
  const answering = (handler: Handler) => async (ctx: Context) => {
    forPrograms(ctx)
    try {
      await handler(ctx)
    } catch (error) {
      refuse(ctx, error, log)
    }
  }

  /** Lets in whoever has the registration access token of this very client; to all others they look alike. */
  const asOwner = (handler: (ctx: Context, own: Own) => Promise<void>) =>
    answering(async (ctx) => {
      const access_token = bearerOf(ctx)
      const id = String(ctx.params.client_id)
      const client =
        access_token && isShortId(id) ? await findOwnRegistration(db, id, access_token) : undefined
      if (!access_token || !client) return challenge(ctx, access_token)
      await handler(ctx, { client, access_token })
    })

  const tell = (client: DynamicClient, access_token: string, secret?: string) => ({
    ...clientInformation(client),
    ...(secret ? { client_secret: secret, client_secret_expires_at: 0 } : {}),
    registration_access_token: access_token,
    registration_client_uri: `${issuer}/register/${client.id}`,
  })

  return {
    preflight,

    register: answering(async (ctx) => {
      const initial = bearerOf(ctx)
      // Before the body is read: do not read the body of somebody who may not register.
      if (initial !== undefined && !(await registrations.isLive(initial))) return challenge(ctx, initial)
      if (initial === undefined && mode === 'token') return challenge(ctx, undefined)
      if (initial === undefined) {
        perBlock.count(ctx.ip)
        await perAddress.count(placeOf(ctx.ip))
      }
      const registered = await registrations.register(await read(ctx, body), open, initial, actorOf(ctx))
      if (!registered) return challenge(ctx, initial)
      const { client, access_token, secret } = registered
      ctx.status = 201
      ctx.body = tell(client, access_token, secret)
    }),

    show: asOwner(async (ctx, { client, access_token }) => {
      ctx.body = tell(client, access_token)
    }),

    change: asOwner(async (ctx, { client, access_token }) => {
      if (!mayUpdateDynamicClient(client)) return forbid(ctx)
      await perClient.count(client.id)
      if (client.allowed_scopes === null) await changesPerAddress.count(placeOf(ctx.ip))
      const changed = await updateDynamicClient(db, client.id, await read(ctx, body), open, actorOf(ctx))
      if (!changed) return forbid(ctx)
      ctx.body = tell(changed, access_token)
    }),

    remove: asOwner(async (ctx, { client }) => {
      await deleteDynamicClient(db, client.id, actorOf(ctx))
      ctx.status = 204
    }),
  }
}

interface Own {
  client: DynamicClient
  access_token: string
}

function forPrograms(ctx: Context): void {
  ctx.set('Cache-Control', 'no-store')
  ctx.set('Pragma', 'no-cache')
  ctx.set('Access-Control-Allow-Origin', '*')
  ctx.set('Access-Control-Expose-Headers', 'WWW-Authenticate, Retry-After, X-Request-Id')
}

function bearerOf(ctx: Context): string | undefined {
  const header = ctx.get('authorization')
  if (!header) return undefined
  // Another scheme is a credential too, and not one that lets anybody in.
  return /^Bearer +([\x21-\x7e]+)$/i.exec(header)?.[1] ?? 'none of ours'
}

// RFC 6750 §3: what was sent and is not good is said to be so; whoever sent nothing only learns what is wanted.
function challenge(ctx: Context, sent: string | undefined): void {
  const error_description = sent
    ? 'the token is not, or no longer, good for this'
    : 'a token of the operator is needed'
  ctx.status = 401
  ctx.set(
    'WWW-Authenticate',
    sent ? `Bearer error="invalid_token", error_description="${error_description}"` : 'Bearer',
  )
  ctx.body = { error: 'invalid_token', error_description }
}

function forbid(ctx: Context): void {
  ctx.status = 403
  ctx.body = {
    error: 'access_denied',
    error_description: 'the operator looks after this registration; it cannot be changed here',
  }
}

async function read(ctx: Context, body: Middleware): Promise<unknown> {
  await body(ctx, async () => {})
  return ctx.request.body
}

function refuse(ctx: Context, error: unknown, log: Logger): void {
  if (error instanceof InvalidMetadata) {
    ctx.status = 400
    ctx.body = asRegistrationError(error)
    return
  }
  if (error instanceof HttpError) {
    ctx.set(error.headers)
    ctx.status = error.status
    ctx.body = { error: error.code, error_description: asciiText(error.message) }
    return
  }
  if (error instanceof DatabaseUnavailable) {
    log.error({ request_id: ctx.state.requestId, err: error.cause }, 'database unavailable')
    ctx.status = 503
    ctx.body = {
      error: 'temporarily_unavailable',
      error_description: 'the server cannot reach its database, try again shortly',
    }
    return
  }
  // The body parser's own: too large, not JSON, not UTF-8.
  const { status } = error as { status?: number }
  if (!status || status < 400 || status >= 500) throw error
  const example =
    "send client metadata as application/json, at most 56 kB, e.g. {'client_name': 'Photo Printer'}"
  ctx.status = status
  ctx.body = { error: 'invalid_client_metadata', error_description: `the request cannot be read; ${example}` }
}
