// HTTP errors, and the one place where an error or a bug becomes an answer: a page for people, problem+json (RFC 9457) for programs.
// Errors of the protocol are handled by oidc-provider.
import { STATUS_CODES } from 'node:http'
import type { Context, Middleware } from 'koa'
import { DatabaseUnavailable } from '../db/errors.ts'
import type { ErrorCode, StatusOf } from './error-codes.ts'
import type { Logger } from './log.ts'
import type { Render } from './render.ts'

// A code only with one of its own statuses.
type Refusal = {
  [Code in ErrorCode]: [status: StatusOf<Code>, code: Code, message: string, headers?: Record<string, string>]
}[ErrorCode]

/** A request that is refused. `message` is for the person who sent it; `code` is one of {@link ErrorCode}. */
export class HttpError extends Error {
  /** For errors of Koa or of the protocol, with their own status and code. */
  status: number
  code: string
  readonly headers: Record<string, string>
  /** The heading of the page, where that of the status says too little. */
  heading: string | undefined
  /** Details for the developer of the client. */
  technical: string | undefined
  /** What is wrong with which field, for programs. */
  errors: Record<string, string> | undefined

  constructor(...[status, code, message, headers = {}]: Refusal) {
    super(message)
    this.status = status
    this.code = code
    this.headers = headers
  }
}

/** 400: the request cannot be understood. */
export class BadRequest extends HttpError {
  constructor(message: string) {
    super(400, 'bad_request', message)
  }
}

/** 403: the form is not ours, or too old. */
export class ForgedForm extends HttpError {
  constructor() {
    super(403, 'form_expired', 'This form has expired. Go back, reload the page and send it again.')
  }
}

/** 404: there is no such thing, or it is not yours. */
export class NotFound extends HttpError {
  constructor(message = 'There is nothing at this address.') {
    super(404, 'not_found', message)
  }
}

/** 405, with the allowed methods. */
export class MethodNotAllowed extends HttpError {
  constructor(allowed: string) {
    super(405, 'method_not_allowed', 'This address does not take that kind of request.', { Allow: allowed })
  }
}

/** 429, with the seconds to wait. */
export class TooManyRequests extends HttpError {
  readonly retryAfterSeconds: number
  /** Whether this attempt crossed the limit; later attempts are not recorded one by one. */
  readonly crossed: boolean

  constructor(message: string, retryAfterSeconds: number, crossed: boolean) {
    super(429, 'too_many_requests', message, { 'Retry-After': String(retryAfterSeconds) })
    this.retryAfterSeconds = retryAfterSeconds
    this.crossed = crossed
  }
}

/** How long a client should wait for the database, in seconds. */
const RETRY_SECONDS = 5

/** Answers errors that handlers throw, and requests that nothing answered. */
export function errorAnswers({
  render,
  log,
  isApi = () => false,
  isOAuth = () => false,
}: {
  render: Render
  log: Logger
  /** Whether this path always answers in JSON. */
  isApi?: (path: string) => boolean
  /** Whether OAuth clients read the answers of this path (RFC 6749 §5.2). */
  isOAuth?: (path: string) => boolean
}): Middleware {
  return async (ctx, next) => {
    try {
      await next()
      if (ctx.status === 404 && ctx.body === undefined) throw new NotFound()
      // The router has set the allowed methods; the message is ours.
      if (ctx.status === 405 && !ctx.body) throw new MethodNotAllowed(ctx.response.get('Allow'))
    } catch (error) {
      const refusal = asRefusal(ctx, error, log)
      if (isOAuth(ctx.path)) answerAsOAuth(ctx, refusal)
      else answer(ctx, isApi(ctx.path) ? undefined : render, refusal)
    }
    if (ctx.status === 503) ctx.set('Retry-After', String(RETRY_SECONDS))
  }
}

/** Shows an error as a page, or as problem+json to programs and where there are no pages. */
export function answer(ctx: Context, render: Render | undefined, refusal: HttpError): void {
  const { status, code, message, headers, technical, errors } = refusal
  ctx.set(headers)
  const request_id = ctx.state.requestId as string
  if (render && ctx.accepts('json', 'html') === 'html') {
    const heading = refusal.heading ?? HEADINGS[status] ?? HEADINGS[500]
    render(ctx, 'error', { status, heading, text: message, code, technical, request_id }, status)
    return
  }
  ctx.status = status
  ctx.body = JSON.stringify({
    type: 'about:blank',
    title: STATUS_CODES[status],
    status,
    detail: technical ?? message,
    code,
    request_id,
    errors,
  })
  ctx.type = 'application/problem+json'
  ctx.set('Cache-Control', 'no-store')
}

const OAUTH_ERRORS: Record<number, string> = {
  429: 'temporarily_unavailable',
  500: 'server_error',
  503: 'temporarily_unavailable',
}

function answerAsOAuth(ctx: Context, { status, message, headers, technical }: HttpError): void {
  ctx.set(headers)
  ctx.status = status
  ctx.body = { error: OAUTH_ERRORS[status] ?? 'invalid_request', error_description: technical ?? message }
  ctx.set('Cache-Control', 'no-store')
}

const HEADINGS: Record<number, string> = {
  400: 'That did not arrive as it should',
  403: 'Please send the form again',
  404: 'There is nothing here',
  405: 'That did not arrive as it should',
  413: 'That is too much at once',
  415: 'That did not arrive as it should',
  429: 'Please wait a little',
  500: 'Something went wrong on our side',
  503: 'We will be back in a moment',
}

function asRefusal(ctx: Context, error: unknown, log: Logger): HttpError {
  if (error instanceof HttpError) return error
  // An error of oidc-provider, thrown outside of the addresses of the protocol, has it as its cause.
  const lost = [error, (error as Error | undefined)?.cause].find(
    (each) => each instanceof DatabaseUnavailable,
  )
  if (lost) {
    log.error({ request_id: ctx.state.requestId, err: lost.cause }, 'database unavailable')
    return new HttpError(
      503,
      'temporarily_unavailable',
      'Nothing was lost. Please try again in a few seconds.',
    )
  }
  // Koa and the body parser throw errors with a status (too large, wrong content type, malformed address).
  const { status, expose } = error as { status?: number; expose?: boolean }
  if (status && status >= 400 && status < 500 && expose) {
    const refusal = new HttpError(400, 'bad_request', 'The request could not be read. Go back and try again.')
    refusal.status = status
    return refusal
  }
  log.error({ request_id: ctx.state.requestId, err: error }, 'unexpected error')
  return new HttpError(
    500,
    'internal_error',
    'It is not your doing. Please try again; if it stays, ask for help.',
  )
}
