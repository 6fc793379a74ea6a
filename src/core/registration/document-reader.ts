// Reads the metadata document of a client id when an authorization request names it: no more often than needed, and within limits,
// because anybody can name an address. metadata-documents.ts stores the result.
import { createHash } from 'node:crypto'
import type { Actor } from '../../base/audit-events.ts'
import type { Pool } from '../../db/pool.ts'
import type { BlockLimits } from '../../http/block-limits.ts'
import { type FetchOutside, freshSeconds, OutsideRefused } from '../../http/fetch.ts'
import type { Logger } from '../../http/log.ts'
import { placeOf, throttle } from '../../http/throttle.ts'
import { documentUrlProblem, isDocumentId, isHostOf } from '../clients/document-url.ts'
import { InvalidMetadata, validMetadata } from '../clients/metadata.ts'
import { findDocument, keepDocument, putOffDocument, type ReadDocument } from './metadata-documents.ts'
import { asRegistrationError, type Permission, readMetadata } from './rfc7591.ts'
import type { OpenRegistration } from './store.ts'
import { permission } from './store.ts'

/** A document that cannot be used; the message says why, for its author. */
export class UnusableDocument extends Error {
  override name = 'UnusableDocument'
  /** Whether it may work in a moment. */
  readonly busy: boolean

  constructor(message: string, { busy = false, cause }: { busy?: boolean; cause?: unknown } = {}) {
    super(message, { cause })
    this.busy = busy
  }
}

/** Reads documents. */
export interface DocumentReader {
  /** Whether a client id may be the address of a document here. */
  accepts(id: string): boolean
  /**
   * Brings the registration of a client id up to date with its document.
   * @param by who sent the request. @param user_id the person who is signed in, who is not held up by others at the same address
   * @throws UnusableDocument, TooManyRequests
   */
  refresh(id: string, by: Actor, user_id?: string): Promise<void>
}

/** What the reader needs. */
export interface DocumentParts {
  db: Pool
  fetchOutside: FetchOutside
  open: OpenRegistration
  /** Hosts whose documents are read; none: all. */
  hosts: string[]
  log: Logger
  limits: BlockLimits
  /** Drops a client from the memory of this node. */
  forget(id: string): void
}

const LEAST_FRESH_SECONDS = 5 * 60
const MOST_FRESH_SECONDS = 24 * 60 * 60
// For how long a client works on while its document cannot be read; after that, what the document said last does not count any more.
const STALE_SECONDS = 24 * 60 * 60
const RETRY_SECONDS = 60

/** Makes the reader of this node. */
export function documentReader({
  db,
  fetchOutside,
  open,
  hosts,
  log,
  limits,
  forget,
}: DocumentParts): DocumentReader {
  const underWay = new Map<string, Promise<void>>()
  const perCaller = throttle(db, {
    name: 'documents',
    attempts: 30,
    seconds: 60 * 60,
    message: 'Too many apps that nobody has used here yet were named by you, or from your address.',
    inMemory: true,
  })
  const perBlock = limits.limit({
    name: 'documents',
    perBlock: 600,
    seconds: 60 * 60,
    message: 'Too many apps that nobody has used here yet were named from around this address.',
  })
  const accepts = (id: string) =>
    isDocumentId(id) && documentUrlProblem(id) === undefined && isHostOf(hosts, id)

  const readAndKeep = async (id: string, by: Actor): Promise<void> => {
    const document = await readDocument(
      id,
      await fetchOutside(id),
      await permission(db, { scopes: open.scopes, client_credentials: false }),
    )
    await keepDocument(db, id, document, open, by)
    forget(id)
  }

  // Of several requests for one document at once, one reads and the others wait.
  const readOnce = (id: string, by: Actor): Promise<void> => {
    const reading =
      underWay.get(id) ??
      readAndKeep(id, by)
        .catch(rethrowUnusable)
        .finally(() => underWay.delete(id))
    underWay.set(id, reading)
    return reading
  }

  return {
    accepts,

    async refresh(id, by, user_id) {
      if (!accepts(id)) return
      const stored = await findDocument(db, id)
      const now = Date.now()
      if (stored?.is_closed) return
      if (stored && !stored.is_gone && stored.fresh_until.getTime() > now) return

      if (!stored || stored.is_gone) {
        if (!underWay.has(id)) {
          if (user_id === undefined) perBlock.count(by.ip ?? '')
          await perCaller.count(user_id ?? placeOf(by.ip ?? ''))
        }
        return readOnce(id, by).catch((error) => {
          log.info({ request_id: by.request_id, client_id: id, err: error }, 'document cannot be used')
          throw error
        })
      }
      const isOver = stored.fresh_until.getTime() + STALE_SECONDS * 1000 < now
      try {
        if (stored.retry_at && stored.retry_at.getTime() > now) throw new UnusableDocument(UNREADABLE)
        await readOnce(id, by).catch(async (error) => {
          if (error instanceof UnusableDocument) await putOffDocument(db, id, RETRY_SECONDS)
          log.warn(
            { request_id: by.request_id, client_id: id, err: error },
            'document could not be read again',
          )
          throw error
        })
      } catch (error) {
        // The last version stays valid for a while, so that an app does not stop at once when the host of its document is down.
        if (isOver || !(error instanceof UnusableDocument)) throw error
      }
    },
  }
}

