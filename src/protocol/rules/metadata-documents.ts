// Where a request names its client: the document that the id may be the address of is read first, and why it cannot be used
// is said in the protocol's words.
import type { Context } from 'koa'
import { errors } from 'oidc-provider'
import { type DocumentReader, UnusableDocument } from '../../core/registration/document-reader.ts'
import { asciiText } from '../../core/registration/rfc7591.ts'
import { actorOf } from '../../http/actor.ts'
import { TooManyRequests } from '../../http/errors.ts'
import { type Route, routeOf } from '../internals/library.ts'
import { throughStorage } from '../storage/errors.ts'

// Where somebody is about to be asked something. Elsewhere what was read last is good enough: nobody is sent anywhere.
const READ_AT = new Set<Route | undefined>(['authorization', 'pushed_authorization_request'])

/** Reads the document of a client id, once a request. @throws errors.OIDCProviderError when it cannot be used. */
export async function readDocumentFirst(
  documents: DocumentReader,
  id: string,
  ctx: Context | undefined,
): Promise<void> {
  if (!ctx || !READ_AT.has(routeOf(ctx)) || !documents.accepts(id)) return
  // The provider asks for the client again while it answers an error.
  const read =
    (ctx.state.documents as Map<string, Promise<void>> | undefined) ?? new Map<string, Promise<void>>()
  ctx.state.documents = read
  const reading =
    read.get(id) ??
    throughStorage(() => documents.refresh(id, actorOf(ctx), ctx.oidc.session?.accountId)).catch((error) =>
      explain(ctx, error),
    )
  read.set(id, reading)
  await reading
}

class DocumentRefused extends errors.OIDCProviderError {
  constructor(status: number, error: string, description: string, cause: Error) {
    super(status, error)
    this.cause = cause
    this.expose = true
    this.error_description = asciiText(description)
  }
}

function explain(ctx: Context, error: unknown): never {
  if (error instanceof TooManyRequests) {
    ctx.set(error.headers)
    throw new DocumentRefused(429, 'too_many_requests', error.message, error)
  }
  if (!(error instanceof UnusableDocument)) throw error
  if (error.busy) throw new DocumentRefused(503, 'temporarily_unavailable', error.message, error)
  throw new DocumentRefused(400, 'invalid_client', error.message, error)
}
