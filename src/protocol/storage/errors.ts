// Where the provider meets storage: failures and values that Postgres refuses become protocol errors.
import { errors } from 'oidc-provider'
import { DatabaseUnavailable } from '../../db/errors.ts'
import { currentRequest } from './unit-of-work.ts'

/** The database cannot be reached: 503 temporarily_unavailable. */
class StorageUnavailable extends errors.OIDCProviderError {
  constructor(cause: Error) {
    super(503, 'temporarily_unavailable')
    this.cause = cause
    this.expose = true
    this.error_description = 'the server cannot reach its database, try again shortly'
  }
}

/**
 * Runs what the provider asks of storage. A request whose answer is 503 by now does not wait for a silent database again: while
 * it answers, the provider asks for more. @throws StorageUnavailable
 */
export async function throughStorage<T>(work: () => Promise<T>): Promise<T> {
  const state = currentRequest()?.state ?? {}
  if (state.unavailable) throw state.unavailable
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof DatabaseUnavailable)) throw error
    state.unavailable = new StorageUnavailable(error)
    throw state.unavailable
  }
}

// What a request makes the database keep.
const MOST_CHARACTERS = 8 * 1024

/**
 * JSON of a payload.
 * @throws InvalidRequest when it is larger than 8 kB, or a parameter holds what text in Postgres cannot: NUL, half a surrogate
 */
export function storable(payload: object): string {
  const text = JSON.stringify(payload)
  if (text.length > MOST_CHARACTERS) {
    throw new errors.InvalidRequest('the request is too long, its parameters may have about 6 kB')
  }
  // JSON.stringify escapes exactly these two; an escaped backslash before a u must not be taken for one of them.
  if (text.includes('\\u') && /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/.test(text)) {
    throw new errors.InvalidRequest('a parameter holds a character that is not allowed')
  }
  return text
}