const UNREADABLE = 'the document that the client id names could not be read'

async function readDocument(
  id: string,
  answer: Awaited<ReturnType<FetchOutside>>,
  may: Permission,
): Promise<ReadDocument> {
  if (answer.status !== 200) throw new UnusableDocument(`${UNREADABLE}: its host answers ${answer.status}`)
  const members = membersOf(answer.body)
  if (members.client_id !== id) {
    throw new InvalidMetadata('client_id', 'must be the address of the document itself, letter by letter')
  }
  if ('client_secret' in members || 'client_secret_expires_at' in members) {
    throw new InvalidMetadata('client_secret', 'must not be there: everybody can read the document')
  }
  if (!methodsOf(members).includes('none')) {
    throw new InvalidMetadata('token_endpoint_auth_method', 'must be none: no secret is shared, e.g. "none"')
  }
  const asked = { ...members, token_endpoint_auth_method: 'none', scope: undefined }
  const { type } = readMetadata(asked, may).input
  const requested = readMetadata({ ...asked, scope: allowedOf(members.scope, may.scopesFor(type)) }, may)
  const content = JSON.stringify([validMetadata(requested.input), requested.grant_types])
  const fresh = freshSeconds(answer) ?? LEAST_FRESH_SECONDS
  return {
    ...requested,
    digest: createHash('sha256').update(content).digest(),
    fresh_seconds: Math.min(MOST_FRESH_SECONDS, Math.max(LEAST_FRESH_SECONDS, fresh)),
  }
}

// Some documents name the method that the client would rather use, and beside it all that it can: they are for servers of every kind.
function methodsOf({
  token_endpoint_auth_method = 'none',
  token_endpoint_auth_methods_supported,
}: Record<string, unknown>): unknown[] {
  return [token_endpoint_auth_method, token_endpoint_auth_methods_supported ?? []].flat()
}

function membersOf(body: Buffer): Record<string, unknown> {
  let members: unknown
  try {
    members = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch (cause) {
    throw new UnusableDocument('the document that the client id names is not JSON', { cause })
  }
  if (typeof members !== 'object' || members === null || Array.isArray(members)) {
    throw new UnusableDocument('the document that the client id names is not a JSON object')
  }
  return members as Record<string, unknown>
}

// A document is for all servers, so scopes of other servers are no mistake.
function allowedOf(scope: unknown, allowed: string[]): unknown {
  if (typeof scope !== 'string') return scope
  return scope
    .split(' ')
    .filter((name) => allowed.includes(name))
    .join(' ')
}

function rethrowUnusable(error: unknown): never {
  if (error instanceof InvalidMetadata) {
    // Name the members as the author of the document knows them.
    const problem = asRegistrationError(error).error_description
    throw new UnusableDocument(`the document that the client id names is refused: ${problem}`, {
      cause: error,
    })
  }
  // The details go to the log only, so that whoever named the address learns nothing about what is behind it.
  if (error instanceof OutsideRefused) {
    throw new UnusableDocument(UNREADABLE, { busy: error.busy, cause: error })
  }
  throw error
}
