// Where the provider meets storage: failures and values that Postgres refuses become protocol errors.
import { errors } from 'oidc-provider'
import { DatabaseUnavailable } from '../db/pool.ts'

/** The database cannot be reached: 503 temporarily_unavailable. */
class StorageUnavailable extends errors.OIDCProviderError {
  constructor(cause: Error) {
    super(503, 'temporarily_unavailable')
    this.cause = cause
    this.expose = true
    this.error_description = 'the server cannot reach its database, try again shortly'
  }
}

/** Runs what the provider asks of storage. @throws StorageUnavailable */
export async function throughStorage<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof DatabaseUnavailable) throw new StorageUnavailable(error)
    throw error
  }
}

/** JSON of a payload. @throws InvalidRequest when a parameter holds what text in Postgres cannot: NUL, half a surrogate. */
export function storable(payload: object): string {
  const text = JSON.stringify(payload)
  // JSON.stringify escapes exactly these two; an escaped backslash before a u must not be taken for one of them.
  if (text.includes('\\u') && /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/.test(text)) {
    throw new errors.InvalidRequest('a parameter holds a character that is not allowed')
  }
  return text
}
