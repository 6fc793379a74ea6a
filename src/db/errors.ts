// What an error of Postgres, or of the connection to it, means: nothing was kept, nobody knows, or a bug of ours.

/** Postgres cannot be reached, or cannot do this now: a lock, a timeout, a full disk. The same request may be tried again. */
export class DatabaseUnavailable extends Error {
  override name = 'DatabaseUnavailable'

  /** False when Postgres said that it kept nothing; true when its answer never came, so that nobody knows. */
  get isOutcomeUnknown(): boolean {
    const { code } = (this.cause ?? {}) as { code?: string }
    return this.cause !== undefined && !REFUSED_STATEMENT.test(code ?? '') && !isStale(this)
  }
}

/** Whether the connection on which a statement failed must not be used any more. */
export function isSpoiled(error: unknown): error is Error {
  return error instanceof DatabaseUnavailable && (error.isOutcomeUnknown || isStale(error))
}

/**
 * Whether a migration has changed what a prepared statement returns, while its connection keeps it prepared. Postgres has done
 * nothing then.
 */
export function isStale(error: unknown): boolean {
  const { code, message } = ((error as Error | undefined)?.cause ?? {}) as { code?: string; message?: string }
  return code === '0A000' && STALE_STATEMENT.test(message ?? '')
}

/** Whether a statement failed because the row exists already (unique_violation). */
export function isUniqueViolation(error: unknown): boolean {
  return (error as { code?: string } | undefined)?.code === '23505'
}

/** Turns the errors of a lost or refused connection into {@link DatabaseUnavailable}, and returns every other error as it is. */
export function asDatabaseError(error: unknown): unknown {
  return isUnavailable(error)
    ? new DatabaseUnavailable('the database cannot be reached', { cause: error })
    : error
}

// Postgres refused the statement and kept nothing of it. 57014: canceled, mostly by a timeout; 55P03: the lock was not free;
// 40001, 40P01: a conflict with another transaction; 25006: a standby, or a server that takes no writes; 25P03: the transaction
// was idle for too long; 53: out of disk, memory or connections; 58: an input or output error.
const REFUSED_STATEMENT = /^(57014|55P03|40001|40P01|25006|25P03|53...|58...)$/
const STALE_STATEMENT = /cached plan must not change result type/
// Class 08: connection exception; 57P01–57P05: the server shuts down or starts up; the others never reached a server.
const LOST_CONNECTION =
  /^(08...|57P0[1-5]|ECONN(REFUSED|RESET|ABORTED)|EPIPE|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ENOTFOUND|EAI_AGAIN|ENOENT)$/
const LOST =
  /Connection terminated|Query read timeout|connection timeout|timeout exceeded when trying to connect|Client has encountered a connection error|not queryable|Client was closed/i

function isUnavailable(error: unknown): boolean {
  const { code, message } = (error ?? {}) as { code?: string; message?: string }
  if (REFUSED_STATEMENT.test(code ?? '') || LOST_CONNECTION.test(code ?? '')) return true
  return LOST.test(message ?? '') || isStale({ cause: error })
}
